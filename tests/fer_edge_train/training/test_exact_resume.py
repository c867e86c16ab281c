"""A training that is killed and resumed ends, to the bit, where an undisturbed one ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from support.runs import contents, figures

PROGRAM = """
import json, os, signal, sys

import keras

from fer_edge.cli import app
from fer_edge_train.training import callbacks
from fer_edge_train.training import fit
from fer_edge_train.training.batches import Batches

moment, left = None, 0


def die(now):
    global left
    left -= now == moment
    if left == 0 and now == moment:
        os.kill(os.getpid(), signal.SIGKILL)


def save(network, path, save=keras.Model.save):
    save(network, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    die("half of a checkpoint written")
    path.write_bytes(whole)


def write_history(path, rows, write=callbacks.write_history):
    die("history not yet written")
    write(path, rows)
    die("history written, last.keras not yet")


def save_network(network, path, save=callbacks.save_network):
    save(network, path)
    die(f"{path.name} written")


def batch(batches, index, batch=Batches.__getitem__):
    die("batch")
    return batch(batches, index)


keras.Model.save, Batches.__getitem__ = save, batch
callbacks.write_history, callbacks.save_network = write_history, save_network
for arguments, moment, left in json.loads(sys.argv[1]):
    process = os.fork()  # TensorFlow is loaded but has not begun: loading it takes longer than the training
    if not process:
        app(arguments)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""
MOMENTS = [
    ("batch", 3),  # before there is any checkpoint
    ("half of a checkpoint written", 2),  # best.keras is whole, the first last.keras is not
    ("last.keras written", 2),
    ("history not yet written", 1),
    ("batch", 8),
    ("history written, last.keras not yet", 1),
    ("last.keras written", 3),  # no epoch is better any more
]
"""Where the training is killed, one after the other: what happens, and at which time from the last start."""


def test_a_training_killed_at_any_moment_ends_where_an_undisturbed_one_ends(bars: Path, tmp_path: Path) -> None:
    settings = ["--imgsz", "24", "--batch", "30", "--epochs", "30", "--patience", "4", "--ema", "0.5", "--mixup", "0.2"]
    changes = ["--erasing", "0.3", "--low-resolution", "0.3", "--gaussian-blur", "0.3", "--jpeg", "0.3"]
    targets = ["--label-smoothing", "0.1", "--logit-adjustment", "1"]
    start = ["train", "--data", str(bars), *changes, *targets, *settings]
    first, *later = MOMENTS
    resume = ["train", "--resume", "runs/train/killed"]
    kills = [([*start, "--name", "killed"], *first), *((resume, *moment) for moment in later)]
    starts = json.dumps([([*start, "--name", "whole"], None, 0), *kills, (resume, None, 0)])

    done = subprocess.run([sys.executable, "-c", PROGRAM, starts], cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    codes = [int(line) for line in done.stdout.split()]
    assert codes == [0, *len(MOMENTS) * [-signal.SIGKILL], 0], "it never came to one of the moments"
    whole, killed_run = tmp_path / "runs/train/whole", tmp_path / "runs/train/killed"
    assert figures(killed_run) == figures(whole)
    assert len(figures(whole)) < 30, "nothing was stopped early"
    for name in ("last.keras", "best.keras"):
        expected, found = contents(whole / name), contents(killed_run / name)
        assert expected.keys() == found.keys()
        assert [part for part in expected if not np.array_equal(expected[part], found[part])] == []
    assert (killed_run / "metrics.json").exists()
