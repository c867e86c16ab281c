from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.data.provenance import UsedPictures, read_used_pictures, used_in, write_used_pictures
from fer_edge.errors import DataError

SETTINGS = {"seed": 0, "split": 0.2, "min_confidence": 5.0}
SOURCE = {"name": "mine", "digest": "1" * 64, "settings": SETTINGS}


@pytest.fixture
def faces() -> FaceSet:
    """Six faces of five photos; photo 20 stands in training and in validation."""
    split = np.array(["training", "training", "validation", "validation", "testing", "testing"])
    photos = np.array([10, 20, 20, 30, 40, 2**64 - 1], np.uint64)
    names = np.array([f"{i}.png" for i in range(6)])
    votes = np.ones((6, 1), np.float32)
    return FaceSet(np.zeros((6, 8, 8), np.uint8), votes, np.ones(6, bool), split, names, names, ("a",), SOURCE, photos)


def test_a_face_is_what_its_photo_was_whatever_its_own_split(faces: FaceSet) -> None:
    seen = UsedPictures.of(faces)

    assert seen is not None
    assert seen.roles(faces).tolist() == ["training", "training", "training", "validation", "", ""]


def test_used_pictures_round_trip(tmp_path: Path, faces: FaceSet) -> None:
    write_used_pictures(tmp_path, UsedPictures.of(faces), SOURCE)
    seen = read_used_pictures(tmp_path, SOURCE)

    assert seen is not None
    assert (seen.training.tolist(), seen.validation.tolist()) == ([10, 20], [20, 30])


def test_the_file_of_another_network_is_not_believed(tmp_path: Path, faces: FaceSet) -> None:
    write_used_pictures(tmp_path, UsedPictures.of(faces), SOURCE)

    assert read_used_pictures(tmp_path, {**SOURCE, "seed": 1}) is None
    assert read_used_pictures(tmp_path / "elsewhere", SOURCE) is None


def test_the_file_goes_where_a_network_is_written_that_cannot_tell(tmp_path: Path, faces: FaceSet) -> None:
    write_used_pictures(tmp_path, UsedPictures.of(faces), SOURCE)
    write_used_pictures(tmp_path, None, SOURCE)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "seen.npz").write_bytes(content)

    with pytest.raises(DataError, match=r"seen\.npz is damaged; to write it again, type: fer-edge train --resume RUN"):
        read_used_pictures(tmp_path, SOURCE)


def test_without_a_file_only_the_same_data_set_divided_alike_is_known(faces: FaceSet) -> None:
    other_seed = {**SOURCE, "settings": {**SETTINGS, "seed": 1}}

    assert used_in(faces, SOURCE, None) is not None
    assert used_in(faces, other_seed, None) is None
    assert used_in(faces, {"digest": "2" * 64}, None) is None
    assert used_in(replace(faces, source={}), {}, None) is None


def test_a_set_that_does_not_tell_its_photos_is_never_known(faces: FaceSet) -> None:
    untold = replace(faces, photos=np.zeros(0, np.uint64))

    assert UsedPictures.of(untold) is None
    assert used_in(untold, SOURCE, UsedPictures.of(faces)) is None
