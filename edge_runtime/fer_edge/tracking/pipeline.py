"""For each frame: detect or track faces, classify their expressions, smooth them over time."""

import math
import time
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np

from fer_edge.detection.detector import SIDES, Detection, Detector
from fer_edge.recognition.recognizer import Face, Recognizer, check_frame
from fer_edge.settings import DEFAULT_TRACKING, TrackingSettings
from fer_edge.sources.frame import Frame
from fer_edge.tracking.smoothing import DEFAULT_SMOOTHING, Smoother, SmoothingSettings
from fer_edge.tracking.tracker import LONGEST_WAIT, FaceTracker

DETECT_EVERY = 3
"""Frames from one detection to the next, where no budget says otherwise. By `studies.accuracy.tracking_clip` a frame
alone then names what the still photo says in 83.5 %, with a detection in every frame in 84.6, every 5 frames 83.5."""
RECENT = 0.1
"""Weight of the newest time in what a detection, and the rest of a frame, are expected to take."""


@dataclass(frozen=True)
class Event:
    """Something happened to a face."""

    t: float
    """Seconds, as `Frame.t`."""
    id: int
    """Of the face."""
    before: str | None
    """Its expression until now; None for a face that appeared."""
    after: str | None
    """Its expression from now on; None for a face that left."""


@dataclass(frozen=True)
class Result:
    """What became of one frame; every sink takes this."""

    frame: Frame
    faces: list[Face]
    events: list[Event] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds for capture, detect, tracking, crop, classify and smooth, and their total; a picture has neither
    follow nor smooth."""
    dropped: int = 0
    """Frames so far that the source gave and nobody looked at."""
    age_ms: float = 0.0
    """From when the frame was there to when this result was."""
    detector: str = ""
    """Name of what looked for the faces."""


class TimeBudget:
    """How often the detector can be asked if a frame may take `budget_ms` on average."""

    def __init__(self, budget_ms: float, at_least: int = 1) -> None:
        """Begin with nothing saved, and without knowing what anything takes.

        Args:
            budget_ms: What a frame may take on average.
            at_least: Frames from one detection to the next, however much time there is.
        """
        self.budget_ms = budget_ms
        self._at_least = at_least
        self._saved_ms = 0.0
        self._detect_ms: float | None = None
        self._rest_ms: float | None = None

    @property
    def hurry(self) -> bool:
        """Whether a detection in the next frame would take more than there is."""
        return self._saved_ms + self.budget_ms < (self._detect_ms or 0) + (self._rest_ms or 0)

    def took(self, detect_ms: float, rest_ms: float) -> None:
        """Take note of a frame; `detect_ms` is 0 where the detector was not asked."""
        if detect_ms:
            self._detect_ms = _newer(self._detect_ms, detect_ms)
        self._rest_ms = _newer(self._rest_ms, rest_ms)
        saved = self._saved_ms + self.budget_ms - detect_ms - rest_ms
        # No more is saved than a detection takes, and a frame that took seconds is not made up for by all that follow.
        self._saved_ms = min(max(saved, -LONGEST_WAIT * self.budget_ms), self._detect_ms or 0)

    @property
    def text(self) -> str:
        """What it comes to, for people."""
        detect_ms, rest_ms = self._detect_ms or 0.0, self._rest_ms or 0.0
        spare_ms = self.budget_ms - rest_ms
        needed = math.ceil(detect_ms / spare_ms) if spare_ms > 0 else math.inf
        kept = "" if needed <= LONGEST_WAIT else ", which is more than the budget"
        every = max(min(needed, LONGEST_WAIT), self._at_least)
        how = "every frame" if every <= 1 else f"every {every} frames"
        return f"a detection takes {detect_ms:.1f} ms, the rest {rest_ms:.1f} ms: faces are looked for {how}{kept}"


def fit_detector(detector: Detector, budget_ms: float) -> None:
    """Let a detector see as much as half of `budget_ms` pays for when it is asked every `DETECT_EVERY` frames.

    Its time depends on the number of pixels: it is measured here on grey VGA frames, of which the fastest of three
    counts; one before them loads the network.
    """
    grey = np.full((480, 640, 3), 128, np.uint8)
    for side in SIDES:
        detector.side = side
        detector.detect(grey)
        taken = []
        for _ in range(3):
            begun = time.perf_counter()
            detector.detect(grey)
            taken.append(1000 * (time.perf_counter() - begun))
        if min(taken) / DETECT_EVERY <= budget_ms / 2:
            return


def _newer(expected: float | None, measured: float) -> float:
    return measured if expected is None else (1 - RECENT) * expected + RECENT * measured


@dataclass
class _Track:
    """What is known of a face's expression until now."""

    smoother: Smoother | None
    label: str | None = None


class Pipeline:
    """Follows the faces of one source. Not to be shared between threads.

    Pictures (frames without a frame rate) have nothing to do with one another: their faces get no id, nothing is
    smoothed, and there are no events.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        tracking: TrackingSettings = DEFAULT_TRACKING,
        smooth: SmoothingSettings | None = DEFAULT_SMOOTHING,
    ) -> None:
        """Begin to watch with a recognizer that nobody else uses; without `smooth`, each frame speaks for itself."""
        self.recognizer = recognizer
        self._settings = tracking
        self._smooth = smooth
        self.pace = None if tracking.budget_ms is None else TimeBudget(tracking.budget_ms, tracking.detect_every or 1)
        """How often the detector is asked; None without a budget."""
        if self.pace and recognizer.detector.side:
            self.recognizer = recognizer = copy(recognizer)  # the caller's goes on to see frames as large as before
            recognizer.detector = copy(recognizer.detector)
            fit_detector(recognizer.detector, self.pace.budget_ms)
        every = tracking.detect_every or (DETECT_EVERY if self.pace is None else 1)
        self._tracker = FaceTracker(recognizer.detector, every, tracking.max_faces, tracking.min_face)
        self._courses: dict[int, _Track] = {}

    @property
    def chosen(self) -> str | None:
        """How large the budget lets the detector see a frame, for people; None where there is no choice."""
        detector = self.recognizer.detector
        if self.pace is None or detector.side is None:
            return None
        return f"{detector.name} sees a frame {detector.side} pixels large"

    def step(self, frame: Frame, dropped: int = 0) -> Result:
        """Look at the next frame.

        Raises:
            DataError: It is no (height, width, 3) uint8 array.
        """
        faces, events, ms = self._still(frame) if frame.fps is None else self._moving(frame)
        ms = {"capture": frame.capture_ms, **ms, "total": frame.capture_ms + sum(ms.values())}
        age_ms = 1000 * (time.perf_counter() - frame.captured)
        return Result(frame, faces, events, ms, dropped, age_ms, self.recognizer.detector.name)

    def _still(self, frame: Frame) -> tuple[list[Face], list[Event], dict[str, float]]:
        """Name the faces of a picture; the other two as `_moving` gives them."""
        found = self.recognizer.stages(frame.bgr, self._counted)
        return found.faces, [], {stage: ms for stage, ms in found.ms.items() if stage != "total"}

    def _counted(self, found: list[Detection]) -> list[Detection]:
        """Those that are large enough, and of these the largest, in their order."""
        enough = [one for one in found if one.box.longer >= self._settings.min_face]
        largest = sorted(enough, key=lambda one: -one.box.longer)[: self._settings.max_faces]
        return [one for one in enough if one in largest]

    def _moving(self, frame: Frame) -> tuple[list[Face], list[Event], dict[str, float]]:
        """Name the faces of a frame of a video or camera; also what happened to them, and milliseconds per stage."""
        check_frame(frame.bgr)
        begun = time.perf_counter()
        hurry = self.pace is not None and self.pace.hurry
        followed = self._tracker.step(frame.bgr, frame.t, hurry=hurry)
        found = time.perf_counter()
        named = self.recognizer.classified(frame.bgr, [one.detection for one in followed])
        classified = time.perf_counter()
        events = [
            Event(frame.t, left, course.label, None)
            for left in self._tracker.left
            if (course := self._courses.pop(left, None))
        ]
        faces = [
            self._over_time(one.id, face, frame.t, events) for one, face in zip(followed, named.faces, strict=True)
        ]
        detect_ms = self._tracker.detect_ms
        ms = {
            "detect": detect_ms,
            "follow": 1000 * (found - begun) - detect_ms,
            **named.ms,
            "smooth": 1000 * (time.perf_counter() - classified),
        }
        if self.pace:
            self.pace.took(detect_ms, sum(ms.values()) - detect_ms)
        return faces, events, ms

    def _over_time(self, number: int, face: Face, t: float, events: list[Event]) -> Face:
        """Say what a face expresses now that it was seen once more; where that is another label, it is an event."""
        course = self._courses.get(number)
        if course is None:
            smoother = Smoother(self.recognizer.classifier.contract, self._smooth) if self._smooth else None
            course = self._courses[number] = _Track(smoother)
        before, course.label = course.label, face.label
        if course.smoother is None:
            face = replace(face, id=number)
        else:
            course.label, pooled = course.smoother.step(np.array([*face.probabilities.values()]), t)
            probabilities = dict(zip(face.probabilities, pooled.tolist(), strict=True))
            score = probabilities.get(course.label, max(probabilities.values()))
            face = replace(
                face, id=number, label=course.label, raw_label=face.label, score=score, probabilities=probabilities
            )
        if course.label != before:
            events.append(Event(t, number, before, course.label))
        return face
