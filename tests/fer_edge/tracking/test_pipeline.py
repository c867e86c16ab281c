import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import SIDE, SIDES, Choice, Detection, Detector, YuNet
from fer_edge.errors import DataError, UsageError
from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.settings import TrackingSettings
from fer_edge.sources import Frame
from fer_edge.synthetic.render import clip, draw_face
from fer_edge.tracking.budget import TimeBudget
from fer_edge.tracking.pipeline import Pipeline, Result
from fer_edge.tracking.smoothing import SmoothingSettings

FPS = 25.0
HAPPY, BOX = draw_face("happiness", seed=2)
ANGRY, _ = draw_face("anger", seed=2)


class Told(Detector):
    """A detector that is told its answer."""

    name = "told"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes
        self.asked = 0
        self.seconds = 0.0

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        self.asked += 1
        time.sleep(self.seconds)
        return [Detection(box, 0.75) for box in self.boxes]


def frame(pixels: Pixels, index: int = 0, fps: float | None = FPS) -> Frame:
    """A frame of a video, or of a picture where it has no frame rate."""
    return Frame("a.mp4", index, index / FPS if fps else 0.0, pixels, 1.5, time.perf_counter(), None, fps)


def watch(watcher: Pipeline, *pictures: Pixels, begin: int = 0) -> list[Result]:
    return [watcher.step(frame(pixels, begin + number)) for number, pixels in enumerate(pictures)]


def test_a_face_of_a_video_has_an_id_and_both_labels(tiny: Path) -> None:
    results = watch(Pipeline(Recognizer(tiny, Told(BOX))), *[HAPPY] * 5)

    (face,) = results[-1].faces
    (raw,) = Recognizer(tiny, Told(BOX)).predict(HAPPY)
    assert (face.id, face.label, face.raw_label) == (0, raw.label, raw.label)
    assert face.score == pytest.approx(raw.score, abs=0.01)
    assert face.probabilities == pytest.approx(raw.probabilities, abs=0.01)
    assert (face.box, face.detection_score) == (raw.box, raw.detection_score)


def test_one_frame_does_not_change_a_label_but_its_raw_one(tiny: Path) -> None:
    results = watch(Pipeline(Recognizer(tiny, Told(BOX)), TrackingSettings(1)), *[HAPPY] * 10, ANGRY, HAPPY)

    faces = [result.faces[0] for result in results]
    assert {face.label for face in faces} == {faces[0].label}
    assert faces[10].raw_label != faces[9].raw_label
    assert sum(faces[10].probabilities.values()) == pytest.approx(1)
    assert faces[10].score == faces[10].probabilities[faces[10].label]


def test_a_score_is_that_of_the_label_also_where_another_class_leads_already(tiny: Path) -> None:
    slow = SmoothingSettings(dwell=10.0)
    results = watch(Pipeline(Recognizer(tiny, Told(BOX)), TrackingSettings(1), slow), *[HAPPY] * 3, *[ANGRY] * 15)

    face = results[-1].faces[0]
    assert face.label == results[0].faces[0].label
    assert face.score == face.probabilities[face.label] < max(face.probabilities.values())


def test_without_smoothing_each_frame_speaks_for_itself(tiny: Path) -> None:
    results = watch(Pipeline(Recognizer(tiny, Told(BOX)), TrackingSettings(1), None), HAPPY, ANGRY, HAPPY)

    before, now, after = (result.faces[0] for result in results)
    assert before.label == after.label != now.label
    assert now.raw_label is None
    assert [len(result.events) for result in results] == [1, 1, 1]


def test_what_happens_to_a_face_is_an_event(tiny: Path) -> None:
    detector = Told()
    watcher = Pipeline(Recognizer(tiny, detector), TrackingSettings(1), SmoothingSettings(seconds=0.05, dwell=0.1))
    empty = np.full_like(HAPPY, 128)

    watch(watcher, empty)
    detector.boxes = (BOX,)
    results = watch(watcher, *[HAPPY] * 10, *[ANGRY] * 15, begin=1)
    detector.boxes = ()
    results += watch(watcher, *[empty] * 30, begin=26)

    events = [event for result in results for event in result.events]
    happy, angry = results[0].faces[0].label, results[24].faces[0].label
    assert happy != angry
    assert [(event.id, event.before, event.after) for event in events] == [
        (0, None, happy),
        (0, happy, angry),
        (0, angry, None),
    ]
    assert events[0].t == 1 / FPS
    assert all(result.events == [event] for event in events for result in results if result.frame.t == event.t)
    assert watcher._tracks == {}


def test_two_faces_have_their_own_course(tiny: Path) -> None:
    pair = np.hstack([HAPPY, ANGRY])
    boxes = BOX, BOX._replace(x=BOX.x + 96)
    results = watch(Pipeline(Recognizer(tiny, Told(*boxes))), *[pair] * 10)

    one, other = results[-1].faces
    assert (one.id, other.id) == (0, 1)
    assert one.label != other.label


def test_every_stage_is_timed_and_the_total_is_their_sum(tiny: Path) -> None:
    detector = Told(BOX)
    results = watch(Pipeline(Recognizer(tiny, detector), TrackingSettings(detect_every=2)), *[HAPPY] * 3)

    for result in results:
        assert list(result.ms) == ["capture", "detect", "follow", "crop", "classify", "smooth", "total"]
        assert result.ms["capture"] == 1.5
        assert min(result.ms.values()) >= 0
        assert result.ms["total"] == pytest.approx(sum(result.ms.values()) - result.ms["total"])
        assert 0 < result.ms["total"] - 1.5 <= result.age_ms
    assert [result.ms["detect"] > 0 for result in results] == [True, False, True]


def test_pictures_have_nothing_to_do_with_one_another(tiny: Path) -> None:
    watcher = Pipeline(Recognizer(tiny, Told(BOX)))

    first, second = (watcher.step(frame(pixels, fps=None)) for pixels in (HAPPY, ANGRY))

    assert first.faces == Recognizer(tiny, Told(BOX)).predict(HAPPY)
    assert second.faces == Recognizer(tiny, Told(BOX)).predict(ANGRY)
    assert first.events == second.events == []
    assert list(first.ms) == ["capture", "detect", "crop", "classify", "total"]


@pytest.mark.parametrize("settings", [TrackingSettings(max_faces=2), TrackingSettings(min_face=30)])
@pytest.mark.parametrize("fps", [None, FPS])
def test_the_largest_faces_that_are_large_enough_are_kept(
    tiny: Path, fps: float | None, settings: TrackingSettings
) -> None:
    boxes = Box(0, 0, 10, 12), Box(20, 0, 20, 25), Box(50, 0, 40, 50), Box(0, 50, 30, 35)
    watcher = Pipeline(Recognizer(tiny, Told(*boxes)), settings)

    assert [face.box[2] for face in watcher.step(frame(HAPPY, fps=fps)).faces] == [40, 30]


def test_a_clock_that_jumps_back_is_no_trouble(tiny: Path) -> None:
    watcher = Pipeline(Recognizer(tiny, Told(BOX)))
    watch(watcher, *[HAPPY] * 3, begin=100_000)

    results = watch(watcher, *[HAPPY] * 60)

    assert {face.id for result in results for face in result.faces} == {0}
    assert [event for result in results for event in result.events] == []


def test_the_count_of_dropped_frames_is_handed_on(tiny: Path) -> None:
    assert Pipeline(Recognizer(tiny, Told())).step(frame(HAPPY), dropped=7).dropped == 7


def test_what_is_no_frame_is_refused_and_the_next_one_taken(tiny: Path) -> None:
    watcher = Pipeline(Recognizer(tiny, Told(BOX)))
    with pytest.raises(DataError, match="COLOR_GRAY2BGR"):
        watcher.step(frame(HAPPY[:, :, 0]))

    assert len(watcher.step(frame(HAPPY, 1)).faces) == 1


def test_drawn_people_are_followed_by_the_bundled_detector(tiny: Path) -> None:
    watcher = Pipeline(Recognizer(tiny))
    seen: dict[int, int] = {}
    for number, (pixels, _) in enumerate(clip(48, 3, (320, 240))):
        for face in watcher.step(frame(pixels, number)).faces:
            assert face.id is not None
            seen[face.id] = seen.get(face.id, 0) + 1

    assert seen.keys() == {0, 1}
    assert seen[0] >= 44
    assert seen[1] >= 28


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"detect_every": 0}, "--detect-every must be at least 1, not 0"),
        ({"budget_ms": 0}, "--budget-ms must be at least 0.001, not 0"),
        ({"budget_ms": float("nan")}, "--budget-ms must be at least 0.001, not nan"),
        ({"max_faces": 0}, "--max-faces must be at least 1, not 0"),
        ({"min_face": -1}, "--min-face must be at least 0, not -1"),
        ({"min_face": float("nan")}, "--min-face must be at least 0, not nan"),
        ({"min_face": float("inf")}, "--min-face must be at least 0, not inf"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        TrackingSettings(**settings)


@pytest.mark.parametrize(("budget_ms", "share"), [(11.1, 1.0), (4.1, 0.31), (2.1, 0.11), (0.5, 1 / 30)])
def test_a_budget_says_how_often_the_detector_is_asked(budget_ms: float, share: float) -> None:
    budget, asked, spent_ms, since = TimeBudget(budget_ms), 0, 0.0, 30
    for _ in range(3000):
        detect_ms = 0.0 if budget.exceeded and since < 30 else 10.0
        since = 1 if detect_ms else since + 1
        asked += detect_ms > 0
        spent_ms += detect_ms + 1.0
        budget.record(detect_ms, 1.0)

    assert asked / 3000 == pytest.approx(share, rel=0.05)
    assert spent_ms / 3000 < 1.01 * budget_ms or budget_ms == 0.5


def test_what_is_saved_buys_one_detection_and_no_more() -> None:
    budget = TimeBudget(5.0)
    budget.record(10.0, 1.0)
    for _ in range(1000):
        budget.record(0.0, 1.0)
    bought = 0
    while not budget.exceeded:
        budget.record(10.0, 1.0)
        bought += 1

    assert bought == 1


def test_one_frame_that_took_long_is_soon_forgotten() -> None:
    budget = TimeBudget(5.0)
    budget.record(10.0, 1.0)
    budget.record(0.0, 60_000.0)
    waited = 0
    while budget.exceeded:
        budget.record(0.0, 1.0)
        waited += 1

    assert waited < 100


@pytest.mark.parametrize(
    ("budget_ms", "at_least", "often"),
    [(20, 1, "frame"), (20, 5, "5 frames"), (5, 1, "3 frames"), (0.5, 1, "30 frames, which exceeds the budget")],
)
def test_a_budget_reports_its_detection_interval(budget_ms: float, at_least: int, often: str) -> None:
    budget = TimeBudget(budget_ms, at_least)
    budget.record(10.0, 1.0)

    assert budget.summary == f"detection takes 10.0 ms, the rest 1.0 ms: detecting faces every {often}"


def test_the_tracking_pipeline_keeps_to_its_time_budget(tiny: Path) -> None:
    detector = Told(BOX)
    detector.seconds = 0.05
    watcher = Pipeline(Recognizer(tiny, detector), TrackingSettings(budget_ms=20))

    watch(watcher, *[HAPPY] * 20)

    assert 1 <= detector.asked <= 10
    assert watcher.budget is not None
    assert "detecting faces every" in watcher.budget.summary
    assert watcher.input_size_note is None  # this detector sees what it likes


def test_without_a_budget_nothing_is_chosen(tiny: Path) -> None:
    recognizer = Recognizer(tiny)

    assert Pipeline(recognizer).input_size_note is None
    assert isinstance(recognizer.detector, YuNet)
    assert recognizer.detector.side == SIDE


class Timed(YuNet):
    """YuNet without its network: as slow as its input is large."""

    name = "timed"

    def __init__(self) -> None:
        self.side = SIDE

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        assert frame_bgr.shape == (480, 640, 3)
        time.sleep(5e-7 * self.side**2)  # 205 ms at 640, 115 at 480, 87 at 416, 51 at 320, 33 at 256, 18 at 192
        return []


@pytest.mark.parametrize(
    ("budget_ms", "side"), [(1000, 640), (100, 480), (45, 320), (28, 256), (1, 192)], ids=lambda value: f"{value}"
)
def test_a_detector_sees_what_half_the_budget_pays_for_in_every_third_frame(
    tiny: Path, budget_ms: float, side: int
) -> None:
    watcher = Pipeline(Recognizer(tiny, Timed()), TrackingSettings(budget_ms=budget_ms))

    assert watcher.input_size_note == f"timed input size: {side} pixels"


@pytest.mark.parametrize("choice", ["int8", "float16"])
def test_the_bundled_detector_sees_most_where_there_is_time(tiny: Path, choice: Choice) -> None:
    recognizer = Recognizer(tiny, choice)

    watcher = Pipeline(recognizer, TrackingSettings(budget_ms=5000))

    assert isinstance(recognizer.detector, YuNet)
    assert watcher.recognizer.detector.side == max(SIDES)
    assert recognizer.detector.side == SIDE  # the caller's stays as it was
    assert watcher.input_size_note == f"yunet_{choice} input size: 640 pixels"


def test_sides_fall_from_the_largest_on() -> None:
    assert list(SIDES) == sorted(SIDES, reverse=True)
    assert SIDE in SIDES
