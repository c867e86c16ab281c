"""`KERAS_BACKEND=jax fer-edge train` on faces that are learnt in seconds, and what TensorFlow makes of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.command import FerEdge
from support.runs import figures

pytest.importorskip("jax", reason="needs jax: pip install '.[dev]'")

FER_EDGE = [sys.executable, "-m", "fer_edge"]
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiling is most of it
JAX = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": QUICKLY}


@pytest.fixture(scope="module")
def run(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by JAX, with dropout, averaged weights and mixed faces."""
    folder = tmp_path_factory.mktemp("jax")
    settings = ["--imgsz", "24", "--batch", "15", "--epochs", "3", "--ema", "0.8", "--mixup", "0.1"]
    command = [*FER_EDGE, "train", "--data", str(bars), *settings]
    done = subprocess.run(command, cwd=folder, env=JAX, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("epoch 1/3  ")
    return folder / "runs/train/exp"


def test_jax_learns_the_bars(run: Path) -> None:
    assert figures(run)[-1]["val_accuracy"] > 0.9
    assert '"jax": "' in (run / "config.json").read_text()


def test_tensorflow_judges_the_averaged_weights_as_jax_did(run: Path) -> None:
    from fer_edge.data.faceset import FaceSet
    from fer_edge_train.evaluation.evaluate import keras_logits, load_network

    validation = FaceSet.load(run / "heldout.npz").part("validation")
    logits = keras_logits(load_network(run / "last.keras"), validation.faces)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -logits[np.arange(len(logits)), validation.labels].mean()

    assert loss == pytest.approx(figures(run)[-1]["val_loss"], abs=1e-4)


def test_a_run_of_jax_exports_through_tensorflow(fer_edge: FerEdge, run: Path) -> None:
    fer_edge("export", run, code=0)
    fer_edge("selftest", run / "export/model_int8.tflite", code=0)


def test_a_run_of_jax_that_was_stopped_goes_on_where_it_stood(run: Path, bars: Path, tmp_path: Path) -> None:
    """Here without a kill: the first two epochs' files, and nothing else, are what a kill would leave."""
    settings = ["--imgsz", "24", "--batch", "15", "--ema", "0.8", "--mixup", "0.1"]
    stopping = """
import sys
from fer_edge.cli import app
from fer_edge_train.training import callbacks
def save(network, path, save=callbacks.save_network):
    save(network, path)
    if path.name == "last.keras" and len((path.parent / "history.csv").read_text().splitlines()) == 3:
        raise KeyboardInterrupt
callbacks.save_network = save
app(sys.argv[1:])
"""
    command = [sys.executable, "-c", stopping, "train", "--data", str(bars), "--epochs", "3", *settings]

    stopped = subprocess.run(command, cwd=tmp_path, env=JAX, capture_output=True, text=True, check=False)
    assert stopped.returncode == 130, stopped.stderr
    subprocess.run([*FER_EDGE, "train", "--resume", "runs/train/exp"], cwd=tmp_path, env=JAX, check=True)

    assert figures(tmp_path / "runs/train/exp")[-1] == pytest.approx(figures(run)[-1], abs=1e-4)
