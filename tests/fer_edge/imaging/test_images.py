import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError, FerEdgeError
from fer_edge.imaging.images import (
    bgr_of,
    face_shape,
    grey_of,
    in_colour,
    is_cut_short,
    is_picture,
    read_picture,
    to_grey,
    with_channels,
    write_picture,
)

RED = np.full((4, 6, 3), (0, 0, 255), np.uint8)


def test_a_png_comes_back_as_it_went(tmp_path: Path) -> None:
    write_picture(tmp_path / "red.png", RED)

    np.testing.assert_array_equal(read_picture(tmp_path / "red.png"), RED)


def test_a_grey_file_is_read_as_three_channels(tmp_path: Path) -> None:
    write_picture(tmp_path / "grey.png", np.full((2, 3), 7, np.uint8))

    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png"), np.full((2, 3, 3), 7))


def test_red_green_and_blue_weigh_as_in_bt601_and_grey_stays_exactly() -> None:
    frame_bgr = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    levels = np.arange(256, dtype=np.uint8)[None]

    assert to_grey(frame_bgr).tolist() == [[29, 150, 76]]
    np.testing.assert_array_equal(to_grey(np.repeat(levels[..., None], 3, axis=2)), levels)


def test_a_red_frame_is_red_first_for_a_network() -> None:
    assert in_colour(RED, "rgb")[0, 0].tolist() == [255, 0, 0]
    assert in_colour(RED, "grey")[0, 0] == 76


def test_an_rgb_face_goes_back_to_where_it_came_from() -> None:
    frame_bgr = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    face = in_colour(frame_bgr, "rgb")

    np.testing.assert_array_equal(bgr_of(face), frame_bgr)
    np.testing.assert_array_equal(grey_of(face), to_grey(frame_bgr))


def test_a_grey_face_stays_as_it_is() -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)

    assert bgr_of(grey) is grey
    assert grey_of(grey) is grey


def test_faces_get_the_axes_of_an_input() -> None:
    assert with_channels(np.zeros((2, *face_shape(5, "grey")), np.uint8)).shape == (2, 5, 5, 1)
    assert with_channels(np.zeros((2, *face_shape(5, "rgb")), np.uint8)).shape == (2, 5, 5, 3)
    assert with_channels(np.zeros((2, *face_shape(3, "grey")), np.uint8)).shape == (2, 3, 3, 1)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("hello, this is text"), "not an image"),
        (lambda path: path.write_bytes(cv2.imencode(".jpg", RED)[1].tobytes()[:-20]), "truncated"),
        (lambda path: path.write_bytes(cv2.imencode(".png", RED)[1].tobytes()[:-20]), "truncated"),
        (lambda path: cv2.imwrite(str(path), np.zeros((8200, 8200), np.uint8)), "more than 64 million pixels"),
        (os.mkfifo, "not a regular file"),
        (lambda path: None, "No such file"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "huge", "pipe", "missing"],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, make: Callable[[Path], Any], complaint: str) -> None:
    make(tmp_path / "bad.png")

    with pytest.raises(DataError, match=rf"bad\.png: .*{complaint}"):
        read_picture(tmp_path / "bad.png")


def with_thumbnail(jpeg: bytes) -> bytes:
    """Put a whole small JPEG, its end mark included, into a segment at the beginning of `jpeg`, as cameras do."""
    small = cv2.imencode(".jpg", RED[:2])[1].tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + jpeg[2:]


JPEG, PNG = (cv2.imencode(suffix, np.zeros((40, 60, 3), np.uint8))[1].tobytes() for suffix in (".jpg", ".png"))
PROGRESSIVE = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
WHOLE = [JPEG, PNG, PROGRESSIVE, with_thumbnail(JPEG), JPEG[:2] + b"\xff\xff" + JPEG[2:]]
IDS = ["jpeg", "png", "progressive", "thumbnail", "filled"]


@pytest.mark.parametrize("appended", [b"", b"x" * 500, b"\xff\xda\0" * 99], ids=["nothing", "text", "scan"])
@pytest.mark.parametrize("content", WHOLE, ids=IDS)
def test_bytes_appended_to_a_complete_picture_do_not_matter(content: bytes, appended: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content + appended)

    assert read_picture(tmp_path / "a.jpg").shape == (40, 60, 3)


@pytest.mark.parametrize("content", WHOLE, ids=IDS)
def test_a_picture_is_cut_short_wherever_it_is_cut(content: bytes) -> None:
    behind_the_name = 4 if content == PNG else 0  # the checksum of the last chunk, which is empty
    kept = [length for length in range(4, len(content) - behind_the_name) if not is_cut_short(content[:length])]

    assert kept == []
    assert not is_cut_short(content)


def test_an_unknown_format_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match=r"OpenCV cannot write '\.xyz'"):
        write_picture(tmp_path / "a.xyz", RED)


@pytest.mark.parametrize(("name", "expected"), [("a.JPG", True), ("a.png", True), ("a.txt", False), ("jpg", False)])
def test_pictures_are_told_by_their_suffix(name: str, expected: bool) -> None:
    assert is_picture(Path(name)) is expected
