from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError
from fer_edge.imaging.crop import LEVEL, Box, crop_face, overlap, reframed, resize_face, whole_frame


def ramp(height: int, width: int) -> np.ndarray:
    """Grey picture whose value is its column."""
    return np.repeat(np.tile(np.arange(width, dtype=np.uint8), (height, 1))[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("frame", "box", "scale", "row"),
    [
        (40, Box(10, 10, 4, 8), 1.0, range(8, 16)),  # the square around the longer side
        (40, Box(18, 18, 4, 4), 2.0, range(16, 24)),  # about the same centre
        (10, Box(-4, 1, 8, 8), 1.0, [0, 0, 0, 0, 0, 1, 2, 3]),  # beyond the frame its border is repeated
    ],
)
def test_the_crop_is_a_square_around_the_box(frame: int, box: Box, scale: float, row: Sequence[int]) -> None:
    assert crop_face(ramp(frame, frame), box, size=8, scale=scale).tolist() == [list(row)] * 8


@pytest.mark.parametrize("box", [Box(5, 6, 20, 30), Box(-7, 3, 25, 25), Box(4, 4, 8, 8)])
def test_each_channel_of_a_colour_crop_is_cut_as_grey_is(box: Box) -> None:
    frame_bgr = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)

    crop = crop_face(frame_bgr, box, size=12, scale=1.1, colour="rgb")

    assert crop.shape == (12, 12, 3)
    for channel in range(3):
        alone = np.repeat(frame_bgr[:, :, 2 - channel, None], 3, axis=2)  # grey, so that it keeps its values
        np.testing.assert_array_equal(crop[:, :, channel], crop_face(alone, box, size=12, scale=1.1))


def test_a_grey_picture_has_three_equal_channels_in_colour() -> None:
    crop = crop_face(ramp(40, 40), Box(-3, 10, 24, 28), size=12, colour="rgb")

    np.testing.assert_array_equal(crop, np.repeat(crop[..., :1], 3, axis=2))
    np.testing.assert_array_equal(crop[..., 0], crop_face(ramp(40, 40), Box(-3, 10, 24, 28), size=12))


def test_shrinking_averages_areas_and_enlarging_is_linear() -> None:
    grey = np.array([[0, 100], [100, 200]], np.uint8).repeat(2, 0).repeat(2, 1)

    assert resize_face(grey, 2).tolist() == [[0, 100], [100, 200]]
    assert resize_face(grey, 1).tolist() == [[100]]
    assert resize_face(np.array([[0, 100], [0, 100]], np.uint8), 4)[0].tolist() == [0, 25, 75, 100]


def test_a_face_of_the_right_size_is_not_touched() -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)

    assert resize_face(grey, 4) is grey


@pytest.mark.parametrize("roll", [0.0, 30.0])
@pytest.mark.parametrize(
    ("shape", "box", "told"),
    [
        ((40, 40), Box(50, 0, 10, 10), "is outside the 40x40 image"),
        ((40, 40), Box(-30, 0, 10, 10), "is outside the 40x40 image"),
        ((40, 40), Box(0, 41, 10, 10), "is outside the 40x40 image"),
        ((4, 4), Box(0, 0, 1000, 1000), "too large for the 4x4 image"),
        ((1, 1_000_000), Box(0, 0, 1_000_000, 1), "too large for the 1000000x1 image"),
    ],
)
def test_a_box_outside_the_frame_or_far_larger_is_refused_upright_and_turned(
    shape: tuple[int, int], box: Box, told: str, roll: float
) -> None:
    with pytest.raises(DataError, match=told):
        crop_face(np.zeros((*shape, 3), np.uint8), box, size=8, roll=roll)


def test_a_picture_of_one_pixel_is_a_face_of_one_colour() -> None:
    frame_bgr = np.full((1, 1, 3), 9, np.uint8)

    assert crop_face(frame_bgr, whole_frame(frame_bgr), size=2).tolist() == [[9, 9], [9, 9]]


@pytest.mark.parametrize(
    ("other", "expected"),
    [(Box(0, 0, 4, 4), 1.0), (Box(4, 0, 4, 4), 0.0), (Box(0, 0, 2, 4), 0.5), (Box(9, 9, 1, 1), 0.0)],
)
def test_overlap_is_intersection_over_union(other: Box, expected: float) -> None:
    assert overlap(Box(0, 0, 4, 4), other) == expected


def test_reframing_there_and_back_changes_nothing() -> None:
    assert reframed(reframed(Box(3, 4, 10, 20), 2.0), 0.5) == Box(3, 4, 10, 20)


def rolled(frame: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a frame clockwise about its centre."""
    height, width = frame.shape[:2]
    grid = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    return cv2.warpAffine(frame, grid, (width, height), flags=cv2.INTER_LINEAR)


@pytest.mark.parametrize("degrees", [-40, -6, 6, 90, 180])
@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_a_turned_face_is_cut_out_upright(degrees: float, colour: str) -> None:
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (81, 81, 3), np.uint8), (0, 0), 3)
    box = Box(25, 25, 31, 31)

    upright = crop_face(frame, box, 31, colour=colour)
    turned = crop_face(rolled(frame, degrees), box, 31, colour=colour, roll=degrees)

    off = np.abs(upright.astype(int) - turned.astype(int))
    as_it_is = np.abs(upright.astype(int) - crop_face(rolled(frame, degrees), box, 31, colour=colour).astype(int))
    assert off.mean() < 2
    assert as_it_is.mean() > 2 * off.mean()


def test_a_face_that_is_nearly_level_is_cut_out_as_it_is() -> None:
    frame, box = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8), Box(10, 12, 30, 40)

    np.testing.assert_array_equal(crop_face(frame, box, 24, roll=LEVEL - 0.1), crop_face(frame, box, 24))
    assert (crop_face(frame, box, 24, roll=LEVEL) != crop_face(frame, box, 24)).any()


def test_beyond_the_frame_a_turned_face_repeats_its_border() -> None:
    white = np.full((20, 20, 3), 255, np.uint8)

    assert (crop_face(white, Box(-8, -8, 20, 20), 16, roll=30) == 255).all()
