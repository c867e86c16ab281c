"""Hidden faces stay hidden: in the frame, when the detector blinks, and against reconstruction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.imaging.images import Pixels
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks.blur import BLOCKS, HELD_S, Blur, blurred
from fer_edge.sources import Frame
from fer_edge.synthetic.render import draw_face
from fer_edge.tracking.pipeline import Result

NOISE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
BOX = (300, 200, 100, 120)


def result(
    t: float, *boxes: tuple[int, int, int, int], fps: float | None = 25.0, frame_bgr: Pixels = NOISE, first: int = 0
) -> Result:
    """Faces numbered from `first` on."""
    faces = [Face(box, "fear", 0.9, {"fear": 1.0}, 1.0, id=number) for number, box in enumerate(boxes, first)]
    return Result(Frame("camera 0", 0, t, frame_bgr, 0.0, 0.0, None, fps), faces)


def hidden(shown: Result) -> bool:
    """Whether the inside of BOX is no longer what it was."""
    x, y, w, h = BOX
    return not np.array_equal(shown.frame.bgr[y : y + h, x : x + w], NOISE[y : y + h, x : x + w])


def test_only_the_face_and_its_surroundings_change_and_the_frame_itself_stays() -> None:
    before = NOISE.copy()
    changed = (blurred(NOISE, [BOX]) != NOISE).any(axis=2)
    rows, columns = np.nonzero(changed)

    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (264, 435, 157, 362)  # 36 and 43 pixels around BOX
    assert changed[157:363, 264:436].mean() > 0.99
    np.testing.assert_array_equal(NOISE, before)


def test_what_is_left_are_the_means_of_a_few_blocks() -> None:
    side = 60 * BLOCKS
    face = NOISE[:side, :side].copy()
    shuffled = face.reshape(BLOCKS, 60, BLOCKS, 60, 3).swapaxes(1, 2).reshape(BLOCKS, BLOCKS, 3600, 3)
    shuffled = np.random.default_rng(1).permuted(shuffled, axis=2)
    other = shuffled.reshape(BLOCKS, BLOCKS, 60, 60, 3).swapaxes(1, 2).reshape(side, side, 3)
    whole = [(0, 0, side, side)]

    assert not np.array_equal(face, other)
    np.testing.assert_array_equal(blurred(face, whole), blurred(other, whole))


def test_two_expressions_of_one_person_look_alike() -> None:
    happy, box = draw_face("happiness", seed=3, size=256)
    angry, _ = draw_face("anger", seed=3, size=256)
    place = [(round(box.x), round(box.y), round(box.w), round(box.h))]
    difference = np.abs(happy.astype(int) - angry).max()
    left = np.abs(blurred(happy, place).astype(int) - blurred(angry, place)).max()

    assert difference > 100
    assert left < 20


@pytest.mark.parametrize(
    "box", [(-50, -50, 60, 60), (630, 470, 100, 100), (0, 0, 640, 480), (5, 5, 1, 1), (9, 9, 0, 0)]
)
def test_boxes_of_every_kind_can_be_hidden(box: tuple[int, int, int, int]) -> None:
    assert blurred(NOISE, [box]).shape == NOISE.shape


@pytest.mark.parametrize("box", [(900, 0, 50, 50), (-300, 0, 50, 50), (0, -300, 50, 50)])
def test_a_box_beside_the_frame_hides_nothing(box: tuple[int, int, int, int]) -> None:
    np.testing.assert_array_equal(blurred(NOISE, [box]), NOISE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_frames_of_every_shape_can_be_blurred(shape: tuple[int, int]) -> None:
    frame_bgr = np.zeros((*shape, 3), np.uint8)

    assert blurred(frame_bgr, [(0, 0, shape[1], shape[0])]).shape == frame_bgr.shape


def test_a_face_that_is_missed_for_a_moment_stays_hidden() -> None:
    blur = Blur()

    assert hidden(blur.step(result(0.0, BOX)))
    assert hidden(blur.step(result(0.9 * HELD_S)))
    assert not hidden(blur.step(result(1.1 * HELD_S)))


def test_a_face_that_moves_draws_no_trail_but_the_place_of_one_that_is_lost_stays_hidden() -> None:
    blur = Blur()
    away = (50, 50, 60, 60)

    assert hidden(blur.step(result(0.0, BOX)))
    assert not hidden(blur.step(result(0.04, away)))
    assert hidden(blur.step(result(0.08, BOX)))
    assert hidden(blur.step(result(0.12, away, first=1)))  # another person


def test_two_faces_without_a_number_are_both_hidden() -> None:
    two = result(0.0, BOX, (50, 50, 60, 60))
    unnamed = replace(two, faces=[replace(face, id=None) for face in two.faces])

    assert hidden(Blur().step(unnamed))


def test_a_clock_that_jumps_back_leaves_no_ghost() -> None:
    blur = Blur()
    blur.step(result(1000.0, BOX))

    assert not hidden(blur.step(result(0.0)))
    assert not hidden(blur.step(result(1000.5)))


def test_the_next_picture_of_a_folder_has_nothing_to_do_with_the_last() -> None:
    blur = Blur()

    assert hidden(blur.step(result(0.0, BOX, fps=None)))
    assert not hidden(blur.step(result(0.0, fps=None)))


def test_everything_else_of_a_result_stays(tmp_path: Path) -> None:
    before = result(3.0, BOX)
    after = Blur().step(before)

    assert (after.faces, after.dropped, after.frame.t, after.frame.name) == (before.faces, 0, 3.0, "camera 0")
    assert before.frame.bgr is NOISE
