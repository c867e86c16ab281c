"""Splits, order and calibration sample are the same for the same seed, whatever the machine and its numpy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet, drawing_order
from fer_edge.imaging.images import write_picture
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.training import fit
from fer_edge_train.training.batches import shuffled_indices
from support.tiny_data_sets import picture

FILES = (
    "smile/Zoë.png",
    "frown/Älg.png",
    "tongue/a.png",
    "smile/B.png",
    "frown/b 1.png",
    "tongue/é.png",
    "smile/z.png",
    "frown/zz.png",
    "tongue/ß.png",
    "smile/1.png",
    "frown/10.png",
    "tongue/2.png",
)
SPLITS = {
    "training": ["frown/b 1.png", "frown/zz.png", "smile/1.png", "smile/z.png", "tongue/2.png", "tongue/a.png"],
    "validation": ["frown/Älg.png", "smile/Zoë.png", "tongue/ß.png"],
    "testing": ["frown/10.png", "smile/B.png", "tongue/é.png"],
}
"""What seed 7 makes of `FILES`, in the order of the faces."""

READ = """
import json, pathlib, sys
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.prepare import load_faces

faces = load_faces(pathlib.Path("data"), size=24, settings=DataSettings(seed=7, jobs=int(sys.argv[1])))
print(json.dumps({split: faces.part(split).names.tolist() for split in ("training", "validation", "testing")}))
"""


def write(root: Path, files: tuple[str, ...]) -> None:
    for file in files:
        write_picture(root / file, picture(FILES.index(file)))


@pytest.mark.parametrize(
    ("jobs", "step", "environment"),
    [
        (1, 1, {"PYTHONHASHSEED": "1", "LC_ALL": "C"}),
        (3, -1, {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8"}),  # the files made in the opposite order
        (2, 5, {"PYTHONHASHSEED": "3", "LC_ALL": "", "LANG": "tr_TR.UTF-8"}),
    ],
)
def test_splits_and_order_depend_on_nothing_but_names_and_seed(
    tmp_path: Path, jobs: int, step: int, environment: dict[str, str]
) -> None:
    write(tmp_path / "data", tuple(FILES[(i * step) % len(FILES)] for i in range(len(FILES))))
    run = [sys.executable, "-c", READ, str(jobs)]
    done = subprocess.run(run, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == SPLITS


def some_faces(count: int) -> FaceSet:
    """Training faces of two classes, one face in five of the second."""
    names = np.array([f"{i:02}.png" for i in range(count)])
    votes = np.eye(2, dtype=np.float32)[(np.arange(count) % 5 == 0).astype(int)]
    split = np.full(count, "training")
    return FaceSet(np.zeros((count, 8, 8), np.uint8), votes, np.ones(count, bool), split, names, names, ("sad", "glad"))


def test_calibration_faces_are_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "CALIBRATION_FACES", 6)
    assert fit.calibration_faces(some_faces(20), seed=3).names.tolist() == [
        "00.png",
        "04.png",
        "05.png",
        "11.png",
        "13.png",
        "18.png",
    ]
    assert fit.calibration_faces(some_faces(20), seed=4).names.tolist() == [
        "04.png",
        "05.png",
        "14.png",
        "15.png",
        "16.png",
        "17.png",
    ]


def test_the_order_of_an_epoch_is_this() -> None:
    assert shuffled_indices(8, np.random.default_rng([7, 0])).tolist() == [6, 3, 4, 0, 2, 7, 5, 1]
    assert shuffled_indices(8, np.random.default_rng([7, 1])).tolist() == [1, 3, 2, 7, 4, 5, 0, 6]


def test_equal_names_are_drawn_in_their_order() -> None:
    assert drawing_order(["b", "a", "b", "a"], seed=0).tolist() == [0, 2, 1, 3]


def test_no_name_is_no_order() -> None:
    assert drawing_order([], seed=0).tolist() == []


def test_what_numpy_does_not_promise_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILES)
    for name in ("default_rng", "RandomState", "permutation", "shuffle", "choice"):
        monkeypatch.delattr(np.random, name)
    faces = load_faces(tmp_path, size=24, settings=DataSettings(seed=7))
    assert {split: faces.part(split).names.tolist() for split in SPLITS} == SPLITS
    assert len(fit.calibration_faces(faces.part("training"), seed=0)) == 6
