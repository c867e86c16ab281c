"""`fer-edge train` and `fer-edge evaluate` as a user types them, on faces that are learnt in seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FER_EDGE = [sys.executable, "-m", "fer_edge"]


def fer_edge(*arguments: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*FER_EDGE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def train_bars(bars: Path, name: str, epochs: int) -> list[str]:
    settings = ["--imgsz", "24", "--epochs", str(epochs), "--batch", "8", "--lr", "0.005", "--ema", "0.9"]
    return ["train", "--data", str(bars), *settings, "--no-augment", "--name", name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def run(bars: Path, folder: Path) -> Path:
    done = fer_edge(*train_bars(bars, "whole", 6), "--json", cwd=folder)
    document = json.loads(done.stdout)
    assert "epoch 6/6" in done.stderr
    return folder / str(document["run"])


def test_a_run_leaves_every_file_that_it_promises(run: Path) -> None:
    expected = "best.keras calibration.npz config.json confusion_matrix.png heldout.npz history.csv history.png"
    assert sorted(path.name for path in run.iterdir()) == [*expected.split(), "last.keras", "metrics.json"]


def test_bars_are_learnt(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["testing"]["accuracy"] > 0.9
    assert metrics["testing"]["n"] == 45


def test_the_run_keeps_training_faces_apart_from_those_held_out(run: Path) -> None:
    from fer_edge.faceset import FaceSet

    calibration, heldout = FaceSet.load(run / "calibration.npz"), FaceSet.load(run / "heldout.npz")
    assert set(calibration.split) == {"training"}
    assert set(heldout.split) == {"validation", "testing"}
    assert not set(calibration.names) & set(heldout.names)


def test_evaluate_gives_the_figures_of_the_run_again(run: Path, bars: Path, folder: Path) -> None:
    done = fer_edge("evaluate", "--model", run, "--data", bars, "--json", cwd=folder)
    document = json.loads(done.stdout)
    trained = json.loads((run / "metrics.json").read_text())["testing"]
    assert document["split"] == "testing"
    assert {key: document[key] for key in trained} == trained
    assert (folder / "runs/evaluate/exp/confusion_matrix.png").stat().st_size > 5000
    assert json.loads((folder / "runs/evaluate/exp/metrics.json").read_text()) == document


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["train"], "--resume RUN", 2),
        (["train", "--data", "nowhere"], "nowhere", 1),
        (["train", "--data", "nowhere.npz"], "fer-edge prepare", 1),
        (["train", "--resume", "nowhere"], "not a run folder", 1),
        (["evaluate", "--model", "no.keras", "--data", "nowhere"], "no such file", 1),
        (["evaluate", "--model", "no.tflite", "--data", "nowhere"], "fer-edge export", 1),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], message: str, code: int, tmp_path: Path) -> None:
    done = fer_edge(*arguments, cwd=tmp_path, code=code)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_faces_without_validation_are_refused_before_there_is_a_run(bars: Path, tmp_path: Path) -> None:
    from fer_edge.faceset import FaceSet

    FaceSet.load(bars).part("training").save(tmp_path / "part.npz")

    done = fer_edge("train", "--data", "part.npz", "--imgsz", "24", cwd=tmp_path, code=1)

    assert "part.npz has no validation face; make another: fer-edge prepare" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["part.npz"]


def history(run: Path) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.genfromtxt(run / "history.csv", delimiter=",", names=True)[["epoch", "loss", "val_loss", "val_accuracy"]]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_run_that_was_stopped_goes_on_where_it_stood(
    run: Path, bars: Path, folder: Path, sent: signal.Signals, code: int
) -> None:
    killed = folder / f"runs/train/{sent.name}"
    command = [*FER_EDGE, *train_bars(bars, sent.name, 6)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (killed / "last.keras").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, sent)
    told = process.communicate()[1]
    assert process.returncode == code
    assert "Traceback" not in told
    assert (f"fer-edge train --resume runs/train/{sent.name}" in told) == (sent == signal.SIGINT)
    assert len(np.atleast_1d(history(killed))) < 6, "killed too late to show anything"
    fer_edge("train", "--resume", killed, cwd=folder)
    for name in ("epoch", "loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(history(killed)[name], history(run)[name], rtol=1e-4)


def test_a_changed_data_set_is_not_gone_on_with(run: Path, bars: Path, folder: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    changed = tmp_path / "run"
    changed.mkdir()
    (changed / "config.json").write_text(json.dumps({**config, "source": {"digest": "1" * 64}}))
    done = fer_edge("train", "--resume", changed, cwd=folder, code=1)
    assert "has changed" in done.stderr
