"""Predictions of trained networks for the training faces, also of unlabelled faces."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError, FerEdgeError, UsageError
from fer_edge.imaging.images import Pixels
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.evaluation.evaluate import EvaluatedModel
from fer_edge_train.training.batches import Floats
from fer_edge_train.training.distillation import load_teachers, load_unlabelled, teacher_probabilities
from support.paths import ROOT
from support.tiny_data_sets import class_folders


def teacher(logits: list[float], classes: tuple[str, ...] = ("frown", "smile"), size: int = 8) -> EvaluatedModel:
    def say(faces: Pixels) -> Floats:
        assert faces.shape[1:] == (size, size)
        return np.tile(np.array(logits, np.float32), (len(faces), 1))

    return EvaluatedModel(Path("teacher"), classes, size, 1.0, {}, None, say)


FACES = np.zeros((3, 8, 8), np.uint8)


def test_teachers_answer_with_the_mean_of_their_probabilities() -> None:
    sure, unsure = teacher([np.log(9.0), 0.0]), teacher([0.0, 0.0])
    said = teacher_probabilities([sure, unsure], FACES, ("frown", "smile"), temperature=1.0)
    np.testing.assert_allclose(said, [[0.7, 0.3]] * 3, atol=1e-6)


def test_a_temperature_brings_the_classes_nearer_to_each_other() -> None:
    said = teacher_probabilities([teacher([np.log(9.0), 0.0])], FACES, ("frown", "smile"), temperature=2.0)
    np.testing.assert_allclose(said, [[0.75, 0.25]] * 3, atol=1e-6)


def test_answers_come_in_the_order_of_the_classes_wanted() -> None:
    said = teacher_probabilities([teacher([np.log(9.0), 0.0])], FACES, ("smile", "frown"), temperature=1.0)
    np.testing.assert_allclose(said, [[0.1, 0.9]] * 3, atol=1e-6)


def test_a_teacher_sees_faces_of_its_own_size() -> None:
    said = teacher_probabilities([teacher([0.0, 0.0], size=12)], FACES, ("frown", "smile"), temperature=1.0)
    np.testing.assert_allclose(said, 0.5)


def test_a_teacher_of_other_classes_is_refused_by_name() -> None:
    bundled = ROOT / "edge_runtime" / "fer_edge" / "models" / "edge.tflite"
    with pytest.raises(UsageError, match=r"--teacher .*edge.tflite has classes neutral, .*; the data has frown, smile"):
        load_teachers([str(bundled)], ("frown", "smile"))


def test_a_teacher_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match="nothing: No such file"):
        load_teachers([str(tmp_path / "nothing")], ("frown", "smile"))


def test_pictures_at_any_depth_are_faces_without_a_label(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("one.png", "a/two.png", "a/b/three.png"):
        cv2.imwrite(str(tmp_path / path), np.full((20, 20, 3), 90, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    faces = load_unlabelled(tmp_path, 16, DataSettings())
    assert sorted(faces.names.tolist()) == ["a/b/three.png", "a/two.png", "one.png"]
    assert set(faces.split.tolist()) == {"training"}
    assert faces.size == 16


def test_all_faces_of_undivided_class_folders_may_be_learnt_from(tmp_path: Path) -> None:
    class_folders(tmp_path / "faces", {"frown": 5, "smile": 5})
    assert len(load_unlabelled(tmp_path / "faces", 16, DataSettings())) == 10


def test_what_a_data_set_holds_out_itself_is_left_out(tmp_path: Path) -> None:
    counts = {"training/frown": 3, "training/smile": 3, "testing/frown": 2, "testing/smile": 2}
    class_folders(tmp_path / "faces", counts)
    assert len(load_unlabelled(tmp_path / "faces", 16, DataSettings())) == 6


def test_a_damaged_picture_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.full((20, 20, 3), 90, np.uint8))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert len(load_unlabelled(tmp_path, 16, DataSettings())) == 1
    assert "1 pictures of" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "reason"), [("nothing", "no such folder"), ("empty", "no picture in it")])
def test_a_folder_without_faces_is_one_clear_line(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=reason):
        load_unlabelled(tmp_path / name, 16, DataSettings())
