import numpy as np

from fer_edge.imaging.boxes import Floats, overlaps


def boxes_from(*rows: list[float]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_boxes_without_area_are_borne() -> None:
    points = boxes_from([5, 5, 0, 0], [5, 5, 0, 0])

    assert overlaps(points, points).tolist() == [[0, 0], [0, 0]]


def test_overlap_is_the_common_share_of_both() -> None:
    boxes = boxes_from([0, 0, 10, 10], [50, 50, 1, 1])
    others = boxes_from([5, 0, 10, 10], [0, 0, 10, 10], [10, 0, 10, 10])

    np.testing.assert_allclose(overlaps(boxes, others), [[1 / 3, 1.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-6)


def test_no_boxes_have_no_overlaps() -> None:
    assert overlaps(boxes_from(), boxes_from([0, 0, 1, 1])).shape == (0, 1)
    assert overlaps(boxes_from([0, 0, 1, 1]), boxes_from()).shape == (1, 0)
