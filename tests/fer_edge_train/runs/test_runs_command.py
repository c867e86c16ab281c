"""`fer-edge runs` and `fer-edge runs compare`, on run folders that were never trained."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import pytest

from fer_edge_train.runs.folder import run_lock, write_history
from support.command import FerEdge


@pytest.fixture
def call(fer_edge: FerEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FerEdge:
    """Types `fer-edge runs ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    return lambda *arguments, code=0: fer_edge("runs", *arguments, code=code)


def make_run(name: str, accuracies: list[float], *, finished: bool = True, age: int = 0, **settings: Any) -> Path:
    run = Path("runs/train") / name
    run.mkdir(parents=True)
    config = {
        "settings": {"epochs": 4, "learning_rate": 0.002, **settings},
        "classes": ["happiness", "neutral"],
        "network": {"name": "edge", "parameters": 857944, "size": 48},
        "source": {"name": "ferplus", "digest": "7" * 64},
    }
    (run / "config.json").write_text(json.dumps(config))
    os.utime(run / "config.json", (1e9 - age, 1e9 - age))
    columns = {"loss": 1.0, "accuracy": 0.3, "val_loss": 1.2, "seconds": 1900.0}
    if accuracies:
        rows = [{"epoch": float(i + 1), **columns, "val_accuracy": value} for i, value in enumerate(accuracies)]
        write_history(run / "history.csv", rows)
    if finished:
        (run / "metrics.json").write_text(json.dumps({"validation": {"accuracy": 0.75, "n": 40}}))
    return run


def test_the_newest_run_comes_first_with_all_that_tells_it_from_others(call: FerEdge) -> None:
    make_run("old", [0.25], finished=False, age=60)
    make_run("new", [0.5, 0.75])

    document = json.loads(call("--json").stdout)

    assert document["refused"] == []
    assert [run["run"] for run in document["runs"]] == ["runs/train/new", "runs/train/old"]
    assert document["runs"][0] == {
        "run": "runs/train/new",
        "state": "finished",
        "data": "ferplus",
        "network": "edge",
        "epochs": 2,
        "planned": 4,
        "val_accuracy": 0.75,
        "seconds": 3800.0,
        "started": document["runs"][0]["started"],
    }
    assert document["runs"][1]["state"] == "stopped"


def test_people_see_one_row_per_run(call: FerEdge) -> None:
    make_run("new", [0.5, 0.75])

    shown = " ".join(call().stderr.split())

    assert "│ new │ ferplus │ edge │ 2/4 │ accuracy 75.00% │ 1:03:20 │ finished │" in shown


def test_a_run_is_running_as_long_as_its_lock_is_held(call: FerEdge) -> None:
    run = make_run("exp", [0.5], finished=False)

    with run_lock(run):
        assert json.loads(call("--json").stdout)["runs"][0]["state"] == "running"
    assert json.loads(call("--json").stdout)["runs"][0]["state"] == "stopped"


def test_a_run_without_a_complete_epoch_has_no_accuracy_yet(call: FerEdge) -> None:
    make_run("exp", [], finished=False)

    [run] = json.loads(call("--json").stdout)["runs"]

    assert (run["epochs"], run["val_accuracy"], run["seconds"]) == (0, None, 0.0)


def test_a_face_detectors_run_is_one_line_and_hides_no_other(fer_edge: FerEdge, call: FerEdge) -> None:
    make_run("exp", [0.5])
    config = {"task": "detect", "settings": {"width": 320}, "network": {"name": "face"}, "source": {}}
    face = Path("runs/train/face")
    face.mkdir()
    (face / "config.json").write_text(json.dumps(config))
    (face / "history.csv").write_text("epoch,val_recall\n1,0.8\n")
    told = "runs/train/face: a face detector's run of an older fer-edge; detectors are no longer trained"

    document = json.loads(call("--json").stdout)

    assert [run["run"] for run in document["runs"]] == ["runs/train/exp"]
    assert document["refused"] == [told]
    for command in (["runs", "compare", "exp", "face"], ["train", "--resume", str(face)]):
        done = fer_edge(*command)
        assert (done.code, done.stderr) == (1, f"error: {told}\n")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", None, "runs/train/bad is not a run: config.json is missing"),
        ("config.json", "{", "runs/train/bad/config.json is damaged"),
        ("config.json", "[]", "runs/train/bad/config.json is damaged"),
        ("config.json", '{"settings": {}, "network": {}, "source": {}}', "bad/config.json is not that of a training"),
        ("config.json", '{"settings": 1, "classes": [], "network": {}, "source": {}}', "is not that of a training"),
        ("history.csv", "epoch\nx\n", "runs/train/bad/history.csv is damaged"),
        ("metrics.json", "{", "runs/train/bad/metrics.json is damaged"),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_line_and_hides_no_other(
    call: FerEdge, file: str, content: str | None, told: str
) -> None:
    make_run("good", [0.5])
    bad = make_run("bad", [0.5])
    if content is None:
        (bad / file).unlink()
    else:
        (bad / file).write_text(content)

    document = json.loads(call("--json").stdout)

    assert [run["run"] for run in document["runs"]] == ["runs/train/good"]
    [line] = document["refused"]
    assert told in line
    assert [line for line in call().stderr.splitlines() if line.startswith("warning: ")] == [f"warning: {line}"]


def test_no_run_at_all_says_how_to_make_one(call: FerEdge) -> None:
    Path("runs/train").mkdir(parents=True)

    assert "no run in runs/train; start one: fer-edge train --data DIR" in call().stderr


def test_a_missing_folder_is_one_clear_error(call: FerEdge) -> None:
    told = call("--project", "nowhere", code=2).stderr

    assert told == "error: nowhere: no such folder; give the folder of your runs: --project DIR\n"


def test_compare_says_what_differs_and_nothing_else(call: FerEdge) -> None:
    make_run("a", [0.5, 0.75])
    make_run("b", [0.25], finished=False, learning_rate=0.01, augmentation={"flip": False})

    document = json.loads(call("compare", "a", "runs/train/b", "--json").stdout)

    assert document["runs"] == ["a", "b"]
    assert document["differences"] == {"learning_rate": [0.002, 0.01], "augmentation.flip": [None, False]}
    assert document["figures"] == {
        "state": ["finished", "stopped"],
        "epochs done": [2, 1],
        "seconds": [3800.0, 1900.0],
        "best val_accuracy": [0.75, 0.25],
        "validation accuracy": [0.75, None],
        "validation n": [40, None],
    }


def test_compare_draws_the_curves_together(call: FerEdge) -> None:
    make_run("a", [0.5, 0.75])
    make_run("b", [0.25, 0.5, 0.5])
    make_run("started", [])

    assert "wrote curves.png" in call("compare", "a", "b", "started", "--out", "curves.png").stderr

    assert cv2.imread("curves.png").std() > 10


def test_runs_of_the_same_name_are_told_apart_by_their_paths(call: FerEdge) -> None:
    make_run("a", [0.5])
    Path("runs/train").rename("runs/before")
    make_run("a", [0.5])

    document = json.loads(call("compare", "runs/before/a", "runs/train/a", "--json").stdout)

    assert document["runs"] == ["runs/before/a", "runs/train/a"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a"], "give two or more runs: fer-edge runs compare A B"),
        (["a", "nowhere"], "nowhere is not a run folder"),
        (["a", "a", "--out", "curves.pdf"], "--out curves.pdf: name a .png file"),
    ],
)
def test_what_cannot_be_compared_is_one_line(call: FerEdge, arguments: list[str], told: str) -> None:
    make_run("a", [0.5])

    done = call("compare", *arguments, code=None)

    assert done.code in (1, 2)
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
