"""What the face detector should answer, and how far an answer is from that."""

from collections.abc import Sequence

import numpy as np
import pytest

from fer_edge.centre_points import Floats, decode, encode
from fer_edge_train.detector.targets import IGNORED, geometry_loss, heat_loss, make_targets

HEIGHT, WIDTH = 96, 128
EYES = [(46.0, 34.0, 58.0, 36.0)]
FACE = [(36.0, 20.0, 32.0, 40.0)]  # its centre (52, 40) lies in row 5, column 6


def targets(
    boxes: Sequence[tuple[float, ...]],
    eyes: Sequence[tuple[float, ...]] | None = None,
    counts: list[float] | None = None,
) -> tuple[Floats, Floats]:
    n = len(boxes)
    known = np.array(eyes, np.float32) if eyes else np.full((n, 4), np.nan, np.float32)
    marks = np.array(boxes, np.float32).reshape(n, 4), known.reshape(n, 4)
    return make_targets(*marks, np.array([1.0] * n if counts is None else counts, np.float32), HEIGHT, WIDTH)


def perfect(heat: Floats) -> Floats:
    """Logits that say exactly `heat`; what no answer is wrong for is left at 0."""
    share = np.clip(np.where(heat < 0, 0.5, heat), 1e-9, 1 - 1e-7).astype(np.float64)
    return np.log(share / (1 - share)).astype(np.float32)


def test_maps_have_a_cell_for_every_eight_pixels() -> None:
    heat, geometry = targets(FACE, EYES)

    assert heat.shape == (12, 16, 1)
    assert geometry.shape == (12, 16, 10)
    assert heat.dtype == geometry.dtype == np.float32


def test_heat_is_one_in_the_centre_cell_alone_and_falls_from_there() -> None:
    heat, _ = targets(FACE, EYES)

    assert np.argwhere(heat[..., 0] == 1).tolist() == [[5, 6]]
    assert (np.diff(heat[5, 6:, 0]) <= 0).all()
    assert (np.diff(heat[5:, 6, 0]) <= 0).all()
    assert heat[0, 0, 0] < 0.001


def test_a_picture_without_faces_is_cold_and_weighs_nothing() -> None:
    heat, geometry = targets([])

    assert not heat.any()
    assert not geometry.any()


def test_decoding_the_targets_gives_the_faces_back() -> None:
    boxes = [*FACE, (90.0, 50.0, 24.0, 30.0), (2.0, 70.0, 14.0, 16.0)]
    eyes = [*EYES, (96.0, 62.0, 108.0, 60.0), (6.0, 76.0, 12.0, 76.0)]
    heat, geometry = targets(boxes, eyes)

    found = decode(perfect(heat), geometry[..., :8], 0.9)

    order = np.argsort(-found.boxes[:, 2])
    np.testing.assert_allclose(found.boxes[order], boxes, atol=0.01)
    np.testing.assert_allclose(found.eyes[order], eyes, atol=0.01)


def test_every_cell_that_learns_a_box_learns_the_same_face() -> None:
    large, eyes = [(20.0, 4.0, 80.0, 88.0)], [(40.0, 40.0, 80.0, 42.0)]
    heat, geometry = targets(large, eyes)
    rows, columns = np.nonzero(geometry[..., 8])
    assert len(rows) > 8
    for row, column in zip(rows, columns, strict=True):
        alone = np.full_like(heat, -20.0)
        alone[row, column] = 20.0
        found = decode(alone, geometry[..., :8], 0.9)
        np.testing.assert_allclose(found.boxes, large, atol=0.01)
        np.testing.assert_allclose(found.eyes, eyes, atol=0.01)


def test_box_and_eyes_weigh_as_much_as_the_heat_near_the_centre_and_nothing_elsewhere() -> None:
    heat, geometry = targets(FACE, EYES)
    near = heat[..., 0] >= 0.4

    np.testing.assert_array_equal(geometry[near, 8], heat[near, 0])
    np.testing.assert_array_equal(geometry[near, 9], heat[near, 0])
    assert not geometry[~near].any()


def test_unknown_eyes_weigh_nothing_and_the_box_still_does() -> None:
    both, geometry = targets([*FACE, (90.0, 50.0, 24.0, 30.0)], [(np.nan,) * 4, (96.0, 62.0, 108.0, 60.0)])

    assert np.isfinite(geometry).all()
    assert geometry[5, 6, 8:].tolist() == [1, 0]
    assert geometry[8, 12, 8:].tolist() == [1, 1]
    assert both[5, 6, 0] == both[8, 12, 0] == 1


def test_where_a_mark_is_doubtful_no_answer_is_wrong() -> None:
    heat, geometry = targets(FACE, EYES, [0.0])
    expected = np.zeros((12, 16), bool)
    expected[2:8, 4:9] = True  # the cells whose centre lies in 36 to 68, 20 to 60

    assert ((heat[..., 0] == IGNORED) == expected).all()
    assert not heat[..., 0][~expected].any()
    assert not geometry.any()


@pytest.mark.parametrize(("longer", "wanted"), [(11.0, IGNORED), (12.0, 1.0)])
def test_a_tiny_face_is_neither_face_nor_background(longer: float, wanted: float) -> None:
    heat, geometry = targets([(60.0, 40.0, 9.0, longer)])
    row, column = int((40 + longer / 2) // 8), 8

    assert heat[row, column, 0] == wanted
    assert geometry[row, column, 8] == (wanted > 0)


def test_a_mark_smaller_than_a_cell_is_still_ignored() -> None:
    heat, _ = targets([(65.0, 41.0, 2.0, 2.0)])

    assert np.argwhere(heat[..., 0] == IGNORED).tolist() == [[5, 8]]


def test_a_face_on_a_doubtful_mark_is_a_face() -> None:
    heat, geometry = targets([(0.0, 0.0, 120.0, 90.0), *FACE], None, [0.0, 1.0])

    assert heat[5, 6, 0] == 1
    assert geometry[5, 6, 8] == 1
    assert heat[10, 12, 0] == IGNORED


def test_of_two_faces_in_one_cell_the_smaller_is_learnt() -> None:
    small, large = (46.0, 34.0, 13.0, 13.0), (20.0, 8.0, 64.0, 64.0)
    for boxes in ([small, large], [large, small]):
        heat, geometry = targets(boxes)
        alone = np.full_like(heat, -20.0)
        alone[5, 6] = 20.0
        np.testing.assert_allclose(decode(alone, geometry[..., :8], 0.9).boxes, [small], atol=0.01)


@pytest.mark.parametrize(
    ("box", "cell"),
    [
        ((-40.0, 20.0, 40.0, 40.0), None),  # its centre is left of the picture
        ((-21.0, 20.0, 40.0, 40.0), None),  # by one pixel
        ((36.0, -21.0, 40.0, 40.0), None),
        ((108.0, 20.0, 40.0, 40.0), None),
        ((36.0, 76.0, 40.0, 40.0), None),
        ((-20.0, 20.0, 40.0, 40.0), (5, 0)),
        ((107.0, 75.0, 40.0, 40.0), (11, 15)),
    ],
)
@pytest.mark.parametrize("counts", [0.0, 1.0])
def test_a_face_whose_centre_is_outside_has_no_cell(
    box: tuple[float, ...], cell: tuple[int, int] | None, counts: float
) -> None:
    heat, geometry = targets([box], None, [counts])

    ones = np.argwhere(heat[..., 0] == 1).tolist()
    assert ones == ([list(cell)] if cell and counts else [])
    assert bool(geometry.any()) == bool(ones)


def test_a_tiny_mark_just_outside_is_not_brought_to_the_first_cell() -> None:
    heat, _ = targets([(-4.0, 40.0, 3.0, 3.0)])

    assert not heat.any()


def loss_of(heat: Floats, logits: Floats) -> float:
    return float(heat_loss(heat[None], logits[None]))


def box_loss(target: Floats, answer: Floats) -> float:
    return float(geometry_loss(target[None], answer[None]))


def test_the_perfect_answer_costs_nothing() -> None:
    heat, geometry = targets(FACE, EYES)

    assert loss_of(heat, perfect(heat)) < 1e-4
    assert abs(box_loss(geometry, geometry[..., :8])) < 1e-4


def test_what_is_ignored_costs_nothing_whatever_the_answer() -> None:
    heat, _ = targets([(0.0, 0.0, 128.0, 96.0)], None, [0.0])
    assert (heat == IGNORED).all()

    for logit in (-9.0, 9.0):
        assert loss_of(heat, np.full_like(heat, logit)) == 0


def test_a_face_missed_and_a_false_alarm_both_cost() -> None:
    heat, _ = targets(FACE, EYES)
    missed, alarmed = perfect(heat), perfect(heat)
    missed[5, 6] = -5
    alarmed[1, 14] = 5

    assert loss_of(heat, missed) > 0.1 + loss_of(heat, perfect(heat))
    assert loss_of(heat, alarmed) > 0.1 + loss_of(heat, perfect(heat))


def test_a_box_off_costs_more_the_farther_it_is_and_eyes_cost_of_their_own() -> None:
    _, geometry = targets(FACE, EYES)
    costs = []
    for cells in (0.0, 0.5, 2.0, 50.0):
        answer = geometry[..., :8].copy()
        answer[..., 0] += cells
        costs.append(box_loss(geometry, answer))
    eyes_off = geometry[..., :8].copy()
    eyes_off[..., 5] += 0.25

    assert costs == sorted(costs)
    assert 1 < costs[-1] <= 2  # boxes that do not meet
    assert box_loss(geometry, eyes_off) == pytest.approx(0.25, abs=1e-3)


def test_answers_where_no_face_is_near_do_not_count() -> None:
    _, geometry = targets(FACE, EYES)
    answer = geometry[..., :8].copy()
    answer[geometry[..., 8] == 0] = 7

    assert abs(box_loss(geometry, answer)) < 1e-4


@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_losses_of_extreme_answers_are_numbers(logit: float) -> None:
    for boxes in (FACE, []):
        heat, geometry = targets(boxes)
        assert np.isfinite(loss_of(heat, np.full_like(heat, logit)))
        assert np.isfinite(box_loss(geometry, np.full((12, 16, 8), logit, np.float32)))


@pytest.mark.parametrize("logit", [-100.0, 0.0, 100.0])
def test_gradients_of_extreme_answers_are_numbers(logit: float) -> None:
    import tensorflow as tf

    heat, geometry = targets(FACE, EYES)
    answers = (
        tf.constant(np.full((1, 12, 16, 1), logit, np.float32)),
        tf.constant(np.full((1, 12, 16, 8), logit, np.float32)),
    )
    with tf.GradientTape() as tape:
        tape.watch(answers)
        loss = heat_loss(heat[None], answers[0]) + geometry_loss(geometry[None], answers[1])
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, answers))


def test_encode_says_what_the_module_promises() -> None:
    [row] = encode(np.array(FACE, np.float32), np.array(EYES, np.float32), np.array([[6, 5]]))

    np.testing.assert_allclose(row[:2], [52 / 8 - 6.5, 40 / 8 - 5.5])
    np.testing.assert_allclose(row[2:4], np.log([32 / 48, 40 / 48]), rtol=1e-6)
    np.testing.assert_allclose(row[4:], [-6 / 32, -6 / 40, 6 / 32, -4 / 40], rtol=1e-6)
