"""Which faces a model is judged on: never, unasked, those it was trained on."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.data.provenance import UsedPictures, write_used_pictures
from fer_edge.errors import DataError, ModelError
from fer_edge.imaging.images import write_picture
from fer_edge.recognition.classifier import BUNDLED
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.evaluation.evaluate import (
    EvaluatedModel,
    EvaluationSet,
    evaluate,
    evaluation_folder,
    load_faces_for,
    load_model,
    load_network,
)
from fer_edge_train.evaluation.report import write_evaluation
from fer_edge_train.prepare.prepare import load_faces, prepare
from support.tiny_data_sets import class_folders, expw

CLASSES = ("frown", "smile")
NOTHING = UsedPictures(np.zeros(0, np.uint64), np.zeros(0, np.uint64))


def model_of(
    source: dict[str, object], classes: tuple[str, ...] = CLASSES, size: int = 16, seen: UsedPictures | None = None
) -> EvaluatedModel:
    """A model that always says the first class."""
    first = np.eye(len(classes), dtype=np.float32)[0]
    return EvaluatedModel(
        Path("model.tflite"), classes, size, 1.0, source, seen, lambda pixels: np.tile(first, (len(pixels), 1))
    )


def trained_on(faces: FaceSet, size: int = 16) -> EvaluatedModel:
    """A model in the run folder of a training on `faces`."""
    return model_of(faces.source, faces.classes, size, UsedPictures.of(faces))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for number in range(20):
            write_picture(tmp_path / "data" / name / f"{number:02}.png", rng.integers(0, 256, (16, 16, 3), np.uint8))
    return tmp_path / "data"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """ExpW: 40 photos of two faces each, of which 30 are certain, in as many photos."""
    boxes = ("5 5 25 30", "5 25 45 30")
    sure = {f"{i:02}.png 0 {boxes[0]} 60 {i % 4}" for i in range(30)}
    unsure = {f"{i:02}.png 0 {box} 10 {i % 4}" for i in range(40) for box in boxes[i < 30 :]}
    return expw(tmp_path / "expw", sorted(sure | unsure))


def names(faces: FaceSet) -> set[str]:
    return set(faces.names.tolist())


def test_a_data_set_it_was_trained_on_is_divided_as_it_was_then(folders: Path) -> None:
    trained = load_faces(folders, size=16, settings=DataSettings(seed=7, test_split=0.3))

    for model in (trained_on(trained), model_of(trained.source)):  # in its run folder, and moved alone
        faces, part, _ = load_faces_for(model, folders, DataSettings(), None)

        assert part == "testing"
        assert names(faces) == names(trained.part("testing"))
        assert len(faces) == 12


def test_every_face_of_another_data_set_is_evaluated(folders: Path) -> None:
    faces, part, seen = load_faces_for(model_of({"digest": "another"}, seen=NOTHING), folders, DataSettings(), None)

    assert (part, len(faces), seen) == ("all", 40, NOTHING)


def test_other_settings_do_not_let_training_faces_in(photos: Path) -> None:
    trained = load_faces(photos, size=16, settings=DataSettings(min_box_confidence=20))

    faces, part, _ = load_faces_for(trained_on(trained), photos, DataSettings(min_box_confidence=0), None)

    assert not names(faces) & (names(trained.part("training")) | names(trained.part("validation")))
    assert names(faces) > names(trained.part("testing"))
    assert (part, len(faces)) == ("unseen", 32)


def test_a_prepared_set_of_another_seed_does_not_let_training_faces_in(folders: Path, tmp_path: Path) -> None:
    trained = load_faces(folders, size=16)
    prepare(folders, tmp_path / "set.npz", DataSettings(seed=1), size=16)

    faces, part, _ = load_faces_for(trained_on(trained), tmp_path / "set.npz", DataSettings(), None)

    assert (part, names(faces)) == ("unseen", names(trained.part("testing")))


@pytest.mark.parametrize("size", [None, 16])
def test_photos_are_known_in_class_folders_cut_from_them(photos: Path, tmp_path: Path, size: int | None) -> None:
    prepare(photos, tmp_path / "once", DataSettings(seed=3), size=size)
    prepare(tmp_path / "once", tmp_path / "twice", size=20)
    trained = load_faces(tmp_path / "twice", size=16)
    model = trained_on(trained)

    faces, _, _ = load_faces_for(model, photos, DataSettings(), None)
    again, _, _ = load_faces_for(model, tmp_path / "once", DataSettings(), None)
    with pytest.raises(DataError, match=r"was trained or chosen on every face of .*--split validation"):
        load_faces_for(model, tmp_path / "once" / "training", DataSettings(), None)

    assert len(faces) == len(again) == len(trained.part("testing")) == 16
    assert set(faces.photos) == set(again.photos) == set(trained.part("testing").photos)


def test_an_explicit_split_is_taken_and_says_how_many_faces_were_trained_on(folders: Path) -> None:
    trained = load_faces(folders, size=16)
    model = trained_on(trained)

    figures = {
        split: evaluate(model, load_faces_for(model, folders, DataSettings(), split), "majority")[1]
        for split in ("training", "validation", "testing", "all")
    }

    counts = {split: (row["n"], row["trained_on"], row["chosen_on"]) for split, row in figures.items()}
    assert counts == {"training": (29, 29, 0), "validation": (3, 0, 3), "testing": (8, 0, 0), "all": (40, 29, 3)}


def test_a_picture_that_stands_in_two_splits_counts_as_trained_on(folders: Path) -> None:
    """FER+ has the same file in training and in validation under two names, 279 times."""
    trained = load_faces(folders, size=16)
    twin = trained.part("testing").names[0]
    (folders / trained.part("training").names[0]).write_bytes((folders / twin).read_bytes())
    model = trained_on(load_faces(folders, size=16))

    unseen, part, _ = load_faces_for(model, folders, DataSettings(), None)
    _, testing = evaluate(model, load_faces_for(model, folders, DataSettings(), "testing"), "majority")

    assert (part, len(unseen)) == ("testing", 7)
    assert twin not in unseen.names
    assert (testing["n"], testing["trained_on"], testing["others"]["n"]) == (8, 1, 7)


def test_what_cannot_be_known_is_said(
    bars: Path, folders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = model_of({"name": "mine", "digest": "another"})
    old = model_of({}, ("high", "middle", "low"), 24, NOTHING)
    replace(FaceSet.load(bars), photos=np.zeros(0, np.uint64)).save(tmp_path / "old.npz")

    _, _, seen = load_faces_for(alone, folders, DataSettings(), None)
    beside = capfd.readouterr().err
    load_faces_for(old, tmp_path / "old.npz", DataSettings(), None)
    photos = capfd.readouterr().err

    assert seen is None
    assert beside == (
        "warning: cannot tell whether model.tflite was trained on some of these faces: "
        "seen.npz is missing beside it (fer-edge train --resume RUN and fer-edge export RUN write it); "
        "its training data: mine\n"
    )
    assert photos.endswith("old.npz has no photo ids; prepare it again\n")


def test_folders_with_some_of_the_models_classes_keep_their_names(tmp_path: Path) -> None:
    root = class_folders(tmp_path, {"happy": 2, "sad": 1})
    model = model_of({}, ("calm", "happy", "neutral", "sad", "tongue"), seen=NOTHING)

    _, figures = evaluate(model, load_faces_for(model, root, DataSettings(), None), "majority")

    counts = {name: row["n"] for name, row in figures["per_class"].items()}
    assert counts == {"calm": 0, "happy": 2, "neutral": 0, "sad": 1, "tongue": 0}


def test_the_folder_of_an_evaluation_goes_where_the_work_fails(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        assert folder.is_dir()
        raise DataError("no faces")

    with pytest.raises(DataError), evaluation_folder(tmp_path / "runs" / "evaluate", "exp") as folder:
        fail(folder)

    assert list(tmp_path.iterdir()) == []


def test_another_data_set_with_splits_of_its_own_keeps_them(folders: Path) -> None:
    for split in ("train", "test"):
        (folders / split).mkdir()
    for name in CLASSES:
        (folders / name).rename(folders / "train" / name)
        write_picture(folders / "test" / name / "0.png", np.zeros((16, 16, 3), np.uint8))

    faces, part, _ = load_faces_for(model_of({}), folders, DataSettings(), None)

    assert (part, len(faces)) == ("testing", 2)


def test_a_split_that_is_not_there_is_an_error_that_names_those_that_are(bars: Path, tmp_path: Path) -> None:
    FaceSet.load(bars).part("training").save(tmp_path / "part.npz")
    model = model_of({}, ("high", "middle", "low"), 24)

    with pytest.raises(DataError, match=r"no testing face; it has training: --split training"):
        load_faces_for(model, tmp_path / "part.npz", DataSettings(), "testing")


def test_faces_of_a_class_that_the_model_does_not_know_are_refused(bars: Path) -> None:
    with pytest.raises(DataError, match="the data has high, middle, low, the model knows only frown, smile"):
        evaluate(model_of({}), EvaluationSet(FaceSet.load(bars), "all", None), "majority")


def test_figures_name_model_split_and_protocol(bars: Path) -> None:
    testing = EvaluationSet(FaceSet.load(bars).part("testing"), "testing", None)

    _, figures = evaluate(model_of({}, ("high", "middle", "low")), testing, "majority")

    assert (figures["model"], figures["split"], figures["protocol"]) == (
        "model.tflite",
        "testing",
        "one label per face",
    )
    assert (figures["n"], figures["accuracy"], figures["balanced_accuracy"]) == (45, 0.333333, 0.333333)


def test_a_keras_file_outside_a_run_folder_has_no_class_names(tmp_path: Path) -> None:
    (tmp_path / "best.keras").write_bytes(b"no network")

    with pytest.raises(ModelError, match="not a readable Keras model"):
        load_model(tmp_path)


def test_the_bundled_model_knows_the_pictures_it_was_trained_on() -> None:
    bundled = load_model(BUNDLED)

    assert bundled.used is not None
    assert (len(bundled.used.training), len(bundled.used.validation)) == (27_332, 3_553)  # different pictures of FER+


def test_a_network_of_others_names_the_command_that_evaluates_it(tmp_path: Path) -> None:
    path = tmp_path / "their net.keras"
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)

    with pytest.raises(
        ModelError, match=r"fer-edge export '.*/their net\.keras' --data SET\.npz --labels NAME,NAME --pix"
    ):
        load_model(path)


def test_the_report_shows_interval_baseline_and_mistakes_and_escapes_names(bars: Path, tmp_path: Path) -> None:
    model = model_of({}, ("<b>high", "middle", "low"))
    testing = replace(FaceSet.load(bars).part("testing"), classes=("<b>high", "middle", "low"))
    faces, figures = evaluate(model, EvaluationSet(testing, "testing", None), "majority")

    write_evaluation(
        tmp_path, {"data": "bars.npz", "date": "2026-12-01", "command": "fer-edge evaluate", **figures}, faces
    )

    page = (tmp_path / "report.html").read_text()
    assert figures["baseline"] == {"label": "<b>high", "accuracy": 0.333333}
    assert [round(end, 3) for end in figures["accuracy_interval"]] == [0.214, 0.479]
    assert len(figures["mistakes"]) == 24
    assert {one["prediction"] for one in figures["mistakes"]} == {"<b>high"}
    assert (page.count("<figure>"), page.count("<img")) == (24, 25)  # and the confusion matrix
    for shown in ("33.33%", "21.4 to 47.9%", "always &lt;b&gt;high", "<dt>Command</dt><dd>fer-edge evaluate</dd>"):
        assert shown in page
    assert "<b>high" not in page.split("</style>")[1]


def test_a_face_detectors_run_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 8)]).save(tmp_path / "best.keras")
    (tmp_path / "config.json").write_text('{"task": "detect", "settings": {}, "network": {}, "source": {}}')

    with pytest.raises(DataError, match="a face detector's run of an older fer-edge"):
        load_model(tmp_path)


def test_what_a_tflite_was_trained_on_is_told_by_the_file_beside_it(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(tiny.read_bytes())
    alone = load_model(tmp_path / "model.tflite")
    write_used_pictures(tmp_path, NOTHING, alone.source)

    assert alone.used is None
    assert load_model(tmp_path / "model.tflite").used is not None


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_keras_file_is_one_clear_error(tmp_path: Path, place: float) -> None:
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    network.save(tmp_path / "best.keras")
    content = bytearray((tmp_path / "best.keras").read_bytes())
    content[int(place * len(content))] ^= 255
    (tmp_path / "best.keras").write_bytes(content)

    with pytest.raises(ModelError, match="not a readable Keras model; train again"):
        load_network(tmp_path / "best.keras")
