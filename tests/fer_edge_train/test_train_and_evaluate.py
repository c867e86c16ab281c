"""`fer-edge train` and `fer-edge evaluate` as a user types them, on faces that are learnt in seconds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.command import FerEdge

FER_EDGE = [sys.executable, "-m", "fer_edge"]


def train_bars(bars: Path, name: str, epochs: int) -> list[str]:
    settings = ["--imgsz", "24", "--epochs", str(epochs), "--batch", "8", "--learning-rate", "0.005", "--ema", "0.9"]
    return ["train", "--data", str(bars), *settings, "--no-augment", "--name", name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def run(fer_edge: FerEdge, bars: Path, folder: Path) -> Path:
    done = fer_edge(*train_bars(bars, "whole", 6), "--json", cwd=folder, code=0)
    document = json.loads(done.stdout)
    assert "epoch 6/6" in done.stderr
    return folder / str(document["run"])


def test_a_run_leaves_every_file_that_it_promises(run: Path) -> None:
    expected = ".lock best.keras calibration.npz config.json config.yaml confusion_matrix.png"
    also = "heldout.npz history.csv history.png last.keras metrics.json seen.npz"
    assert sorted(path.name for path in run.iterdir()) == [*expected.split(), *also.split()]


def test_bars_are_learnt(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["testing"]["accuracy"] > 0.9
    assert metrics["testing"]["n"] == 45


def test_the_run_keeps_training_faces_apart_from_those_held_out(run: Path) -> None:
    from fer_edge.data.faceset import FaceSet

    calibration, heldout = FaceSet.load(run / "calibration.npz"), FaceSet.load(run / "heldout.npz")
    assert set(calibration.split) == {"training"}
    assert set(heldout.split) == {"validation", "testing"}
    assert not set(calibration.names) & set(heldout.names)


def test_evaluate_gives_the_figures_of_the_run_again(fer_edge: FerEdge, run: Path, bars: Path, folder: Path) -> None:
    done = fer_edge("evaluate", "--model", run, "--data", bars, "--json", cwd=folder, code=0)
    document = json.loads(done.stdout)
    trained = json.loads((run / "metrics.json").read_text())["testing"]
    assert document["split"] == "testing"
    assert (document["trained_on"], document["chosen_on"]) == (0, 0)
    assert {key: document[key] for key in trained} == trained
    assert (folder / "runs/evaluate/exp/confusion_matrix.png").stat().st_size > 5000
    assert json.loads((folder / "runs/evaluate/exp/metrics.json").read_text()) == document


def test_evaluate_says_how_many_faces_of_the_split_were_trained_on(
    fer_edge: FerEdge, run: Path, bars: Path, folder: Path
) -> None:
    done = fer_edge("evaluate", "--model", run, "--data", bars, "--split", "all", cwd=folder, code=0)

    assert "of these 240 faces, 150 were used for training and 45 for choosing the best epoch\n" in done.stderr


def test_evaluate_makes_its_folder_before_it_works(fer_edge: FerEdge, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = fer_edge("evaluate", "--model", run, "--data", "nowhere", "--project", "file", cwd=tmp_path, code=1)
    again = fer_edge("evaluate", "--model", run, "--data", "nowhere", cwd=tmp_path, code=1)

    assert "cannot write file" in done.stderr
    assert "nowhere: no such folder" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["train"], "--resume RUN", 2),
        (["train", "--data", "nowhere"], "nowhere", 1),
        (["train", "--data", "nowhere.npz"], "fer-edge prepare", 1),
        (["train", "--resume", "nowhere"], "not a run folder", 1),
        (["train", "--resume", "nowhere", "--epochs", "60"], "--epochs cannot be changed by --resume", 2),
        (["train", "--resume", "nowhere", "--no-flip"], "--no-flip cannot be changed by --resume", 2),
        (["evaluate", "--model", "no.keras", "--data", "nowhere"], "no such file", 1),
        (["evaluate", "--model", "no.tflite", "--data", "nowhere"], "fer-edge export", 1),
    ],
)
def test_what_cannot_be_done_is_one_line(
    fer_edge: FerEdge, arguments: list[str], message: str, code: int, tmp_path: Path
) -> None:
    done = fer_edge(*arguments, cwd=tmp_path, code=code)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_faces_without_validation_are_refused_before_there_is_a_run(
    fer_edge: FerEdge, bars: Path, tmp_path: Path
) -> None:
    from fer_edge.data.faceset import FaceSet

    FaceSet.load(bars).part("training").save(tmp_path / "part.npz")

    done = fer_edge("train", "--data", "part.npz", "--imgsz", "24", cwd=tmp_path, code=1)

    assert "part.npz has no validation face; make another: fer-edge prepare" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["part.npz"]


def test_faces_without_a_training_split_are_refused_with_what_to_type(
    fer_edge: FerEdge, bars: Path, tmp_path: Path
) -> None:
    from fer_edge.data.faceset import FaceSet

    FaceSet.load(bars).part("testing").save(tmp_path / "part.npz")

    done = fer_edge("train", "--data", "part.npz", "--imgsz", "24", cwd=tmp_path, code=1)

    assert "part.npz has no training face, only testing ones; give class folders without splits" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "--data", "nowhere", "--out", "out", "--seed", "4294967296"],
        ["train", "--data", "nowhere", "--seed", "4294967296"],
        ["export", "nowhere", "--seed", "4294967296"],
        ["train", "--data", "nowhere", "--epochs", "99999999999999999999"],
        ["train", "--data", "nowhere", "--learning-rate", "inf"],
        ["train", "--data", "nowhere", "--weight-decay", "inf"],
        ["train", "--data", "nowhere", "--min-box-confidence", "nan"],
    ],
)
def test_a_number_that_no_training_can_use_is_refused_at_once(
    fer_edge: FerEdge, arguments: list[str], tmp_path: Path
) -> None:
    told = fer_edge(*arguments, cwd=tmp_path, code=2).stderr

    assert told.startswith(f"error: {arguments[-2]} is from ")


def test_the_highest_seed_trains(bars: Path, tmp_path: Path) -> None:
    from fer_edge_train.runs.folder import SCORE, read_history
    from fer_edge_train.settings import TrainSettings
    from fer_edge_train.training import fit

    settings = TrainSettings((str(bars),), network="expw-cnn", epochs=1, batch=1000, imgsz=24, seed=2**32 - 1)
    [row] = read_history(fit.train(settings, tmp_path, "exp") / "history.csv", SCORE)
    assert row["faces_per_s"] * row["seconds"] == pytest.approx(150, rel=0.05)  # the set is smaller than a batch


def test_a_set_up_that_was_cut_short_is_no_run_to_go_on_with(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_edge.data.faceset import FaceSet
    from fer_edge.errors import DataError
    from fer_edge_train.settings import TrainSettings
    from fer_edge_train.training import fit

    settings, save = TrainSettings((str(bars),), network="expw-cnn", epochs=1, imgsz=24), FaceSet.save

    def stop_at_heldout(faces: FaceSet, path: Path) -> None:
        if path.name == "heldout.npz":
            raise KeyboardInterrupt
        save(faces, path)

    monkeypatch.setattr(FaceSet, "save", stop_at_heldout)
    with pytest.raises(KeyboardInterrupt):
        fit.train(settings, tmp_path, "exp")
    with pytest.raises(DataError, match="exp is not a run folder; create one: fer-edge train"):
        fit.resume(tmp_path / "exp")
    monkeypatch.undo()
    assert fit.train(settings, tmp_path, "exp", exist_ok=True) == tmp_path / "exp"
    assert len(FaceSet.load(tmp_path / "exp" / "heldout.npz")) == 90


def test_a_history_shorter_than_the_weights_is_one_clear_error(run: Path, tmp_path: Path) -> None:
    from fer_edge.errors import DataError
    from fer_edge_train.training import fit

    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "history.csv").unlink()
    with pytest.raises(DataError, match=r"history\.csv lacks epochs"):
        fit.resume(copy)


def history(run: Path) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.genfromtxt(run / "history.csv", delimiter=",", names=True)[["epoch", "loss", "val_loss", "val_accuracy"]]


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs, and so perhaps to this test: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_run_that_ctrl_c_stopped_goes_on_where_it_stood(
    fer_edge: FerEdge, run: Path, bars: Path, folder: Path
) -> None:
    name = "stopped $1"
    stopped = folder / "runs/train" / name
    command = [*FER_EDGE, *train_bars(bars, name, 6)]
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_ctrl_c
    )
    deadline = time.monotonic() + 120
    while not (stopped / "last.keras").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert f"fer-edge train --resume 'runs/train/{name}'" in told
    assert len(np.atleast_1d(history(stopped))) < 6, "stopped too late to show anything"
    fer_edge("train", "--resume", stopped, cwd=folder, code=0)
    for name in ("epoch", "loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(history(stopped)[name], history(run)[name], rtol=1e-4)


def test_a_changed_data_set_is_not_gone_on_with(
    fer_edge: FerEdge, run: Path, bars: Path, folder: Path, tmp_path: Path
) -> None:
    config = json.loads((run / "config.json").read_text())
    changed = tmp_path / "run"
    changed.mkdir()
    (changed / "config.json").write_text(json.dumps({**config, "source": {"digest": "1" * 64}}))
    done = fer_edge("train", "--resume", changed, cwd=folder, code=1)
    assert "has changed" in done.stderr
