import cv2
import numpy as np
import pytest

from fer_edge.detection.detector import Detection, WholeFrame
from fer_edge.imaging.crop import Box, overlap
from fer_edge.tracking.tracker import FaceTracker
from support.scene import STEP, DrawnScene, face, ids, landmarks_of, show_still, track_one


@pytest.fixture
def scene() -> DrawnScene:
    return DrawnScene()


@pytest.mark.parametrize("every", [1, 5])
def test_a_moving_face_keeps_its_id_and_its_box_and_landmarks_move_along(every: int, scene: DrawnScene) -> None:
    """Also where a detection is damped."""
    tracker = FaceTracker(scene, every)
    for number in range(30):
        scene.people[1] = face(150 + 10 * number, 240 - 3 * number)
        (one,) = tracker.step(scene.frame(), STEP * number)
        assert one.id == 0
        assert overlap(one.detection.box, scene.people[1]) > 0.8
        np.testing.assert_allclose(one.detection.landmarks or (), landmarks_of(one.detection.box), atol=1e-6)


def test_between_detections_the_size_stays_and_the_landmarks_move_with_the_box(scene: DrawnScene) -> None:
    tracker = track_one(scene, face(300, 240), every=10, frames=1)
    (before,) = show_still(tracker, scene, 1, STEP)
    scene.people[1] = face(320, 230)

    (after,) = tracker.step(scene.frame(), 2 * STEP)

    assert (before.detected, after.detected, scene.detect_calls) == (False, False, 1)
    assert after.detection.box[2:] == before.detection.box[2:]
    assert before.detection.landmarks is not None
    assert after.detection.landmarks is not None
    way = np.subtract(after.detection.box[:2], before.detection.box[:2])
    np.testing.assert_allclose(way, [20, -10], atol=3)
    np.testing.assert_allclose(np.subtract(after.detection.landmarks, before.detection.landmarks), [way] * 5, atol=1e-6)


def test_a_damped_landmark_goes_half_of_its_way_and_the_score_is_the_last_one(
    scene: DrawnScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = track_one(scene, face(320, 240), frames=2)
    frame_bgr, (before,) = scene.frame(), show_still(tracker, scene, 1, 2 * STEP)
    box = face(330, 236)
    monkeypatch.setattr(scene, "detect", lambda _: [Detection(box, 0.7, landmarks_of(box))])

    (after,) = tracker.step(frame_bgr, 3 * STEP)

    moved = np.subtract(after.detection.landmarks or (), before.detection.landmarks or ())
    np.testing.assert_allclose(moved, [[5, -2]] * 5, atol=1e-6)
    assert after.detection.score == 0.7


def test_landmarks_that_come_or_go_are_those_of_the_last_detection(
    scene: DrawnScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = track_one(scene, face(320, 240))
    frame_bgr, told = scene.frame(), []
    bare, whole = [Detection(scene.people[1], 0.9)], scene.detect(frame_bgr)
    for number, answer in enumerate((bare, bare, whole)):
        monkeypatch.setattr(scene, "detect", lambda _, answer=answer: answer)
        (one,) = tracker.step(frame_bgr, (3 + number) * STEP)
        told.append(one.detection.landmarks)

    assert told == [None, None, landmarks_of(scene.people[1])]


def test_another_person_at_the_same_place_after_a_cut_has_a_new_id(scene: DrawnScene) -> None:
    tracker = track_one(scene, face(320, 240, 200), every=5)
    scene.people = {4: face(320, 240, 200)}
    scene.wall = np.ascontiguousarray(255 - scene.wall[::-1])

    assert ids(tracker.step(scene.frame(), 3 * STEP)) == [1]
    assert tracker.left == [0]
    assert scene.detect_calls == 2


def test_a_change_of_light_keeps_ids(scene: DrawnScene) -> None:
    tracker = track_one(scene, face(320, 240, 120), every=5)

    assert ids(tracker.step(scene.frame() // 2, 3 * STEP)) == [0]


@pytest.mark.parametrize(("seconds", "number", "left"), [(0.5, 0, []), (1.5, 1, [0])])
def test_an_id_survives_a_short_gap_and_none_comes_back(
    scene: DrawnScene, seconds: float, number: int, left: list[int]
) -> None:
    tracker, gone = track_one(scene, face(320, 240), every=2, frames=5), []
    scene.hidden = {1}
    for step in range(round(seconds / STEP)):
        assert tracker.step(scene.frame(), 5 * STEP + STEP * step) == []
        gone += tracker.left
    scene.hidden, scene.people[1] = set(), face(380, 240)

    assert ids(show_still(tracker, scene, 3, 5 * STEP + seconds)) == [number]
    assert gone == left


@pytest.mark.parametrize("times", [1, 6, 50])
def test_a_missed_face_is_shown_as_long_as_it_was_detected_and_a_second_at_most(scene: DrawnScene, times: int) -> None:
    tracker = track_one(scene, face(320, 240), frames=times)
    scene.undetected = {1}
    frame_bgr = scene.frame()
    shown = [tracker.step(frame_bgr, STEP * number) for number in range(times, times + 40)]

    count = len([tracked for tracked in shown if tracked])
    assert count == pytest.approx(min(times - 1, 1 / STEP), abs=1)
    assert [ids(tracked) for tracked in shown] == [[0]] * count + [[]] * (40 - count)
    assert not any(one.detected for tracked in shown for one in tracked)


def test_a_still_face_stays_exactly_where_it_is(scene: DrawnScene) -> None:
    (one,) = track_one(scene, face(320, 240), every=100, frames=50).step(scene.frame(), 2.0)

    np.testing.assert_allclose(one.detection.box, scene.people[1], atol=1e-6)


@pytest.mark.parametrize(("every", "shown"), [(1, []), (100, [0])])
def test_a_low_score_face_that_the_detector_misses_is_not_shown(
    scene: DrawnScene, every: int, shown: list[int]
) -> None:
    tracker, before = track_one(scene, face(320, 240, 120), every, frames=10), scene.frame()
    scene.people = {5: face(320, 240, 120)}
    faded = np.asarray(cv2.addWeighted(before, 0.7, scene.frame(), 0.3, 0), np.uint8)  # a correlation of 0.77
    scene.undetected = {5}

    assert ids(tracker.step(faded, 10 * STEP)) == shown
    assert scene.detect_calls == (11 if every == 1 else 1)


def test_a_face_is_known_again_where_the_detector_saw_it_last(scene: DrawnScene) -> None:
    tracker, frame_bgr = track_one(scene, face(320, 240), frames=10), scene.frame()
    scene.undetected = {1}
    for number in range(6):  # something alike drags the box along: an arm, or who passes in front
        scene.people[1] = face(340 + 20 * number, 240)
        assert ids(tracker.step(scene.frame(), 0.4 + STEP * number)) == [0]
    scene.hidden = {1}
    assert show_still(tracker, scene, 3, 0.7) == []
    scene.undetected, scene.hidden, scene.people[1] = set(), set(), face(320, 240)

    (again,) = tracker.step(frame_bgr, 0.9)
    assert again.id == 0
    np.testing.assert_allclose(again.detection.landmarks or (), landmarks_of(again.detection.box), atol=1e-6)


def test_faces_keep_their_ids_while_they_pass_each_other(scene: DrawnScene) -> None:
    tracker = FaceTracker(scene, 1)
    for number in range(25):
        scene.people = {1: face(100 + 16 * number, 150), 2: face(500 - 16 * number, 330)}
        tracked = tracker.step(scene.frame(), STEP * number)

    assert ids(tracked) == [0, 1]
    assert overlap(tracked[0].detection.box, scene.people[1]) > 0.8
    assert overlap(tracked[1].detection.box, scene.people[2]) > 0.8


@pytest.mark.parametrize(
    ("before", "after"),
    [(face(150, 240), face(450, 240)), (face(320, 240, 50), face(340, 250, 150))],
    ids=["too far away", "much larger"],
)
def test_a_face_that_can_not_be_the_one_before_is_a_new_one(scene: DrawnScene, before: Box, after: Box) -> None:
    tracker = track_one(scene, before)
    scene.people = {2: after}

    assert ids(tracker.step(scene.frame(), 3 * STEP)) == [1]


def test_a_box_that_was_wrong_is_put_right_at_once(scene: DrawnScene) -> None:
    tracker = track_one(scene, face(320, 240))
    frame_bgr, scene.people[1] = scene.frame(), face(360, 240)

    (one,) = tracker.step(frame_bgr, 3 * STEP)

    assert (one.id, one.detection.box) == (0, face(360, 240))


def test_boxes_jump_less_than_the_detectors(scene: DrawnScene) -> None:
    rng = np.random.default_rng(0)
    tracker, places, shown = FaceTracker(scene, 1), [], []
    scene.people[1] = face(320, 240)
    picture = scene.frame()
    for number in range(100):
        scene.people[1] = face(320 + rng.normal(0, 4), 240)
        places.append(scene.people[1].x)
        shown.append(tracker.step(picture, STEP * number)[0].detection.box.x)

    assert np.std(np.diff(shown)) < 0.6 * np.std(np.diff(places))


def test_the_largest_faces_are_kept_and_two_of_a_size_do_not_alternate(scene: DrawnScene) -> None:
    tracker = FaceTracker(scene, 1, max_faces=2)
    ids_per_frame = []
    for number in range(10):
        scene.people = {1: face(100, 240, 60), 2: face(300, 240, 80 + number % 2), 3: face(500, 240, 81 - number % 2)}
        scene.people[4] = face(320, 60, 80 + 2 * (number % 2))
        ids_per_frame.append(ids(tracker.step(scene.frame(), STEP * number)))
    scene.people = {**scene.people, 5: face(420, 400, 150)}
    last = tracker.step(scene.frame(), 1.0)

    assert ids_per_frame == [[0, 1]] * 10
    assert max(ids(last)) == 2
    assert len(last) == 2
    assert len(tracker.left) == 1


def test_small_faces_are_left_out_and_one_at_the_limit_stays(scene: DrawnScene) -> None:
    tracker = FaceTracker(scene, 1, min_face=100)
    scene.people = {1: face(150, 240, 101 / 1.28), 2: face(450, 240, 95 / 1.28)}
    first = show_still(tracker, scene, 1)
    scene.people[1] = face(150, 240, 95 / 1.28)

    assert ids(first) == [0]
    assert ids(show_still(tracker, scene, 3, 1.0)) == [0]


@pytest.mark.parametrize("every", [1, 5])
def test_fifty_faces_have_fifty_ids(scene: DrawnScene, every: int) -> None:
    scene.people = {seed: face(40 + seed % 10 * 60, 50 + seed // 10 * 92, 36) for seed in range(50)}

    tracked = show_still(FaceTracker(scene, every), scene, 8)

    assert ids(tracked) == list(range(50))


def test_a_lost_face_is_given_up_also_where_the_clock_jumped_back(scene: DrawnScene) -> None:
    scene.people[1] = face(320, 240)
    tracker, gone = FaceTracker(scene, 3), []
    show_still(tracker, scene, 5, begin=3600.0)
    scene.people.clear()
    show_still(tracker, scene, 3, begin=3601.0)
    for number in range(40):
        tracker.step(scene.frame(), STEP * number)
        gone += tracker.left

    assert gone == [0]


def test_after_a_long_gap_all_ids_are_new(scene: DrawnScene) -> None:
    tracker = track_one(scene, face(320, 240), every=3, frames=5)

    assert ids(tracker.step(scene.frame(), 60.0)) == [1]
    assert tracker.left == [0]


def test_ids_are_kept_at_one_frame_in_five_seconds(scene: DrawnScene) -> None:
    tracker = FaceTracker(scene, 1)
    for number in range(4):
        scene.people[1] = face(300 + 20 * number, 240)

        assert ids(tracker.step(scene.frame(), 5.0 * number)) == [0]


def test_a_frame_of_another_size_begins_anew(scene: DrawnScene) -> None:
    small, scene.people[1] = DrawnScene((320, 240)), face(150, 120)
    tracker = track_one(small, face(150, 120), every=5)

    assert ids(tracker.step(scene.frame(), 3 * STEP)) == [1]
    assert ids(tracker.step(small.frame(), 4 * STEP)) == [2]


def test_an_hour_without_faces_leaves_no_state() -> None:
    scene = DrawnScene((64, 48))
    frame_bgr = scene.frame()
    tracker = FaceTracker(scene, 25)
    for number in range(3600):  # one frame a second
        assert tracker.step(frame_bgr, float(number)) == []
        assert tracker.left == []

    assert scene.detect_calls == 3600 / 25


def test_two_boxes_on_one_face_become_one_as_soon_as_the_detector_says_so(scene: DrawnScene) -> None:
    scene.people = {1: face(300, 240), 2: face(340, 240)}
    tracker = FaceTracker(scene, 1)
    assert ids(show_still(tracker, scene, 10)) == [0, 1]
    scene.undetected = {2}

    assert ids(show_still(tracker, scene, 1, 0.4)) == [0]


def test_without_a_detector_the_frame_is_always_the_same_face(scene: DrawnScene) -> None:
    tracker = FaceTracker(WholeFrame(), 5)
    tracker.step(scene.frame(), 0.0)
    scene.wall = np.roll(scene.wall, 100, axis=1)

    (one,) = tracker.step(scene.frame(), STEP)

    assert (one.id, one.detection.box) == (0, (0, 0, 640, 480))


@pytest.mark.parametrize("size_wh", [(1, 1), (2, 300), (300, 2), (4000, 20), (480, 640)])
def test_frames_of_any_shape_are_taken(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    scene = DrawnScene(size_wh)
    scene.people[1] = Box(0, 0, width, height)
    scene.hidden = {1}
    tracker = FaceTracker(scene, 2)
    for number in range(5):
        tracker.step(scene.frame() + np.uint8(20 * number), STEP * number)


@pytest.mark.parametrize("box", [Box(-40, -50, 90, 110), Box(600, 430, 90, 110), Box(-200, -200, 900, 900)])
def test_a_face_that_reaches_over_the_edge_is_followed(scene: DrawnScene, box: Box) -> None:
    (one,) = show_still(track_one(scene, box, every=10, frames=1), scene, 4, STEP)

    assert overlap(one.detection.box, box) > 0.9


def test_a_face_whose_centre_leaves_the_frame_is_gone(scene: DrawnScene) -> None:
    tracker = track_one(scene, face(590, 240), every=100)
    scene.undetected = {1}
    for number in range(8):
        scene.people[1] = face(600 + 10 * number, 240)
        tracked = tracker.step(scene.frame(), STEP * number)

    assert tracked == []


def test_a_face_without_any_contrast_is_looked_for_again(scene: DrawnScene) -> None:
    scene.wall[:] = 128
    scene.people[1], scene.hidden = face(320, 240), set()
    grey, tracker = scene.wall.copy(), FaceTracker(scene, 100)
    for number in range(5):
        tracked = tracker.step(grey, STEP * number)

    assert ids(tracked) == [0]
    assert np.isfinite(tracked[0].detection.box).all()
