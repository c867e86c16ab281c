import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet, must_have_two_classes
from fer_edge.errors import DataError


@pytest.fixture
def faces() -> FaceSet:
    """Four faces of 8x8; the third has a tie, the last is a testing face."""
    return FaceSet(
        faces=np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8),
        votes=np.array([[8, 2], [1, 9], [5, 5], [0, 10]], np.float32),
        agreed=np.array([True, True, False, True]),
        split=np.array(["training", "training", "validation", "testing"]),
        group=np.array(["a", "a", "b", "c"]),
        names=np.array(["1.png", "2.png", "3.png", "4.png"]),
        classes=("sadness", "happiness"),
        source={"data": "made up"},
        photos=np.array([7, 7, 2**64 - 1, 0], np.uint64),
    )


def test_a_set_comes_back_as_it_was_saved(tmp_path: Path, faces: FaceSet) -> None:
    faces.save(tmp_path / "set.npz")
    loaded = FaceSet.load(tmp_path / "set.npz")

    np.testing.assert_array_equal(loaded.faces, faces.faces)
    np.testing.assert_array_equal(loaded.votes, faces.votes)
    assert (loaded.classes, loaded.source) == (("sadness", "happiness"), {"data": "made up"})
    assert loaded.names.tolist() == ["1.png", "2.png", "3.png", "4.png"]
    assert loaded.photos.tolist() == [7, 7, 2**64 - 1, 0]


def test_a_set_holds_no_time_and_its_faces_as_they_are(tmp_path: Path, faces: FaceSet) -> None:
    faces.save(tmp_path / "set.npz")
    with zipfile.ZipFile(tmp_path / "set.npz") as archive:
        members = {member.filename: member for member in archive.infolist()}
    assert {member.date_time for member in members.values()} == {(1980, 1, 1, 0, 0, 0)}  # the same bytes every day
    assert members["faces.npy"].compress_type == zipfile.ZIP_STORED
    assert members["names.npy"].compress_type == zipfile.ZIP_DEFLATED


def test_a_compressed_set_of_an_older_fer_edge_is_read(tmp_path: Path, faces: FaceSet) -> None:
    faces.save(tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as columns:
        np.savez_compressed(tmp_path / "old.npz", **columns)
    np.testing.assert_array_equal(FaceSet.load(tmp_path / "old.npz").faces, faces.faces)


def test_a_set_of_an_older_fer_edge_does_not_tell_its_photos(tmp_path: Path, faces: FaceSet) -> None:
    faces.save(tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as columns:
        older = {name: columns[name] for name in columns if name != "photos"}
    np.savez(tmp_path / "old.npz", **older)

    loaded = FaceSet.load(tmp_path / "old.npz")

    assert faces.tells_photos
    assert not loaded.tells_photos
    assert loaded.part("training").names.tolist() == ["1.png", "2.png"]


def in_colour(faces: FaceSet) -> FaceSet:
    """The same faces with twice and three times as much green and blue as red."""
    return replace(faces, faces=faces.faces[..., None] // 8 * np.array([1, 2, 3], np.uint8))


def test_a_set_in_colour_comes_back_as_it_was_saved(tmp_path: Path, faces: FaceSet) -> None:
    in_colour(faces).save(tmp_path / "set.npz")
    loaded = FaceSet.load(tmp_path / "set.npz")

    assert (faces.colour, loaded.colour, loaded.size, len(loaded)) == ("grey", "rgb", 8, 4)
    np.testing.assert_array_equal(loaded.faces, in_colour(faces).faces)
    assert loaded.part("training").faces.shape == (2, 8, 8, 3)
    assert loaded.take(np.array([3])).faces[0, 0, 1].tolist() == [24, 48, 72]


def test_an_rgb_set_has_grey_faces(faces: FaceSet) -> None:
    grey = in_colour(faces).grey

    assert grey.shape == (4, 8, 8)
    assert grey[3, 0, 1] == round(0.299 * 24 + 0.587 * 48 + 0.114 * 72)
    assert faces.grey is faces.faces
    assert in_colour(faces).part("nowhere").grey.shape == (0, 8, 8)


@pytest.mark.parametrize("shape", [(4,), (4, 8), (4, 8, 9), (4, 8, 8, 1), (4, 8, 8, 4), (4, 3, 8, 8), (4, 8, 8, 3, 1)])
def test_faces_of_another_shape_are_refused(tmp_path: Path, faces: FaceSet, shape: tuple[int, ...]) -> None:
    told = re.escape(f"(n, size, size, 3) uint8 RGB, not {shape} uint8")
    with pytest.raises(DataError, match=told):
        replace(faces, faces=np.zeros(shape, np.uint8))
    faces.save(tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as columns:
        np.savez(tmp_path / "bad.npz", **{**columns, "faces": np.zeros(shape, np.uint8)})
    with pytest.raises(DataError, match=rf"bad\.npz: .*{told}"):
        FaceSet.load(tmp_path / "bad.npz")


def test_the_first_of_equal_votes_is_the_label(faces: FaceSet) -> None:
    assert faces.labels.tolist() == [0, 1, 0, 1]


def test_counts_are_per_class(faces: FaceSet) -> None:
    assert faces.counts() == {"sadness": 2, "happiness": 2}


def test_a_part_has_the_rows_of_its_split(faces: FaceSet) -> None:
    assert faces.part("training").names.tolist() == ["1.png", "2.png"]
    assert len(faces.part("nowhere")) == 0


def test_votes_follow_their_class_into_another_order(faces: FaceSet) -> None:
    wider = faces.with_classes(("neutral", "happiness", "sadness"))

    assert wider.votes[0].tolist() == [0, 2, 8]
    assert wider.classes == ("neutral", "happiness", "sadness")


def test_names_that_mean_the_same_are_one_class(faces: FaceSet) -> None:
    arranged = replace(faces, classes=("Sad", "Happy")).with_classes(("happiness", "sadness"))
    assert arranged.votes.tolist() == [[2, 8], [9, 1], [5, 5], [10, 0]]


def test_unknown_split_is_refused(tmp_path: Path, faces: FaceSet) -> None:
    with pytest.raises(DataError, match="a face is in split 'dev'; splits are training, validation, testing"):
        replace(faces, split=np.array(["training", "training", "dev", "testing"]))


def test_faces_of_one_class_are_refused(faces: FaceSet) -> None:
    must_have_two_classes(faces, "set.npz")
    with pytest.raises(DataError, match=r"set\.npz: all training faces are happiness; a network needs two classes"):
        must_have_two_classes(faces.take(np.array([1, 3])), "set.npz")


def test_a_class_that_the_model_lacks_is_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match="the data has sadness, the model knows only happiness"):
        faces.with_classes(("happiness",))


def test_a_class_without_votes_is_allowed(faces: FaceSet) -> None:
    happy = faces.part("testing").with_classes(("happiness", "tongue"))

    assert happy.votes.tolist() == [[10, 0]]


def test_only_agreed_faces_count_under_the_majority_protocol(faces: FaceSet) -> None:
    assert (len(faces.under("majority")), len(faces.under("all"))) == (3, 4)


def test_one_label_per_face_is_no_vote(faces: FaceSet) -> None:
    assert faces.voted
    assert not replace(faces, votes=np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]).voted


def test_a_column_that_is_too_short_is_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match="the columns of the prepared set have different lengths"):
        replace(faces, names=faces.names[:2])
    with pytest.raises(DataError, match="the columns of the prepared set have different lengths"):
        replace(faces, photos=faces.photos[:2])


def test_faces_of_floats_are_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"not .* float64"):
        replace(faces, faces=faces.faces / 255)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip"])
def test_another_file_is_refused_with_the_command_that_makes_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)

    with pytest.raises(DataError, match="not a prepared set; make one: fer-edge prepare"):
        FaceSet.load(tmp_path / "set.npz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        FaceSet.load(tmp_path / "set.npz")
