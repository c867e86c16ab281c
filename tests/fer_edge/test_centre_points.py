import warnings

import numpy as np
import numpy.typing as npt
import pytest
from fer_edge.centre_points import MOST_CELLS, Faces, Floats, decode, encode, overlaps, suppressed

NO_FACE = -20.0
BOXES = np.array([[40, 40, 48, 48], [200, 20, 17, 24], [90, 150, 80, 110]], np.float32)
EYES = np.array([[52, 58, 76, 58], [204, 28, 212, 29], [112, 190, 148, 194]], np.float32)
CELLS = np.array([[8, 8], [26, 4], [16, 25]])


def maps(boxes: Floats, eyes: Floats, cells: npt.NDArray[np.int64], logits: list[float]) -> tuple[Floats, Floats]:
    """Heat and geometry of a 320x240 picture with a face in each of `cells`."""
    heat, geometry = np.full((30, 40, 1), NO_FACE, np.float32), np.zeros((30, 40, 8), np.float32)
    heat[cells[:, 1], cells[:, 0], 0] = logits
    geometry[cells[:, 1], cells[:, 0]] = encode(boxes, eyes, cells)
    return heat, geometry


def small_faces(heat: Floats) -> Floats:
    """A geometry map whose faces are smaller than a cell, so that none overlaps another."""
    geometry = np.zeros((*heat.shape[:2], 8), np.float32)
    geometry[..., 2:4] = -2
    return geometry


def boxes_from(*rows: list[float]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_a_face_is_written_in_cells_logs_and_shares_of_its_box() -> None:
    (values,) = encode(BOXES[:1], EYES[:1], CELLS[:1])

    np.testing.assert_allclose(values, [-0.5, -0.5, 0, 0, -0.25, -0.125, 0.25, -0.125], atol=1e-6)
    assert values.dtype == np.float32


def test_no_face_is_written_as_no_row() -> None:
    nothing = np.zeros((0, 4), np.float32)

    assert encode(nothing, nothing, np.zeros((0, 2), np.int64)).shape == (0, 8)


def test_what_was_written_is_read_best_first() -> None:
    faces = decode(*maps(BOXES, EYES, CELLS, [1.0, 3.0, 2.0]), threshold=0.5)

    np.testing.assert_allclose(faces.boxes, BOXES[[1, 2, 0]], atol=1e-3)
    np.testing.assert_allclose(faces.eyes, EYES[[1, 2, 0]], atol=1e-3)
    np.testing.assert_allclose(faces.scores, [0.952574, 0.880797, 0.731059], atol=1e-5)


def test_a_face_is_read_from_whichever_neighbouring_cell_tells_of_it() -> None:
    neighbour = CELLS[:1] + np.array([1, -1])

    faces = decode(*maps(BOXES[:1], EYES[:1], neighbour, [1.0]), threshold=0.5)

    np.testing.assert_allclose(faces.boxes, BOXES[:1], atol=1e-3)


def test_a_face_of_two_cells_is_found_once_with_the_better_score() -> None:
    cells = np.array([[8, 8], [7, 8]])

    faces = decode(*maps(BOXES[[0, 0]], EYES[[0, 0]], cells, [1.0, 2.0]), threshold=0.5)

    assert faces.scores.tolist() == pytest.approx([0.880797], abs=1e-5)


def test_a_cell_counts_from_the_threshold_on() -> None:
    pair = maps(BOXES, EYES, CELLS, [0.0, 1.0, -1.0])

    assert len(decode(*pair, threshold=0.5).boxes) == 2
    assert len(decode(*pair, threshold=0.501).boxes) == 1


def test_threshold_0_takes_every_cell_and_1_takes_none() -> None:
    heat = np.linspace(-30, 30, 12, dtype=np.float32).reshape(3, 4, 1)

    assert len(decode(heat, small_faces(heat), threshold=0).boxes) == 12
    assert len(decode(heat, small_faces(heat), threshold=1).boxes) == 0


def test_only_the_best_cells_are_looked_at() -> None:
    logits = np.random.default_rng(0).permutation(30 * 40) / 100
    heat = logits.astype(np.float32).reshape(30, 40, 1)

    faces = decode(heat, small_faces(heat), threshold=0.01)

    best = np.sort(1 / (1 + np.exp(-heat.reshape(-1))))[::-1][:MOST_CELLS]
    np.testing.assert_allclose(faces.scores, best, atol=1e-6)


def test_huge_values_are_read_without_a_warning() -> None:
    heat = np.array([1e4, -1e4, 1e30, -1e30], np.float32).reshape(2, 2, 1)
    geometry = np.full((2, 2, 8), 1e4, np.float32)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = decode(heat, geometry, threshold=0)

    assert faces.scores.max() == 1
    assert all(np.isfinite(column).all() for column in faces)


@pytest.mark.parametrize("size", [(0, 0), (30, 40)])
def test_maps_without_a_face_give_none(size: tuple[int, int]) -> None:
    heat = np.full((*size, 1), NO_FACE, np.float32)

    faces = decode(heat, np.zeros((*size, 8), np.float32), threshold=0.5)

    assert [column.shape for column in faces] == [(0, 4), (0,), (0, 4)]
    assert isinstance(faces, Faces)


def test_of_overlapping_boxes_the_first_stays() -> None:
    boxes = boxes_from([0, 0, 10, 10], [2, 0, 10, 10], [100, 0, 10, 10], [0, 1, 10, 10])

    assert suppressed(boxes, 0.4).tolist() == [0, 2]


def test_a_dropped_box_drops_no_other() -> None:
    chain = boxes_from([0, 0, 10, 10], [4, 0, 10, 10], [100, 0, 10, 10], [8, 0, 10, 10])

    assert suppressed(chain, 0.4).tolist() == [0, 2, 3]


def test_boxes_that_overlap_by_no_more_than_allowed_both_stay() -> None:
    boxes = boxes_from([0, 0, 10, 10], [0, 0, 10, 5])

    assert suppressed(boxes, 0.5).tolist() == [0, 1]
    assert suppressed(boxes, 0.49).tolist() == [0]


def test_boxes_without_area_are_borne() -> None:
    points = boxes_from([5, 5, 0, 0], [5, 5, 0, 0])

    assert overlaps(points, points).tolist() == [[0, 0], [0, 0]]
    assert suppressed(points, 0.4).tolist() == [0, 1]
    assert suppressed(boxes_from(), 0.4).tolist() == []


def test_overlap_is_the_common_share_of_both() -> None:
    boxes = boxes_from([0, 0, 10, 10], [50, 50, 1, 1])
    others = boxes_from([5, 0, 10, 10], [0, 0, 10, 10], [10, 0, 10, 10])

    np.testing.assert_allclose(overlaps(boxes, others), [[1 / 3, 1.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-6)


def test_no_boxes_have_no_overlaps() -> None:
    assert overlaps(boxes_from(), boxes_from([0, 0, 1, 1])).shape == (0, 1)
    assert overlaps(boxes_from([0, 0, 1, 1]), boxes_from()).shape == (1, 0)
