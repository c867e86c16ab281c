import cv2
import numpy as np
import pytest

from fer_edge.detection.detector import Detection, WholeFrame
from fer_edge.imaging.crop import Box, overlap
from fer_edge.tracking.tracker import FaceTracker
from support.scene import STEP, Stage, face, ids, landmarks_of, seen, still


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("every", [1, 5])
def test_a_moving_face_keeps_its_id_and_its_box_and_landmarks_move_along(every: int, stage: Stage) -> None:
    """Also where a detection is damped."""
    follower = FaceTracker(stage, every)
    for number in range(30):
        stage.people[1] = face(150 + 10 * number, 240 - 3 * number)
        (one,) = follower.step(stage.frame(), STEP * number)
        assert one.id == 0
        assert overlap(one.detection.box, stage.people[1]) > 0.8
        np.testing.assert_allclose(one.detection.landmarks or (), landmarks_of(one.detection.box), atol=1e-6)


def test_between_detections_the_size_stays_and_the_landmarks_move_with_the_box(stage: Stage) -> None:
    follower = seen(stage, face(300, 240), every=10, frames=1)
    (before,) = still(follower, stage, 1, STEP)
    stage.people[1] = face(320, 230)

    (after,) = follower.step(stage.frame(), 2 * STEP)

    assert (before.detected, after.detected, stage.asked) == (False, False, 1)
    assert after.detection.box[2:] == before.detection.box[2:]
    assert before.detection.landmarks is not None
    assert after.detection.landmarks is not None
    way = np.subtract(after.detection.box[:2], before.detection.box[:2])
    np.testing.assert_allclose(way, [20, -10], atol=3)
    np.testing.assert_allclose(np.subtract(after.detection.landmarks, before.detection.landmarks), [way] * 5, atol=1e-6)


def test_a_damped_landmark_goes_half_of_its_way_and_the_score_is_the_last_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = seen(stage, face(320, 240), frames=2)
    frame_bgr, (before,) = stage.frame(), still(follower, stage, 1, 2 * STEP)
    box = face(330, 236)
    monkeypatch.setattr(stage, "detect", lambda _: [Detection(box, 0.7, landmarks_of(box))])

    (after,) = follower.step(frame_bgr, 3 * STEP)

    moved = np.subtract(after.detection.landmarks or (), before.detection.landmarks or ())
    np.testing.assert_allclose(moved, [[5, -2]] * 5, atol=1e-6)
    assert after.detection.score == 0.7


def test_landmarks_that_come_or_go_are_those_of_the_last_detection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = seen(stage, face(320, 240))
    frame_bgr, told = stage.frame(), []
    bare, whole = [Detection(stage.people[1], 0.9)], stage.detect(frame_bgr)
    for number, answer in enumerate((bare, bare, whole)):
        monkeypatch.setattr(stage, "detect", lambda _, answer=answer: answer)
        (one,) = follower.step(frame_bgr, (3 + number) * STEP)
        told.append(one.detection.landmarks)

    assert told == [None, None, landmarks_of(stage.people[1])]


def test_somebody_else_at_the_same_place_behind_a_cut_is_somebody_else(stage: Stage) -> None:
    follower = seen(stage, face(320, 240, 200), every=5)
    stage.people = {4: face(320, 240, 200)}
    stage.wall = np.ascontiguousarray(255 - stage.wall[::-1])

    assert ids(follower.step(stage.frame(), 3 * STEP)) == [1]
    assert follower.left == [0]
    assert stage.asked == 2


def test_whoever_is_there_is_the_same_when_the_light_changes(stage: Stage) -> None:
    follower = seen(stage, face(320, 240, 120), every=5)

    assert ids(follower.step(stage.frame() // 2, 3 * STEP)) == [0]


@pytest.mark.parametrize(("seconds", "number", "left"), [(0.5, 0, []), (1.5, 1, [0])])
def test_an_id_survives_a_short_gap_and_none_comes_back(
    stage: Stage, seconds: float, number: int, left: list[int]
) -> None:
    follower, gone = seen(stage, face(320, 240), every=2, frames=5), []
    stage.hidden = {1}
    for step in range(round(seconds / STEP)):
        assert follower.step(stage.frame(), 5 * STEP + STEP * step) == []
        gone += follower.left
    stage.hidden, stage.people[1] = set(), face(380, 240)

    assert ids(still(follower, stage, 3, 5 * STEP + seconds)) == [number]
    assert gone == left


@pytest.mark.parametrize("times", [1, 6, 50])
def test_a_face_that_the_detector_misses_is_shown_as_long_as_it_was_seen_and_a_second_at_most(
    stage: Stage, times: int
) -> None:
    follower = seen(stage, face(320, 240), frames=times)
    stage.unseen = {1}
    frame_bgr = stage.frame()
    shown = [follower.step(frame_bgr, STEP * number) for number in range(times, times + 40)]

    count = len([followed for followed in shown if followed])
    assert count == pytest.approx(min(times - 1, 1 / STEP), abs=1)
    assert [ids(followed) for followed in shown] == [[0]] * count + [[]] * (40 - count)
    assert not any(one.detected for followed in shown for one in followed)


def test_a_still_face_stays_exactly_where_it_is(stage: Stage) -> None:
    (one,) = seen(stage, face(320, 240), every=100, frames=50).step(stage.frame(), 2.0)

    np.testing.assert_allclose(one.detection.box, stage.people[1], atol=1e-6)


@pytest.mark.parametrize(("every", "shown"), [(1, []), (100, [0])])
def test_what_looks_only_a_little_like_a_face_is_not_shown_against_the_detectors_word(
    stage: Stage, every: int, shown: list[int]
) -> None:
    follower, before = seen(stage, face(320, 240, 120), every, frames=10), stage.frame()
    stage.people = {5: face(320, 240, 120)}
    faded = np.asarray(cv2.addWeighted(before, 0.7, stage.frame(), 0.3, 0), np.uint8)  # a correlation of 0.77
    stage.unseen = {5}

    assert ids(follower.step(faded, 10 * STEP)) == shown
    assert stage.asked == (11 if every == 1 else 1)


def test_a_face_is_known_again_where_the_detector_saw_it_last(stage: Stage) -> None:
    follower, frame_bgr = seen(stage, face(320, 240), frames=10), stage.frame()
    stage.unseen = {1}
    for number in range(6):  # something alike drags the box along: an arm, or who passes in front
        stage.people[1] = face(340 + 20 * number, 240)
        assert ids(follower.step(stage.frame(), 0.4 + STEP * number)) == [0]
    stage.hidden = {1}
    assert still(follower, stage, 3, 0.7) == []
    stage.unseen, stage.hidden, stage.people[1] = set(), set(), face(320, 240)

    (again,) = follower.step(frame_bgr, 0.9)
    assert again.id == 0
    np.testing.assert_allclose(again.detection.landmarks or (), landmarks_of(again.detection.box), atol=1e-6)


def test_faces_keep_their_ids_while_they_pass_each_other(stage: Stage) -> None:
    follower = FaceTracker(stage, 1)
    for number in range(25):
        stage.people = {1: face(100 + 16 * number, 150), 2: face(500 - 16 * number, 330)}
        followed = follower.step(stage.frame(), STEP * number)

    assert ids(followed) == [0, 1]
    assert overlap(followed[0].detection.box, stage.people[1]) > 0.8
    assert overlap(followed[1].detection.box, stage.people[2]) > 0.8


@pytest.mark.parametrize(
    ("before", "after"),
    [(face(150, 240), face(450, 240)), (face(320, 240, 50), face(340, 250, 150))],
    ids=["too far away", "much larger"],
)
def test_a_face_that_can_not_be_the_one_before_is_a_new_one(stage: Stage, before: Box, after: Box) -> None:
    follower = seen(stage, before)
    stage.people = {2: after}

    assert ids(follower.step(stage.frame(), 3 * STEP)) == [1]


def test_a_box_that_was_wrong_is_put_right_at_once(stage: Stage) -> None:
    follower = seen(stage, face(320, 240))
    frame_bgr, stage.people[1] = stage.frame(), face(360, 240)

    (one,) = follower.step(frame_bgr, 3 * STEP)

    assert (one.id, one.detection.box) == (0, face(360, 240))


def test_boxes_jump_less_than_the_detectors(stage: Stage) -> None:
    rng = np.random.default_rng(0)
    follower, places, shown = FaceTracker(stage, 1), [], []
    stage.people[1] = face(320, 240)
    picture = stage.frame()
    for number in range(100):
        stage.people[1] = face(320 + rng.normal(0, 4), 240)
        places.append(stage.people[1].x)
        shown.append(follower.step(picture, STEP * number)[0].detection.box.x)

    assert np.std(np.diff(shown)) < 0.6 * np.std(np.diff(places))


def test_the_largest_faces_are_kept_and_two_of_a_size_do_not_alternate(stage: Stage) -> None:
    follower = FaceTracker(stage, 1, max_faces=2)
    seen = []
    for number in range(10):
        stage.people = {1: face(100, 240, 60), 2: face(300, 240, 80 + number % 2), 3: face(500, 240, 81 - number % 2)}
        stage.people[4] = face(320, 60, 80 + 2 * (number % 2))
        seen.append(ids(follower.step(stage.frame(), STEP * number)))
    stage.people = {**stage.people, 5: face(420, 400, 150)}
    last = follower.step(stage.frame(), 1.0)

    assert seen == [[0, 1]] * 10
    assert max(ids(last)) == 2
    assert len(last) == 2
    assert len(follower.left) == 1


def test_small_faces_are_left_out_and_one_at_the_limit_stays(stage: Stage) -> None:
    follower = FaceTracker(stage, 1, min_face=100)
    stage.people = {1: face(150, 240, 101 / 1.28), 2: face(450, 240, 95 / 1.28)}
    first = still(follower, stage, 1)
    stage.people[1] = face(150, 240, 95 / 1.28)

    assert ids(first) == [0]
    assert ids(still(follower, stage, 3, 1.0)) == [0]


@pytest.mark.parametrize("every", [1, 5])
def test_fifty_faces_are_fifty_people(stage: Stage, every: int) -> None:
    stage.people = {seed: face(40 + seed % 10 * 60, 50 + seed // 10 * 92, 36) for seed in range(50)}

    followed = still(FaceTracker(stage, every), stage, 8)

    assert ids(followed) == list(range(50))


def test_a_lost_face_is_given_up_also_where_the_clock_jumped_back(stage: Stage) -> None:
    stage.people[1] = face(320, 240)
    follower, gone = FaceTracker(stage, 3), []
    still(follower, stage, 5, begin=3600.0)
    stage.people.clear()
    still(follower, stage, 3, begin=3601.0)
    for number in range(40):
        follower.step(stage.frame(), STEP * number)
        gone += follower.left

    assert gone == [0]


def test_behind_a_long_break_everybody_is_new(stage: Stage) -> None:
    follower = seen(stage, face(320, 240), every=3, frames=5)

    assert ids(follower.step(stage.frame(), 60.0)) == [1]
    assert follower.left == [0]


def test_one_picture_in_five_seconds_is_enough_to_know_somebody_again(stage: Stage) -> None:
    follower = FaceTracker(stage, 1)
    for number in range(4):
        stage.people[1] = face(300 + 20 * number, 240)

        assert ids(follower.step(stage.frame(), 5.0 * number)) == [0]


def test_a_frame_of_another_size_begins_anew(stage: Stage) -> None:
    small, stage.people[1] = Stage((320, 240)), face(150, 120)
    follower = seen(small, face(150, 120), every=5)

    assert ids(follower.step(stage.frame(), 3 * STEP)) == [1]
    assert ids(follower.step(small.frame(), 4 * STEP)) == [2]


def test_an_hour_without_a_face_leaves_nothing_behind() -> None:
    stage = Stage((64, 48))
    frame_bgr = stage.frame()
    follower = FaceTracker(stage, 25)
    for number in range(3600):  # one frame a second
        assert follower.step(frame_bgr, float(number)) == []
        assert follower.left == []

    assert stage.asked == 3600 / 25


def test_two_boxes_on_one_face_become_one_as_soon_as_the_detector_says_so(stage: Stage) -> None:
    stage.people = {1: face(300, 240), 2: face(340, 240)}
    follower = FaceTracker(stage, 1)
    assert ids(still(follower, stage, 10)) == [0, 1]
    stage.unseen = {2}

    assert ids(still(follower, stage, 1, 0.4)) == [0]


def test_without_a_detector_the_whole_frame_is_always_the_same_face(stage: Stage) -> None:
    follower = FaceTracker(WholeFrame(), 5)
    follower.step(stage.frame(), 0.0)
    stage.wall = np.roll(stage.wall, 100, axis=1)

    (one,) = follower.step(stage.frame(), STEP)

    assert (one.id, one.detection.box) == (0, (0, 0, 640, 480))


@pytest.mark.parametrize("size_wh", [(1, 1), (2, 300), (300, 2), (4000, 20), (480, 640)])
def test_frames_of_any_shape_are_taken(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    stage = Stage(size_wh)
    stage.people[1] = Box(0, 0, width, height)
    stage.hidden = {1}
    follower = FaceTracker(stage, 2)
    for number in range(5):
        follower.step(stage.frame() + np.uint8(20 * number), STEP * number)


@pytest.mark.parametrize("box", [Box(-40, -50, 90, 110), Box(600, 430, 90, 110), Box(-200, -200, 900, 900)])
def test_a_face_that_reaches_over_the_edge_is_followed(stage: Stage, box: Box) -> None:
    (one,) = still(seen(stage, box, every=10, frames=1), stage, 4, STEP)

    assert overlap(one.detection.box, box) > 0.9


def test_a_face_whose_centre_leaves_the_frame_is_gone(stage: Stage) -> None:
    follower = seen(stage, face(590, 240), every=100)
    stage.unseen = {1}
    for number in range(8):
        stage.people[1] = face(600 + 10 * number, 240)
        followed = follower.step(stage.frame(), STEP * number)

    assert followed == []


def test_a_face_without_any_contrast_is_looked_for_again(stage: Stage) -> None:
    stage.wall[:] = 128
    stage.people[1], stage.hidden = face(320, 240), set()
    grey, follower = stage.wall.copy(), FaceTracker(stage, 100)
    for number in range(5):
        followed = follower.step(grey, STEP * number)

    assert ids(followed) == [0]
    assert np.isfinite(followed[0].detection.box).all()
