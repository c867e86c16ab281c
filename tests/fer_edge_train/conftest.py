"""A data set that a network learns in seconds."""

from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of 24 px pictures with a bright bar at the top, middle or bottom, in three splits."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    faces = rng.integers(0, 60, (240, 24, 24), np.uint8)
    for face, label in zip(faces, labels, strict=True):
        face[3 + 8 * label : 6 + 8 * label] += 150
    names = np.array([f"bar{i:03}.png" for i in range(240)])
    split = np.array(["training"] * 150 + ["validation"] * 45 + ["testing"] * 45)
    votes = np.eye(3, dtype=np.float32)[labels]
    source = {"name": "bars", "digest": "0" * 64, "licence": "made by a test"}
    path = tmp_path_factory.mktemp("bars") / "bars.npz"
    photos, classes = np.arange(240, dtype=np.uint64), ("high", "middle", "low")
    FaceSet(faces, votes, np.ones(240, bool), split, names, names, classes, source, photos).save(path)
    return path
