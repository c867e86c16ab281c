"""True positives, false positives, and the precision-recall curve."""

import numpy as np
import pytest

from fer_edge.imaging.boxes import Floats
from studies.accuracy.detection_metrics import PhotoMatches, match_detections, precision_recall


def boxes(*rows: tuple[float, float, float, float]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


FACE, AWAY = (10.0, 10.0, 20.0, 20.0), (100.0, 100.0, 20.0, 20.0)


def test_a_detection_on_a_face_is_a_true_positive_and_one_elsewhere_a_false_positive() -> None:
    matches = match_detections(boxes(FACE, AWAY), floats(0.9, 0.8), boxes(FACE), boxes())

    assert (matches.hits.tolist(), matches.faces) == ([1, 0], 1)


def test_a_face_is_matched_once_by_the_best_score() -> None:
    shifted = (12.0, 10.0, 20.0, 20.0)

    matches = match_detections(boxes(shifted, FACE), floats(0.3, 0.9), boxes(FACE), boxes())

    assert matches.scores.tolist() == pytest.approx([0.9, 0.3])
    assert matches.hits.tolist() == [1, 0]


def test_each_of_two_close_faces_is_matched_by_its_own_detection() -> None:
    beside = (16.0, 10.0, 20.0, 20.0)

    matches = match_detections(boxes(FACE, FACE), floats(0.9, 0.8), boxes(FACE, beside), boxes())

    assert matches.hits.tolist() == [1, 1]


@pytest.mark.parametrize(("height", "hit"), [(8.0, 1), (7.9, 0)])
def test_a_match_has_an_iou_of_at_least_0_4(height: float, hit: int) -> None:
    matches = match_detections(boxes((10, 10, 20, height)), floats(0.9), boxes((10, 10, 20, 20)), boxes())

    assert matches.hits.tolist() == [hit]


def test_a_detection_on_an_ignored_region_is_not_counted() -> None:
    matches = match_detections(boxes(AWAY, FACE), floats(0.9, 0.8), boxes(FACE), boxes(AWAY))

    assert (matches.scores.tolist(), matches.hits.tolist(), matches.faces) == (pytest.approx([0.8]), [1], 1)


def test_a_face_that_overlaps_an_ignored_region_is_matched() -> None:
    assert match_detections(boxes(FACE), floats(0.9), boxes(FACE), boxes(FACE)).hits.tolist() == [1]


@pytest.mark.parametrize(
    ("detections", "faces", "hits"),
    [(boxes(), boxes(FACE), []), (boxes(FACE), boxes(), [0]), (boxes(), boxes(), [])],
    ids=["no detection", "no face", "neither"],
)
def test_no_detections_and_no_faces(detections: Floats, faces: Floats, hits: list[float]) -> None:
    matches = match_detections(detections, floats(*[0.5] * len(detections)), faces, boxes())

    assert (matches.hits.tolist(), matches.scores.shape, matches.faces) == (hits, (len(hits),), len(faces))


def test_a_curve_has_recall_and_precision_of_each_threshold() -> None:
    first = PhotoMatches(floats(0.9, 0.4), floats(1, 0), faces=2)
    second = PhotoMatches(floats(0.6), floats(1), faces=2)

    curve = precision_recall([first, second])

    assert curve.thresholds.tolist() == pytest.approx([0.9, 0.6, 0.4])
    assert curve.recall.tolist() == [0.25, 0.5, 0.5]
    assert curve.precision.tolist() == pytest.approx([1, 1, 2 / 3])
    assert curve.false_per_photo.tolist() == [0, 0, 0.5]


def test_equal_scores_are_one_point_whatever_their_order() -> None:
    matches = [PhotoMatches(floats(0.5), floats(0), faces=1), PhotoMatches(floats(0.5, 0.2), floats(1, 1), faces=1)]

    for curve in (precision_recall(matches), precision_recall(matches[::-1])):
        assert curve.thresholds.tolist() == pytest.approx([0.5, 0.2])
        assert curve.recall.tolist() == [0.5, 1]
        assert curve.false_per_photo.tolist() == [0.5, 0.5]


def test_recall_is_that_of_the_lowest_threshold_within_the_false_positive_limit() -> None:
    curve = precision_recall([PhotoMatches(floats(0.9, 0.8, 0.7, 0.6, 0.5), floats(1, 0, 1, 0, 1), faces=4)])

    assert curve.at_false(0) == pytest.approx((0.25, 0.9))
    assert curve.at_false(1) == pytest.approx((0.5, 0.7))
    assert curve.at_false(1.9) == pytest.approx((0.5, 0.7))
    assert curve.at_false(2) == pytest.approx((0.75, 0.5))


def test_no_threshold_is_within_the_limit_if_the_best_score_is_a_false_positive() -> None:
    assert precision_recall([PhotoMatches(floats(0.9), floats(0), faces=1)]).at_false(0.3) == (0, 1)


def test_recall_and_false_positives_at_a_threshold() -> None:
    curve = precision_recall([PhotoMatches(floats(0.75, 0.5), floats(1, 0), faces=2)])

    assert curve.at_threshold(0.76) == (0, 0)
    assert curve.at_threshold(0.75) == (0.5, 0)
    assert curve.at_threshold(0.1) == (0.5, 1)


@pytest.mark.parametrize(
    "matches", [[], [PhotoMatches(floats(), floats(), faces=0)], [PhotoMatches(floats(), floats(), faces=3)]]
)
def test_a_curve_without_detections_is_empty(matches: list[PhotoMatches]) -> None:
    curve = precision_recall(matches)

    assert len(curve.thresholds) == len(curve.recall) == len(curve.precision) == len(curve.false_per_photo) == 0
    assert (curve.at_false(0.3), curve.at_threshold(0.5)) == ((0, 1), (0, 0))
