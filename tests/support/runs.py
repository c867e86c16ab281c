"""Metrics and weights of a training run, to compare two runs."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from fer_edge_train.runs.folder import SCORE, Row, read_history


def figures(run: Path) -> list[Row]:
    """Return the history without timings."""
    timed = ("seconds", "faces_per_s")
    rows = read_history(run / "history.csv", SCORE)
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


def contents(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return every array of a .keras file: weights, averages, optimizer variables, step count."""
    found: dict[str, npt.NDArray[np.generic]] = {}

    def keep(name: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Dataset):
            found[name] = part[()]

    with zipfile.ZipFile(path) as archive:
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))).visititems(keep)
    return found
