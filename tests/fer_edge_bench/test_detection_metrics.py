"""Hits, false alarms, and what a threshold makes of them."""

import numpy as np
import pytest

from fer_edge.imaging.boxes import Floats
from studies.accuracy import detection_metrics as metrics

Judged, curve, judge = metrics.Judged, metrics.curve, metrics.judge


def boxes(*rows: tuple[float, float, float, float]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


FACE, AWAY = (10.0, 10.0, 20.0, 20.0), (100.0, 100.0, 20.0, 20.0)


def test_a_box_on_a_mark_is_a_hit_and_one_elsewhere_a_false_alarm() -> None:
    judged = judge(boxes(FACE, AWAY), floats(0.9, 0.8), boxes(FACE), boxes())

    assert (judged.hits.tolist(), judged.faces) == ([1, 0], 1)


def test_a_mark_is_hit_once_by_the_best_box() -> None:
    shifted = (12.0, 10.0, 20.0, 20.0)

    judged = judge(boxes(shifted, FACE), floats(0.3, 0.9), boxes(FACE), boxes())

    assert judged.scores.tolist() == pytest.approx([0.9, 0.3])
    assert judged.hits.tolist() == [1, 0]


def test_each_of_two_close_marks_is_hit_by_a_box_of_its_own() -> None:
    beside = (16.0, 10.0, 20.0, 20.0)

    judged = judge(boxes(FACE, FACE), floats(0.9, 0.8), boxes(FACE, beside), boxes())

    assert judged.hits.tolist() == [1, 1]


@pytest.mark.parametrize(("height", "hit"), [(8.0, 1), (7.9, 0)])
def test_a_hit_overlaps_by_two_fifths(height: float, hit: int) -> None:
    judged = judge(boxes((10, 10, 20, height)), floats(0.9), boxes((10, 10, 20, 20)), boxes())

    assert judged.hits.tolist() == [hit]


def test_a_box_on_a_doubtful_mark_counts_neither_way() -> None:
    judged = judge(boxes(AWAY, FACE), floats(0.9, 0.8), boxes(FACE), boxes(AWAY))

    assert (judged.scores.tolist(), judged.hits.tolist(), judged.faces) == (pytest.approx([0.8]), [1], 1)


def test_a_face_that_is_doubtful_as_well_is_a_hit() -> None:
    assert judge(boxes(FACE), floats(0.9), boxes(FACE), boxes(FACE)).hits.tolist() == [1]


@pytest.mark.parametrize(
    ("found", "marks", "hits"),
    [(boxes(), boxes(FACE), []), (boxes(FACE), boxes(), [0]), (boxes(), boxes(), [])],
    ids=["nothing found", "nothing marked", "neither"],
)
def test_nothing_is_judged_as_nothing(found: Floats, marks: Floats, hits: list[float]) -> None:
    judged = judge(found, floats(*[0.5] * len(found)), marks, boxes())

    assert (judged.hits.tolist(), judged.scores.shape, judged.faces) == (hits, (len(hits),), len(marks))


def test_a_curve_tells_what_each_threshold_would_give() -> None:
    first = Judged(floats(0.9, 0.4), floats(1, 0), faces=2)
    second = Judged(floats(0.6), floats(1), faces=2)

    drawn = curve([first, second])

    assert drawn.thresholds.tolist() == pytest.approx([0.9, 0.6, 0.4])
    assert drawn.recall.tolist() == [0.25, 0.5, 0.5]
    assert drawn.precision.tolist() == pytest.approx([1, 1, 2 / 3])
    assert drawn.false_per_photo.tolist() == [0, 0, 0.5]


def test_equal_scores_are_one_point_whatever_their_order() -> None:
    judged = [Judged(floats(0.5), floats(0), faces=1), Judged(floats(0.5, 0.2), floats(1, 1), faces=1)]

    for drawn in (curve(judged), curve(judged[::-1])):
        assert drawn.thresholds.tolist() == pytest.approx([0.5, 0.2])
        assert drawn.recall.tolist() == [0.5, 1]
        assert drawn.false_per_photo.tolist() == [0.5, 0.5]


def test_recall_is_read_at_the_lowest_threshold_with_so_few_false_alarms() -> None:
    drawn = curve([Judged(floats(0.9, 0.8, 0.7, 0.6, 0.5), floats(1, 0, 1, 0, 1), faces=4)])

    assert drawn.at_false(0) == pytest.approx((0.25, 0.9))
    assert drawn.at_false(1) == pytest.approx((0.5, 0.7))
    assert drawn.at_false(1.9) == pytest.approx((0.5, 0.7))
    assert drawn.at_false(2) == pytest.approx((0.75, 0.5))


def test_where_even_the_best_box_is_false_no_threshold_is_good_enough() -> None:
    assert curve([Judged(floats(0.9), floats(0), faces=1)]).at_false(0.3) == (0, 1)


def test_a_threshold_tells_its_recall_and_false_alarms() -> None:
    drawn = curve([Judged(floats(0.75, 0.5), floats(1, 0), faces=2)])

    assert drawn.at_threshold(0.76) == (0, 0)
    assert drawn.at_threshold(0.75) == (0.5, 0)
    assert drawn.at_threshold(0.1) == (0.5, 1)


@pytest.mark.parametrize("judged", [[], [Judged(floats(), floats(), faces=0)], [Judged(floats(), floats(), faces=3)]])
def test_a_curve_of_nothing_is_empty(judged: list[Judged]) -> None:
    drawn = curve(judged)

    assert len(drawn.thresholds) == len(drawn.recall) == len(drawn.precision) == len(drawn.false_per_photo) == 0
    assert (drawn.at_false(0.3), drawn.at_threshold(0.5)) == ((0, 1), (0, 0))
