"""Reading photos with marked faces: `faces.csv` and `pictures/`."""

from pathlib import Path

import numpy as np
import pytest
from tiny_photos import COLUMNS, marked

from fer_edge.errors import DataError
from fer_edge.photoset import Photo
from fer_edge_train.detector.photos import read_photos

FACE = "a.jpg,train,10,12,20,24,15,20,25,20,0.9"


def read(root: Path, seed: int = 0) -> dict[str, Photo]:
    return {photo.name: photo for photo in read_photos(root, seed).photos.photos}


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as refused:
        read_photos(root, 0)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_row_is_a_face_with_its_box_and_eyes(tmp_path: Path) -> None:
    photo = read(marked(tmp_path, [FACE]))["a.jpg"]

    assert photo.pixels.shape == (60, 60)
    assert photo.boxes.tolist() == [[10, 12, 20, 24]]
    assert photo.eyes.tolist() == [[15, 20, 25, 20]]
    assert photo.sure.tolist() == [True]


def test_columns_are_found_by_name_and_others_passed_over(tmp_path: Path) -> None:
    columns = "score,h,w,y,x,nose_x,left_eye_y,left_eye_x,right_eye_y,right_eye_x,split,picture"
    photo = read(marked(tmp_path, ["0.9,24,20,12,10,77,20,25,20,15,train,a.jpg"], columns))["a.jpg"]

    assert photo.boxes.tolist() == [[10, 12, 20, 24]]
    assert photo.eyes.tolist() == [[15, 20, 25, 20]]


def test_all_faces_of_a_photo_are_kept_together(tmp_path: Path) -> None:
    second = "a.jpg,train,-5,0,10,10,1,2,3,4,0.9"
    photos = read(marked(tmp_path, [FACE, FACE.replace("a.jpg", "b.jpg"), second]))

    assert [len(photos[name].boxes) for name in ("a.jpg", "b.jpg")] == [2, 1]
    assert photos["a.jpg"].boxes[1].tolist() == [-5, 0, 10, 10]  # may reach over the edge


def test_a_row_without_a_box_is_a_photo_without_a_face(tmp_path: Path) -> None:
    photo = read(marked(tmp_path, [FACE, "b.jpg,train,,,,,,,,,"]))["b.jpg"]

    assert photo.boxes.shape == photo.eyes.shape == (0, 4)
    assert photo.sure.shape == (0,)


def test_a_score_below_six_tenths_is_a_doubt(tmp_path: Path) -> None:
    rows = [FACE.replace("0.9", score) for score in ("0.59", "0.6", "0.95")]

    assert read(marked(tmp_path, rows))["a.jpg"].sure.tolist() == [False, True, True]


def test_the_held_out_photos_of_the_set_are_the_test(tmp_path: Path) -> None:
    rows = [f"{name}.jpg,{split}" + FACE[11:] for name, split in (("a", "val"), ("b", "valid"), ("c", "test"))]

    assert {photo.split for photo in read(marked(tmp_path, rows)).values()} == {"testing"}


def many(root: Path) -> Path:
    """60 training photos, which are links to one picture."""
    marked(root, [f"{number:02}.jpg" + FACE[5:] for number in range(60)])
    for number in range(60):
        (root / "pictures" / f"{number:02}.jpg").symlink_to("a.jpg")
    return root


def validating(root: Path, seed: int) -> list[str]:
    return [name for name, photo in read(root, seed).items() if photo.split == "validation"]


def test_the_same_seed_holds_the_same_photos_back_and_another_seed_others(tmp_path: Path) -> None:
    root = many(tmp_path)
    first = validating(root, 0)
    (root / "faces.csv").write_text("\n".join([COLUMNS, *reversed((root / "faces.csv").read_text().split()[1:])]))

    assert 2 <= len(first) <= 9  # 8 % of 60
    assert validating(root, 0) == first  # whatever the order of the rows
    assert validating(root, 1) != first


def test_a_changed_picture_or_table_changes_the_digest(tmp_path: Path) -> None:
    def digest() -> object:
        return read_photos(tmp_path, 0).photos.source["digest"]

    root = marked(tmp_path, [FACE])
    before = digest()
    assert digest() == before
    (root / "pictures" / "a.jpg").write_bytes((root / "pictures" / "b.jpg").read_bytes())
    with_other_picture = digest()
    (root / "faces.csv").write_text((root / "faces.csv").read_text().replace("0.9", "0.8"))

    assert len({before, with_other_picture, digest()}) == 3


def test_the_source_says_where_the_photos_came_from(tmp_path: Path) -> None:
    (tmp_path / "party").mkdir()
    root = marked(tmp_path / "party", [FACE, FACE, "b.jpg,train,,,,,,,,,"])
    (root / "LICENSE").write_text("CC0 1.0\nand so on\n")
    source = read_photos(root, 7).photos.source

    assert len(source.pop("digest")) == 64
    assert source == {"name": "party", "terms": "CC0 1.0", "photos": 2, "faces": 2, "seed": 7}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.jpg", "No such file"),
        ("text.jpg", "not a picture that OpenCV can read"),
        ("empty.jpg", "the file is empty"),
        ("folder.jpg", "not a file"),
        ("", "not a file"),
        ("../faces.csv", "outside of"),
        ("/etc/hostname", "outside of"),
        ("b\0.jpg", "NUL character"),
    ],
)
def test_a_picture_that_cannot_be_used_is_left_out_and_named(tmp_path: Path, name: str, reason: str) -> None:
    root = marked(tmp_path, [FACE, name + FACE[5:]])
    (root / "pictures" / "text.jpg").write_text("no picture\n")
    (root / "pictures" / "empty.jpg").write_bytes(b"")
    (root / "pictures" / "folder.jpg").mkdir()

    photos, [skipped] = read_photos(root, 0)

    assert [photo.name for photo in photos.photos] == ["a.jpg"]
    assert skipped.origin == name
    assert reason in skipped.reason
    assert photos.source["faces"] == 1


def test_a_picture_left_out_changes_nobody_elses_part(tmp_path: Path) -> None:
    root = many(tmp_path)
    before = validating(root, 0)
    (root / "pictures" / "05.jpg").unlink()

    assert validating(root, 0) == [name for name in before if name != "05.jpg"]


def test_pictures_none_of_which_can_be_read_are_refused(tmp_path: Path) -> None:
    root = marked(tmp_path, ["x.jpg" + FACE[5:], "y.jpg" + FACE[5:]])

    assert f"none of its 2 pictures can be read; they belong in {root}/pictures" in refusal(root)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}/faces.csv: No such file or directory"


def test_an_empty_table_is_refused_with_the_columns_it_needs(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("\n")

    assert "faces.csv is empty; it needs the columns picture, split, x, y, w, h, right_eye_x" in refusal(tmp_path)


def test_a_table_of_nothing_but_its_first_line_is_refused(tmp_path: Path) -> None:
    assert "faces.csv names no picture" in refusal(marked(tmp_path, []))


@pytest.mark.parametrize("column", ["picture", "split", "w", "left_eye_y", "score"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    columns = COLUMNS.replace(column, "other")

    assert f"faces.csv: no column {column};" in refusal(marked(tmp_path, [FACE], columns))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a.jpg,train,1,2", "4 fields, the first line names 11"),
        (FACE + ",1", "12 fields, the first line names 11"),
        (FACE.replace("train", "holdout"), "split 'holdout' is none of train, val, valid, test"),
        (FACE.replace(",20,24,", ",wide,24,"), "box, eyes and score must be numbers"),
        (FACE.replace(",20,24,", ",nan,24,"), "box, eyes and score must be numbers"),
        (FACE.replace(",10,12,", ",10,inf,"), "box, eyes and score must be numbers"),
        (FACE.replace(",10,12,", ",-1e300,12,"), "box, eyes and score must be numbers"),
        (FACE.replace(",10,12,", ",,12,"), "box, eyes and score must be numbers"),  # no photo without a face
        (FACE.replace(",15,20,", ",,20,"), "box, eyes and score must be numbers"),
        (FACE.replace("0.9", ""), "box, eyes and score must be numbers"),
        (FACE.replace(",20,24,", ",0,24,"), "width and height of a box must be above 0"),
        (FACE.replace(",20,24,", ",20,-24,"), "width and height of a box must be above 0"),
    ],
)
def test_a_bad_row_is_one_line_that_says_where(tmp_path: Path, line: str, complaint: str) -> None:
    message = refusal(marked(tmp_path, [FACE, "", line]))  # blank lines count, as in an editor

    assert message == f"{tmp_path}/faces.csv:4: {complaint}"


def test_pixels_are_grey_by_the_one_rule(tmp_path: Path) -> None:
    from fer_edge.images import read_picture, to_grey

    root = marked(tmp_path, [FACE])

    np.testing.assert_array_equal(read(root)["a.jpg"].pixels, to_grey(read_picture(root / "pictures" / "a.jpg")))
