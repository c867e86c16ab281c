"""What a training learns from several data sets and from teachers, through the command and below it."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from fer_edge.imaging.images import write_picture
from fer_edge.labels import EXPRESSIONS
from fer_edge_train.settings import NO_AUGMENTATION, TrainSettings
from fer_edge_train.training import fit
from fer_edge_train.training.batches import ABSENT, Batches, class_weights, mixup, shares, smooth_labels
from fer_edge_train.training.losses import Crossentropy, accuracy
from fer_edge_train.training.training_set import read_training_set, training_batches
from support.command import FerEdge
from support.tiny_data_sets import class_folders, picture

CONTEMPT = EXPRESSIONS.index("contempt")


def loss_of(loss: keras.losses.Loss, targets: object, logits: object) -> float:
    return float(loss(np.array(targets, np.float32), np.array(logits, np.float32)))


PLAIN = Crossentropy([0.0, 0.0, 0.0])


def test_classes_that_a_data_set_does_not_annotate_add_no_loss() -> None:
    low, high = (loss_of(PLAIN, [[1, 0, ABSENT]], [[0, 0, logit]]) for logit in (-5, 5))
    assert low == high == pytest.approx(np.log(2), rel=1e-6)


def test_a_class_that_was_asked_for_and_not_chosen_counts() -> None:
    assert loss_of(PLAIN, [[1, 0, 0]], [[0, 0, 5]]) > loss_of(PLAIN, [[1, 0, 0]], [[0, 0, -5]])


def test_an_unlabelled_face_has_only_the_teachers_loss() -> None:
    loss = Crossentropy([0.0, 0.0, 0.0], teacher_weight=0.5, teacher_temperature=1.0)
    logits = [[np.log(2.0), 0.0, 0.0]]
    assert loss_of(loss, [[[ABSENT] * 3, [1, 0, 0]]], logits) == pytest.approx(0.5 * np.log(2), rel=1e-6)
    assert loss_of(PLAIN, [[ABSENT] * 3], logits) == 0


def test_teachers_and_labels_share_the_loss_and_the_temperature_counts_squared() -> None:
    loss = Crossentropy([0.0, 0.0], teacher_weight=0.25, teacher_temperature=2.0)
    logits, labels, said = np.array([2.0, 0.0]), [1.0, 0.0], [0.5, 0.5]

    people = -np.log(np.exp(2) / (np.exp(2) + 1))
    teachers = -np.mean(np.log(np.exp(logits / 2) / np.exp(logits / 2).sum()))

    expected = 0.75 * people + 0.25 * 4 * teachers
    assert loss_of(loss, [[labels, said]], [logits]) == pytest.approx(expected, rel=1e-5)


def test_the_loss_survives_the_way_through_a_file() -> None:
    loss = Crossentropy([0.1, -0.2], teacher_weight=0.25, teacher_temperature=2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    targets, logits = [[[0.2, 0.8], [0.5, 0.5]]], [[1.0, -1.0]]
    assert loss_of(again, targets, logits) == loss_of(loss, targets, logits)


def test_accuracy_is_by_labels_and_where_there_are_none_by_teachers() -> None:
    logits = np.array([[1, 0], [1, 0]], np.float32)
    targets = np.array([[[0, 1], [1, 0]], [[ABSENT, ABSENT], [1, 0]]], np.float32)
    assert np.asarray(accuracy(targets, logits)).tolist() == [False, True]
    assert np.asarray(accuracy(targets[:, 1], logits)).tolist() == [True, True]


def test_smoothing_spreads_over_the_classes_that_were_asked_for() -> None:
    changed = smooth_labels(np.array([[1, 0, ABSENT], [ABSENT] * 3], np.float32), 0.2)
    np.testing.assert_allclose(changed, [[0.9, 0.1, ABSENT], [ABSENT] * 3], rtol=1e-6)


def test_smoothing_leaves_what_teachers_said() -> None:
    changed = smooth_labels(np.array([[[1, 0], [0.3, 0.7]]], np.float32), 0.2)
    np.testing.assert_allclose(changed, [[[0.9, 0.1], [0.3, 0.7]]], rtol=1e-6)


def test_a_mixed_face_was_asked_for_what_one_of_the_two_was() -> None:
    faces, weights = np.zeros((2, 4, 4, 1), np.float32), np.ones(2, np.float32)
    chosen = np.array([[1, 0, ABSENT, ABSENT], [0, 0, 1, ABSENT]], np.float32)

    for seed in range(8):
        _, mixed, _ = mixup(faces, chosen, weights, 1.0, np.random.default_rng(seed))
        if (mixed[0] > 0).sum() == 2:
            break

    assert mixed[0][3] == ABSENT
    assert mixed[0][:3].sum() == pytest.approx(1)


def test_faces_without_a_label_weigh_as_much_as_the_mean_of_the_others() -> None:
    chosen = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [ABSENT, ABSENT]], np.float32)
    weights = class_weights(chosen)
    np.testing.assert_allclose(weights[:4] / weights[4], [2 / 3, 2 / 3, 2 / 3, 2])


def test_shares_of_classes_are_of_what_people_said() -> None:
    chosen = np.array([[[1, 0], [0, 1]], [[ABSENT, ABSENT], [0, 1]]], np.float32)
    assert shares(chosen).tolist() == [[1, 0], [0, 0]]
    batches = Batches(np.zeros((2, 4, 4), np.uint8), chosen, np.ones(2, np.float32), TrainSettings(batch=2))
    assert batches.priors.tolist() == [1, 0]


@pytest.fixture(scope="module")
def folders(fer_edge: FerEdge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets of drawn pictures, of which one knows contempt, and a trained teacher."""
    root = tmp_path_factory.mktemp("several")
    class_folders(root / "seven", {"anger": 30, "fear": 30})
    class_folders(root / "eight", {"anger": 30, "contempt": 30})
    fer_edge("train", *few(root, "teacher"), "--data", root / "seven", "--data", root / "eight", code=0)
    return root


def few(root: Path, name: str) -> list[str]:
    shape = ["--network", "legend-cnn", "--imgsz", "24", "--epochs", "2", "--batch", "8", "--patience", "0"]
    return [*shape, "--project", str(root / "runs"), "--name", name]


def test_a_run_on_two_data_sets_reports_both_together_and_each(folders: Path) -> None:
    run = folders / "runs" / "teacher"
    metrics = json.loads((run / "metrics.json").read_text())
    config = json.loads((run / "config.json").read_text())

    assert config["source"]["name"] == "seven + eight"
    assert [source["name"] for source in config["source"]["sets"]] == ["seven", "eight"]
    parts = metrics["testing"]["by_data"]
    assert parts["seven"]["n"] + parts["eight"]["n"] == metrics["testing"]["n"] == 24
    assert parts["seven"]["per_class"]["contempt"] == {"n": 0, "recall": None}
    names = FaceSet.load(run / "heldout.npz").names.tolist()
    assert {name.partition("/")[0] for name in names} == {"seven", "eight"}


def test_faces_of_a_data_set_without_contempt_teach_nothing_about_it(folders: Path) -> None:
    settings = TrainSettings(
        data=(str(folders / "seven"), str(folders / "eight")), imgsz=24, batch=999, augmentation=NO_AUGMENTATION
    )
    training_set = read_training_set(settings)

    _, chosen, weights = training_batches(training_set, settings, None)[0]

    of_contempt = chosen[:, CONTEMPT]
    assert set(of_contempt.tolist()) == {ABSENT, 0.0, 1.0}
    assert (of_contempt == ABSENT).sum() == (
        training_set.annotated[training_set.faces.split == "training"][:, CONTEMPT] == 0
    ).sum()
    assert (chosen[of_contempt == ABSENT][:, EXPRESSIONS.index("fear")] >= 0).all()
    assert set(weights.tolist()) == {1.0}


def test_a_data_set_counts_as_much_as_it_is_told_to(folders: Path) -> None:
    settings = TrainSettings(
        data=(str(folders / "seven"), str(folders / "eight")), data_weight=(1.0, 0.25), imgsz=24, batch=999
    )
    _, chosen, weights = training_batches(read_training_set(settings), settings, None)[0]
    assert set(weights[chosen[:, CONTEMPT] == ABSENT].tolist()) == {1.0}
    assert set(weights[chosen[:, CONTEMPT] != ABSENT].tolist()) == {0.25}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data-weight", "1", "--data-weight", "2"], "--data-weight: 2 for 1 --data; give one for each"),
        (["--data-weight", "0"], "--data-weight must be above 0"),
        (["--unlabelled", "faces"], "--unlabelled needs --teacher RUN"),
        (["--teacher", "nowhere"], "nowhere: No such file"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(
    fer_edge: FerEdge, folders: Path, tmp_path: Path, flags: list[str], said: str
) -> None:
    base = ["train", "--data", str(folders / "seven"), "--project", str(tmp_path / "runs")]
    assert said in fer_edge(*base, *flags, code=1 if "nowhere" in flags else 2).stderr.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_run_with_a_teacher_and_unlabelled_faces_goes_on_without_either(
    fer_edge: FerEdge, folders: Path, tmp_path: Path
) -> None:
    shutil.copytree(folders / "runs" / "teacher", tmp_path / "teacher")
    for seed in range(1000, 1020):
        write_picture(tmp_path / "more" / f"{seed}.png", picture(seed))
    more = ["--unlabelled", tmp_path / "more", "--mixup", "0.2"]
    learn = ["--data", folders / "eight", "--teacher", tmp_path / "teacher", *more]
    fer_edge("train", *few(tmp_path, "taught"), *learn, code=0)
    run = tmp_path / "runs" / "taught"
    whole = (run / "history.csv").read_text().splitlines()
    config = json.loads((run / "config.json").read_text())

    assert config["source"]["unlabelled"]["name"] == "more"
    assert config["settings"]["teacher"] == [str(tmp_path / "teacher")]
    with np.load(run / "teachers.npz") as kept:
        said = kept["said"]
    assert len(said) == 20 + config["faces"]["training"]["anger"] + config["faces"]["training"]["contempt"]
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)
    with np.load(run / "seen.npz") as seen:
        assert len(seen["training"]) >= 10

    shutil.rmtree(tmp_path / "teacher")
    (run / "last.keras").unlink()  # as after a kill in the first epoch
    fer_edge("train", "--resume", run, code=0)
    assert [row.split(",")[1:4] for row in (run / "history.csv").read_text().splitlines()] == [
        row.split(",")[1:4] for row in whole
    ]


def test_faces_that_the_data_holds_out_are_not_learnt_from_as_unlabelled_ones(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = TrainSettings(
        data=(str(folders / "eight"),), teacher=("any",), unlabelled=str(folders / "eight"), imgsz=24
    )
    training_set = read_training_set(settings)
    held_out = training_set.faces.take(training_set.faces.split != "training").photos

    assert training_set.unlabelled is not None
    assert not np.isin(training_set.unlabelled.photos, held_out).any()
    assert "faces of" in capsys.readouterr().err


def test_a_run_whose_answers_are_gone_is_not_resumed(fer_edge: FerEdge, folders: Path, tmp_path: Path) -> None:
    learn = ["--data", folders / "eight", "--teacher", folders / "runs" / "teacher"]
    fer_edge("train", *few(tmp_path, "taught"), *learn, code=0)
    (tmp_path / "runs" / "taught" / "teachers.npz").write_bytes(b"damaged")

    with pytest.raises(DataError, match=r"teachers.npz is missing or damaged; start a new run"):
        fit.resume(tmp_path / "runs" / "taught")
