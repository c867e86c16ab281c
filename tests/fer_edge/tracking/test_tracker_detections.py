"""When the tracker calls its detector."""

import numpy as np
import pytest

from fer_edge.imaging.crop import Box
from fer_edge.tracking.tracker import FaceTracker
from support.scene import STEP, DrawnScene, face, ids, show_still, track_one


@pytest.mark.parametrize(("every", "detect_calls"), [(1, 31), (5, 7), (30, 2)])
def test_the_detector_runs_every_n_frames(every: int, detect_calls: int) -> None:
    scene = DrawnScene()
    scene.people[1] = face(300, 240)

    show_still(FaceTracker(scene, every), scene, 31)

    assert scene.detect_calls == detect_calls


def test_it_runs_as_rarely_without_faces() -> None:
    scene = DrawnScene()

    assert show_still(FaceTracker(scene, 10), scene, 31) == []
    assert scene.detect_calls == 4


@pytest.mark.parametrize(
    ("people", "there"), [({}, []), ({1: face(150, 240), 2: face(450, 240, 60)}, [0, 1])], ids=["lost", "new"]
)
def test_it_runs_at_once_when_a_face_is_lost_or_appears(people: dict[int, Box], there: list[int]) -> None:
    scene = DrawnScene()
    tracker = track_one(scene, face(150, 240), every=100)
    scene.people = people

    assert ids(tracker.step(scene.frame(), 3 * STEP)) == there
    assert scene.detect_calls == 2


def test_camera_noise_does_not_trigger_it() -> None:
    scene, rng = DrawnScene(), np.random.default_rng(0)
    tracker = FaceTracker(scene, 100)
    for number in range(20):
        noisy = scene.frame() + rng.normal(0, 10, (480, 640, 3))
        tracker.step(np.clip(noisy, 0, 255).astype(np.uint8), STEP * number)

    assert scene.detect_calls == 1


def test_constant_flicker_does_not_trigger_it_in_every_frame() -> None:
    scene = DrawnScene()
    tracker = FaceTracker(scene, 8)
    for number in range(80):
        frame_bgr = scene.frame()
        frame_bgr[50:200, 50:250] = 255 * (number % 2)
        tracker.step(frame_bgr, STEP * number)
    flickering = scene.detect_calls
    show_still(tracker, scene, 17, begin=80 * STEP)  # the screen is off: a new face is found at once again
    scene.detect_calls, scene.people[1] = 0, face(450, 240)

    assert flickering < 80 / 8 + 5
    assert ids(tracker.step(scene.frame(), 4.0)) == [0]


def test_without_time_the_detector_waits_but_not_for_ever() -> None:
    scene = DrawnScene()
    scene.people[1] = face(320, 240)
    tracker, frame_bgr = FaceTracker(scene, 1), scene.frame()
    detected = []
    for number in range(62):
        tracker.step(frame_bgr, STEP * number, over_budget=True)
        detected.append(tracker.detect_ms > 0)

    assert [number for number, was in enumerate(detected) if was] == [0, 30, 60]


def test_a_trigger_is_kept_while_the_time_budget_is_used_up() -> None:
    scene = DrawnScene()
    tracker, frame_bgr = FaceTracker(scene, 100), scene.frame()
    show_still(tracker, scene, 3)
    for picture in (255 - frame_bgr, frame_bgr):
        tracker.step(picture, 3 * STEP, over_budget=True)
    assert scene.detect_calls == 1

    tracker.step(frame_bgr, 5 * STEP)

    assert scene.detect_calls == 2
