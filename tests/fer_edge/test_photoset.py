import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import DataError
from fer_edge.faceset import FaceSet
from fer_edge.photoset import Photo, PhotoSet


def photo(name: str, split: Any, height: int, width: int, faces: int) -> Photo:
    """A photo of noise; every second face is beyond doubt."""
    rng = np.random.default_rng(height)
    pixels = rng.integers(0, 256, (height, width), np.uint8)
    marks = rng.normal(50, 20, (2, faces, 4)).astype(np.float32)
    return Photo(name, split, pixels, marks[0], marks[1], np.arange(faces) % 2 == 0)


@pytest.fixture
def photos() -> PhotoSet:
    """Photos of three sizes; the first and the last one have no face."""
    return PhotoSet(
        [
            photo("empty/1.jpg", "training", 3, 5, faces=0),
            photo("écran.png", "testing", 40, 20, faces=2),
            photo("c.jpg", "training", 7, 7, faces=1),
            photo("d.jpg", "validation", 1, 1, faces=0),
        ],
        source={"data": "made up", "seed": 3},
    )


def changed(photos: PhotoSet, path: Path, **columns: Any) -> Path:
    """A saved set with some of its columns replaced; None takes one away."""
    photos.save(path)
    with np.load(path) as saved:
        kept = {name: saved[name] for name in saved} | columns
    np.savez(path, **{name: column for name, column in kept.items() if column is not None})
    return path


def test_a_set_comes_back_as_it_was_saved(tmp_path: Path, photos: PhotoSet) -> None:
    photos.save(tmp_path / "photos.npz")
    loaded = PhotoSet.load(tmp_path / "photos.npz")

    assert loaded.source == {"data": "made up", "seed": 3}
    assert [(one.name, one.split) for one in loaded.photos] == [
        ("empty/1.jpg", "training"),
        ("écran.png", "testing"),
        ("c.jpg", "training"),
        ("d.jpg", "validation"),
    ]
    assert [len(one.boxes) for one in loaded.photos] == [0, 2, 1, 0]
    for one, other in zip(loaded.photos, photos.photos, strict=True):
        for name in ("pixels", "boxes", "eyes", "sure"):
            here, there = getattr(one, name), getattr(other, name)
            assert here.dtype == there.dtype
            np.testing.assert_array_equal(here, there, strict=True)


def test_photos_without_any_face_come_back(tmp_path: Path) -> None:
    PhotoSet([photo("a.jpg", "testing", 4, 4, 0), photo("b.jpg", "testing", 2, 3, 0)]).save(tmp_path / "photos.npz")

    loaded = PhotoSet.load(tmp_path / "photos.npz")

    assert [one.boxes.shape for one in loaded.photos] == [(0, 4), (0, 4)]
    assert [one.pixels.shape for one in loaded.photos] == [(4, 4), (2, 3)]


def test_a_set_without_photos_comes_back(tmp_path: Path) -> None:
    PhotoSet([], {"data": "nothing"}).save(tmp_path / "photos.npz")

    loaded = PhotoSet.load(tmp_path / "photos.npz")

    assert (len(loaded), loaded.source) == (0, {"data": "nothing"})


def test_a_part_has_the_photos_of_its_split(photos: PhotoSet) -> None:
    assert [one.name for one in photos.part("training")] == ["empty/1.jpg", "c.jpg"]
    assert len(photos) == 4


def test_a_missing_set_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; make a run: fer-edge train --task detect"):
        PhotoSet.load(tmp_path / "photos.npz")


def test_a_set_of_another_format_is_refused(tmp_path: Path, photos: PhotoSet) -> None:
    meta = np.array(json.dumps({"format": 7, "source": {}}))

    with pytest.raises(DataError, match="photo set of format 7; this fer-edge reads 1"):
        PhotoSet.load(changed(photos, tmp_path / "new.npz", meta=meta))


@pytest.mark.parametrize(
    "columns",
    [
        {"eyes": None},
        {"names": np.array(["a.jpg"])},
        {"sizes": np.array([[9, 9]] * 4)},
        {"pixels": np.zeros(3, np.uint8)},
        {"boxes": np.zeros((2, 4), np.float32)},
        {"meta": np.array("no JSON")},
        {"meta": np.array("[]")},
        {"meta": np.array("{}")},
        {"names": np.array([{}, {}, {}, {}], object)},
    ],
    ids=lambda columns: str(next(iter(columns.items())))[:40],
)
def test_a_damaged_set_is_refused(tmp_path: Path, photos: PhotoSet, columns: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not a set of photos with marked faces; make a new run"):
        PhotoSet.load(changed(photos, tmp_path / "bad.npz", **columns))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.npz").write_bytes(content)

    with pytest.raises(DataError, match="not a set of photos with marked faces"):
        PhotoSet.load(tmp_path / "photos.npz")


def test_a_set_cut_short_is_refused(tmp_path: Path, photos: PhotoSet) -> None:
    photos.save(tmp_path / "photos.npz")
    content = (tmp_path / "photos.npz").read_bytes()
    (tmp_path / "photos.npz").write_bytes(content[: len(content) // 2])

    with pytest.raises(DataError, match="not a set of photos with marked faces"):
        PhotoSet.load(tmp_path / "photos.npz")


def test_a_set_of_faces_is_no_set_of_photos(tmp_path: Path) -> None:
    FaceSet(
        faces=np.zeros((1, 8, 8), np.uint8),
        votes=np.ones((1, 1), np.float32),
        agreed=np.array([True]),
        split=np.array(["training"]),
        group=np.array(["a"]),
        names=np.array(["1.png"]),
        classes=("happiness",),
        source={},
        photos=np.zeros(1, np.uint64),
    ).save(tmp_path / "set.npz")

    with pytest.raises(DataError, match="not a set of photos with marked faces"):
        PhotoSet.load(tmp_path / "set.npz")
