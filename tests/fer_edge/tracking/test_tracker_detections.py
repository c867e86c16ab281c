"""When the follower asks its detector."""

import numpy as np
import pytest

from fer_edge.imaging.crop import Box
from fer_edge.tracking.tracker import FaceTracker
from support.scene import STEP, Stage, face, ids, seen, still


@pytest.mark.parametrize(("every", "asked"), [(1, 31), (5, 7), (30, 2)])
def test_the_detector_is_asked_every_so_many_frames(every: int, asked: int) -> None:
    stage = Stage()
    stage.people[1] = face(300, 240)

    still(FaceTracker(stage, every), stage, 31)

    assert stage.asked == asked


def test_it_is_asked_as_seldom_where_nobody_is() -> None:
    stage = Stage()

    assert still(FaceTracker(stage, 10), stage, 31) == []
    assert stage.asked == 4


@pytest.mark.parametrize(
    ("people", "there"), [({}, []), ({1: face(150, 240), 2: face(450, 240, 60)}, [0, 1])], ids=["lost", "new"]
)
def test_it_is_asked_at_once_when_a_face_is_lost_or_somebody_comes(people: dict[int, Box], there: list[int]) -> None:
    stage = Stage()
    follower = seen(stage, face(150, 240), every=100)
    stage.people = people

    assert ids(follower.step(stage.frame(), 3 * STEP)) == there
    assert stage.asked == 2


def test_it_is_not_asked_for_a_cameras_noise() -> None:
    stage, rng = Stage(), np.random.default_rng(0)
    follower = FaceTracker(stage, 100)
    for number in range(20):
        noisy = stage.frame() + rng.normal(0, 10, (480, 640, 3))
        follower.step(np.clip(noisy, 0, 255).astype(np.uint8), STEP * number)

    assert stage.asked == 1


def test_a_screen_that_flickers_all_the_time_does_not_have_it_asked_in_every_frame() -> None:
    stage = Stage()
    follower = FaceTracker(stage, 8)
    for number in range(80):
        frame_bgr = stage.frame()
        frame_bgr[50:200, 50:250] = 255 * (number % 2)
        follower.step(frame_bgr, STEP * number)
    flickering = stage.asked
    still(follower, stage, 17, begin=80 * STEP)  # the screen is off: a new face is found at once again
    stage.asked, stage.people[1] = 0, face(450, 240)

    assert flickering < 80 / 8 + 5
    assert ids(follower.step(stage.frame(), 4.0)) == [0]


def test_without_time_the_detector_waits_but_not_for_ever() -> None:
    stage = Stage()
    stage.people[1] = face(320, 240)
    follower, frame_bgr = FaceTracker(stage, 1), stage.frame()
    asked = []
    for number in range(62):
        follower.step(frame_bgr, STEP * number, over_budget=True)
        asked.append(follower.detect_ms > 0)

    assert [number for number, was in enumerate(asked) if was] == [0, 30, 60]


def test_what_called_for_the_detector_is_not_forgotten_while_there_is_no_time() -> None:
    stage = Stage()
    follower, frame_bgr = FaceTracker(stage, 100), stage.frame()
    still(follower, stage, 3)
    for picture in (255 - frame_bgr, frame_bgr):
        follower.step(picture, 3 * STEP, over_budget=True)
    assert stage.asked == 1

    follower.step(frame_bgr, 5 * STEP)

    assert stage.asked == 2
