"""Maps are written here by the formulas of `fer_edge.detection.yunet`'s docstring, and read by its `decode`."""

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.detection.yunet import MOST_CELLS, STRIDES, Faces, decode
from fer_edge.imaging.boxes import Floats

NO_FACE = -20.0
SIZE_WH = (320, 256)
ONES, ZEROS = np.ones((3, 16), np.float32), np.zeros((3, 16), np.float32)


class Written(NamedTuple):
    """A face that stands in a cell of a map."""

    stride: int
    cell: tuple[int, int]
    """Column and row."""
    logits: tuple[float, float]
    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]


SMALL = Written(8, (5, 6), (1, 3), (40, 44, 11, 14), ((43, 49), (48, 49), (45.5, 52), (43.5, 55), (47.5, 55)))
MIDDLE = Written(16, (9, 4), (3, 3), (120, 40, 60, 80), ((135, 70), (165, 71), (150, 84), (138, 100), (162, 101)))
LARGE = Written(32, (7, 5), (2, 2), (180, 90, 130, 150), ((215, 150), (275, 148), (246, 180), (220, 215), (272, 213)))
ALL = (SMALL, MIDDLE, LARGE)
SCORES = (0.834498, 0.952574, 0.880797)
"""Roots of the products of 1 / (1 + exp(-logit))."""


def empty(size_wh: tuple[int, int] = SIZE_WH) -> list[Floats]:
    """Maps without a face: logits of -20, everything else 0."""
    maps = [np.zeros((size_wh[1] // stride, size_wh[0] // stride, 16), np.float32) for stride in STRIDES]
    for one in maps:
        one[..., :2] = NO_FACE
    return maps


def with_faces(*faces: Written) -> list[Floats]:
    maps = empty()
    for stride, (column, row), logits, (x, y, w, h), points in faces:
        centre = (x + w / 2) / stride - column, (y + h / 2) / stride - row
        from_corner = np.array(points) / stride - (column, row)
        values = [*logits, *centre, np.log(w / stride), np.log(h / stride), *from_corner.ravel()]
        maps[STRIDES.index(stride)][row, column] = values
    return maps


def tiny_boxes(maps: list[Floats]) -> list[Floats]:
    """Let every cell tell of a face far smaller than itself, so that none overlaps another."""
    for one in maps:
        one[..., 2:4] = 0.5
        one[..., 4:6] = -4
    return maps


def read(maps: list[Floats], threshold: float = 0.5) -> Faces:
    return decode(maps, ONES, ZEROS, threshold)


def random_logits(seed: int) -> list[Floats]:
    rng = np.random.default_rng(seed)
    maps = tiny_boxes(empty())
    for one in maps:
        one[..., :2] = rng.normal(0, 2, (*one.shape[:2], 2))
    return maps


def plain_scores(maps: list[Floats]) -> npt.NDArray[np.float64]:
    """Score of every cell, best first."""
    shares = [1 / (1 + np.exp(-one[..., :2].astype(np.float64))) for one in maps]
    return np.sort(np.concatenate([share.prod(axis=-1).ravel() for share in shares]) ** 0.5)[::-1]


@pytest.mark.parametrize("best", [(0,), (1,), (2,), (1, 2, 0)], ids=["stride 8", "stride 16", "stride 32", "all"])
def test_faces_that_were_written_are_read_back_best_first_whatever_their_stride(best: tuple[int, ...]) -> None:
    """Each has a box, a score and five landmarks."""
    found = read(with_faces(*(ALL[number] for number in sorted(best))))

    assert {column.dtype for column in found} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found.boxes, [ALL[number].box for number in best], atol=1e-3)
    np.testing.assert_allclose(found.landmarks, [ALL[number].points for number in best], atol=1e-3)
    np.testing.assert_allclose(found.scores, [SCORES[number] for number in best], atol=1e-5)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (9, 0), (0, 7), (9, 7)])
def test_a_face_is_read_from_any_cell_that_tells_of_it(column: int, row: int) -> None:
    found = read(with_faces(LARGE._replace(cell=(column, row))))

    np.testing.assert_allclose(found.boxes, [LARGE.box], atol=1e-3)
    np.testing.assert_allclose(found.landmarks, [LARGE.points], atol=1e-3)


def test_a_face_of_two_cells_is_found_once_with_the_better_score_and_its_landmarks() -> None:
    worse = MIDDLE._replace(cell=(8, 4), logits=(1, 1), points=LARGE.points)
    of_another_map = MIDDLE._replace(stride=32, cell=(4, 2), logits=(1.5, 1.5), points=LARGE.points)

    found = read(with_faces(worse, of_another_map, MIDDLE, SMALL))

    assert found.scores.tolist() == pytest.approx([SCORES[1], SCORES[0]], abs=1e-5)
    np.testing.assert_allclose(found.boxes, [MIDDLE.box, SMALL.box], atol=1e-3)
    np.testing.assert_allclose(found.landmarks, [MIDDLE.points, SMALL.points], atol=1e-3)


def test_a_faces_place_is_the_mean_of_the_cells_that_are_nearly_as_sure() -> None:
    left = MIDDLE._replace(cell=(8, 4), box=(116, 40, 60, 80), points=((131, 70), *MIDDLE.points[1:]))
    less_sure = MIDDLE._replace(cell=(8, 5), logits=(1, 1), box=(110, 50, 60, 80))

    found = read(with_faces(left, less_sure, MIDDLE))

    np.testing.assert_allclose(found.boxes, [(118, 40, 60, 80)], atol=1e-3)
    np.testing.assert_allclose(found.landmarks, [((133, 70), *MIDDLE.points[1:])], atol=1e-3)
    np.testing.assert_allclose(found.scores, [SCORES[1]], atol=1e-5)


def test_a_neighbours_cells_are_no_part_of_a_face() -> None:
    """They overlap by 0.4: the weaker is dropped, and its place counts for nothing."""
    beside = MIDDLE._replace(cell=(11, 4), logits=(2.9, 2.9), box=(145, 40, 60, 80))

    np.testing.assert_allclose(read(with_faces(beside, MIDDLE)).boxes, [MIDDLE.box], atol=1e-3)


def test_a_dropped_cell_drops_no_other() -> None:
    chain = [
        MIDDLE._replace(cell=(x // 16, 4), box=(x, 40, 60, 80), logits=(logit, logit))
        for x, logit in ((100, 3), (130, 2), (160, 1))
    ]

    assert read(with_faces(*chain)).boxes[:, 0].tolist() == pytest.approx([100, 160], abs=1e-3)


def test_two_faces_that_overlap_a_little_are_two() -> None:
    """OpenCV's limit is 0.3: boxes of 60x80 that lie 35 pixels apart share 0.26, 30 pixels apart 0.33."""
    beside = MIDDLE._replace(cell=(12, 4), logits=(1, 1), box=(155, 40, 60, 80))

    assert len(read(with_faces(MIDDLE, beside)).boxes) == 2
    assert len(read(with_faces(MIDDLE, beside._replace(box=(150, 40, 60, 80)))).boxes) == 1


def test_a_cell_counts_from_the_threshold_on() -> None:
    maps = tiny_boxes(empty())
    maps[0][3, 4, :2] = 0  # both shares are a half, and so is their root
    maps[1][3, 4, :2] = 0.01
    maps[2][3, 4, :2] = -0.01

    assert read(maps, 0.5).scores.tolist() == pytest.approx([0.5025, 0.5], abs=1e-6)
    assert len(read(maps, 0.5001).scores) == 1
    assert len(read(maps, 0.4999).scores) == 2


def test_one_sure_share_does_not_make_up_for_the_other() -> None:
    maps = tiny_boxes(empty())
    maps[0][1, 2, :2] = 30, NO_FACE
    maps[0][5, 6, :2] = NO_FACE, 30

    assert len(read(maps, 0.1).scores) == 0


def test_threshold_0_takes_every_cell_and_1_takes_none() -> None:
    maps = tiny_boxes(empty((64, 64)))
    maps[0][..., :2] = np.linspace(-30, 30, 64).reshape(8, 8, 1)

    assert len(read(maps, 0).boxes) == 64 + 16 + 4
    assert len(read(maps, 1).boxes) == 0


def test_scale_and_offset_of_each_channel_and_map_are_applied() -> None:
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.05, 8, (3, 16)).astype(np.float32)
    offset = rng.uniform(-5, 5, (3, 16)).astype(np.float32)
    maps = with_faces(*ALL)
    outputs = [(one - offset[row]) / scale[row] for row, one in enumerate(maps)]

    found, plain = decode(outputs, scale, offset, 0.5), read(maps)

    assert len(found.boxes) == 3
    for here, there in zip(found, plain, strict=True):
        np.testing.assert_allclose(here, there, atol=1e-2)


@pytest.mark.parametrize("threshold", [0.01, 0.02, 0.3, 0.6, 0.9])
def test_just_the_best_cells_whose_score_reaches_the_threshold_are_read_however_they_are_scaled(
    threshold: float,
) -> None:
    maps, rng = random_logits(seed=1), np.random.default_rng(2)
    expected = plain_scores(maps)
    assert (expected[MOST_CELLS] > threshold) == (threshold < 0.5)
    expected = expected[expected >= threshold][:MOST_CELLS]
    scale = rng.uniform(0.5, 8, (3, 16)).astype(np.float32)
    offset = rng.uniform(-5, 5, (3, 16)).astype(np.float32)
    scaled = [(one - offset[row]) / scale[row] for row, one in enumerate(maps)]

    np.testing.assert_allclose(read(maps, threshold).scores, expected, atol=1e-6)
    np.testing.assert_allclose(decode(scaled, scale, offset, threshold).scores, expected, atol=1e-5)
    assert len(expected) > 0


@pytest.mark.parametrize("value", [1e4, -1e4, 1e30, -1e30])
@pytest.mark.parametrize("threshold", [0, 0.6])
def test_huge_values_are_read_without_a_warning(value: float, threshold: float) -> None:
    maps = tiny_boxes(empty())
    maps[0][2, 3] = value
    maps[1][2, 3] = -value
    maps[2][:, :, 0], maps[2][:, :, 1] = value, -value

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = read(maps, threshold)

    assert len(faces.scores) > 0
    assert faces.scores.max() == 1
    assert all(np.isfinite(column).all() for column in faces)


@pytest.mark.parametrize("size_wh", [(64, 64), (320, 256), (640, 96)])
def test_maps_without_a_face_give_none(size_wh: tuple[int, int]) -> None:
    faces = read(empty(size_wh))

    assert [column.shape for column in faces] == [(0, 4), (0,), (0, 5, 2)]
    assert isinstance(faces, Faces)
