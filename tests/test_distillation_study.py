"""Distillation of the expression models: who teaches, chooses and proves, and a training that survives a kill."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import UsageError
from fer_edge.labels import EXPRESSIONS
from fer_edge.recognition.classifier import BUNDLED
from studies.distillation import student, views
from studies.distillation.faces import divided, proves
from studies.distillation.student import main, targets
from studies.distillation.views import VIEWS, view_of

LEGS = "16:3:0.004,24:1:0.001"


def face_set(n: int, split: list[str]) -> FaceSet:
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (n, 24, 24), np.uint8)
    votes = np.eye(3, dtype=np.float32)[np.arange(n) % 3] * 10
    names = np.array([f"{number}.png" for number in range(n)])
    return FaceSet(faces, votes, np.ones(n, bool), np.array(split), names, names, ("a", "b", "c"))


def test_faces_that_stand_in_validation_do_not_teach_and_validation_is_halved() -> None:
    faces = face_set(40, 20 * ["training"] + 20 * ["validation"])
    faces.faces[3] = faces.faces[25]
    faces.faces[4] = np.clip(faces.faces[26].astype(int) + 1, 0, 255)  # nearly equal

    result = divided(faces)

    assert sorted(set(faces.names) - set(result.names)) == ["3.png", "4.png"]
    held_out = result.take(result.split != "training")
    assert [proves(face) for face in held_out.faces] == (held_out.split == "testing").tolist()
    assert 0 < (held_out.split == "testing").sum() < 20


def test_a_view_is_the_same_whenever_it_is_made() -> None:
    faces = face_set(6, 6 * ["training"]).faces

    assert (view_of(faces, 0, 0) == faces).all()
    assert (view_of(faces, 1, 0) == view_of(faces, 1, 0)).all()
    assert (view_of(faces, 1, 0) != view_of(faces, 2, 0)).any()


def test_views_are_stored_with_the_teachers_answers_and_a_complete_one_is_kept(tmp_path: Path) -> None:
    faces = face_set(6, 6 * ["training"])
    faces.save(tmp_path / "three.npz")
    eight = replace(faces, votes=np.eye(8, dtype=np.float32)[:6], classes=EXPRESSIONS)
    eight.save(tmp_path / "faces.npz")

    views.main(tmp_path / "faces.npz", BUNDLED, tmp_path / "views")
    before = (tmp_path / "views/logits7.npy").stat().st_mtime_ns
    (tmp_path / "views/logits0.npy").unlink()
    views.main(tmp_path / "faces.npz", BUNDLED, tmp_path / "views")

    assert (np.load(tmp_path / "views/view3.npy") == view_of(faces.faces, 3, 0)).all()
    assert np.load(tmp_path / "views/logits0.npy").shape == (6, 8)
    assert (tmp_path / "views/logits7.npy").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="has others, or in another order"):
        views.main(tmp_path / "three.npz", BUNDLED, tmp_path / "more")


def test_targets_mix_labels_without_single_votes_and_the_teachers_answers() -> None:
    wanted = targets(np.array([[6, 2, 1], [1, 1, 0]], np.float32), np.zeros((2, 3), np.float16))

    assert wanted[0] == pytest.approx([0.4 * 0.75 + 0.2, 0.4 * 0.25 + 0.2, 0.2])
    assert wanted[1] == pytest.approx([0.4, 0.4, 0.2])  # nothing but single votes: they count


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, Path]:
    faces = face_set(600, 520 * ["training"] + 80 * ["validation"])
    faces.save(tmp_path / "faces.npz")
    (tmp_path / "views").mkdir()
    training = faces.part("training")
    for view in range(VIEWS):
        np.save(tmp_path / f"views/view{view}.npy", view_of(training.faces, view, 0))
        np.save(tmp_path / f"views/logits{view}.npy", training.votes.astype(np.float16))
    return tmp_path / "faces.npz", tmp_path / "views"


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "history.jsonl").read_text().splitlines()]


def test_a_killed_training_goes_on_as_if_it_had_not_been(
    prepared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, calls = student.evaluate, iter(range(9))

    def killed(*arguments: object) -> tuple[float, float]:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return evaluate(*arguments)  # type: ignore[arg-type]

    def train(name: str, start: Path | None = None) -> None:
        main(*prepared, tmp_path / name, "nano", LEGS, start)

    start = tmp_path / "start.keras"
    student.make_network("nano", 3, 16).save(start)
    train("straight", start)
    monkeypatch.setattr(student, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        train("killed", start)
    train("killed", start)

    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "straight"), rel=1e-4)
    assert len(losses(tmp_path / "killed")) == 4
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {
        "history.jsonl", "leg0.keras", "leg1.keras", "state.json", "state1.npz",
    }  # fmt: skip
