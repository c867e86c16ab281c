"""Which faces a model is judged on: never, unasked, those it was trained on."""

from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import DataError, ModelError
from fer_edge.faceset import FaceSet
from fer_edge.images import write_picture
from fer_edge_train.data_settings import DataSettings
from fer_edge_train.evaluate import Judged, evaluate, load_faces_for, load_judged
from fer_edge_train.prepare import load_faces

CLASSES = ("frown", "smile")


def judged(source: dict[str, object], classes: tuple[str, ...] = CLASSES) -> Judged:
    """A model that always says the first class."""
    first = np.eye(len(classes), dtype=np.float32)[0]
    return Judged(Path("model.tflite"), classes, 16, 1.0, source, lambda pixels: np.tile(first, (len(pixels), 1)))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for number in range(20):
            write_picture(tmp_path / name / f"{number:02}.png", rng.integers(0, 256, (16, 16, 3), np.uint8))
    return tmp_path


def test_a_data_set_it_was_trained_on_is_divided_as_it_was_then(folders: Path) -> None:
    trained = load_faces(folders, size=16, settings=DataSettings(seed=7, split=0.3))

    faces, part = load_faces_for(judged(trained.source), folders, DataSettings(), None)

    assert part == "testing"
    assert sorted(faces.names) == sorted(trained.part("testing").names)
    assert len(faces) == 12


def test_another_data_set_is_judged_whole(folders: Path) -> None:
    faces, part = load_faces_for(judged({"digest": "another"}), folders, DataSettings(), None)

    assert (part, len(faces)) == ("all", 40)


def test_another_data_set_with_splits_of_its_own_keeps_them(folders: Path) -> None:
    for split in ("train", "test"):
        (folders / split).mkdir()
    for name in CLASSES:
        (folders / name).rename(folders / "train" / name)
        write_picture(folders / "test" / name / "0.png", np.zeros((16, 16, 3), np.uint8))

    faces, part = load_faces_for(judged({}), folders, DataSettings(), None)

    assert (part, len(faces)) == ("testing", 2)


def test_a_split_that_is_not_there_is_an_error_that_names_those_that_are(bars: Path, tmp_path: Path) -> None:
    FaceSet.load(bars).part("training").save(tmp_path / "part.npz")
    model = judged({}, ("high", "middle", "low"))

    with pytest.raises(DataError, match=r"no testing face; it has training: --split training"):
        load_faces_for(Judged(**{**vars(model), "size": 24}), tmp_path / "part.npz", DataSettings(), "testing")


def test_faces_of_a_class_that_the_model_does_not_know_are_refused(bars: Path) -> None:
    with pytest.raises(DataError, match="the data has high, middle, low, the model knows only frown, smile"):
        evaluate(judged({}), FaceSet.load(bars), "all", "majority")


def test_figures_name_model_split_and_protocol(bars: Path) -> None:
    figures = evaluate(judged({}, ("high", "middle", "low")), FaceSet.load(bars).part("testing"), "testing", "majority")

    assert (figures["model"], figures["split"], figures["protocol"]) == (
        "model.tflite",
        "testing",
        "one label per face",
    )
    assert (figures["n"], figures["accuracy"], figures["balanced_accuracy"]) == (45, 0.333333, 0.333333)


def test_a_keras_file_outside_a_run_folder_has_no_class_names(tmp_path: Path) -> None:
    (tmp_path / "best.keras").write_bytes(b"no network")

    with pytest.raises(ModelError, match="not a Keras model that can be read"):
        load_judged(tmp_path)
