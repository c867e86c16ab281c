from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError, FerEdgeError
from fer_edge.images import is_picture, read_picture, to_grey, write_picture

RED = np.full((4, 6, 3), (0, 0, 255), np.uint8)


def test_a_png_comes_back_as_it_went(tmp_path: Path) -> None:
    write_picture(tmp_path / "red.png", RED)

    np.testing.assert_array_equal(read_picture(tmp_path / "red.png"), RED)


def test_a_grey_file_is_read_as_three_channels(tmp_path: Path) -> None:
    write_picture(tmp_path / "grey.png", np.full((2, 3), 7, np.uint8))

    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png"), np.full((2, 3, 3), 7))


def test_red_green_and_blue_weigh_as_in_bt601() -> None:
    frame_bgr = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)

    assert to_grey(frame_bgr).tolist() == [[29, 150, 76]]


def test_grey_values_stay_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8)[None]

    np.testing.assert_array_equal(to_grey(np.repeat(levels[..., None], 3, axis=2)), levels)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"hello, this is text", "not a picture"),
        (cv2.imencode(".jpg", RED)[1].tobytes()[:-20], "cut short"),
        (cv2.imencode(".png", RED)[1].tobytes()[:-20], "cut short"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)

    with pytest.raises(DataError, match=rf"bad\.jpg: .*{complaint}"):
        read_picture(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg: No such file"):
        read_picture(tmp_path / "none.jpg")


def test_a_picture_larger_than_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    cv2.imwrite(str(path), np.zeros((8200, 8200), np.uint8))

    with pytest.raises(DataError, match="more than 64 million pixels"):
        read_picture(path)


def test_an_unknown_format_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match=r"OpenCV writes no '\.xyz'"):
        write_picture(tmp_path / "a.xyz", RED)


@pytest.mark.parametrize(("name", "expected"), [("a.JPG", True), ("a.png", True), ("a.txt", False), ("jpg", False)])
def test_pictures_are_told_by_their_suffix(name: str, expected: bool) -> None:
    assert is_picture(Path(name)) is expected
