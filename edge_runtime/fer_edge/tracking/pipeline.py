"""Process each frame: detect or track faces, classify their expressions, smooth them over time."""

import time
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np

from fer_edge.detection.detector import Detection
from fer_edge.recognition.recognizer import Face, Recognizer, check_frame
from fer_edge.settings import DEFAULT_TRACKING, TrackingSettings
from fer_edge.sources.frame import Frame
from fer_edge.tracking.budget import DETECT_EVERY, TimeBudget, fit_detector
from fer_edge.tracking.smoothing import DEFAULT_SMOOTHING, Smoother, SmoothingSettings
from fer_edge.tracking.tracker import FaceTracker


@dataclass(frozen=True)
class Event:
    """A face appeared, left or changed its expression."""

    t: float
    """Seconds, like `Frame.t`."""
    id: int
    """ID of the face."""
    before: str | None
    """Previous expression; None for a face that appeared."""
    after: str | None
    """New expression; None for a face that left."""


@dataclass(frozen=True)
class Result:
    """The result of one frame, the input of every sink."""

    frame: Frame
    faces: list[Face]
    events: list[Event] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds for capture, detect, follow, crop, classify and smooth, and their total; an image has neither follow
    nor smooth."""
    dropped: int = 0
    """Frames dropped so far."""
    age_ms: float = 0.0
    """Milliseconds from the frame's capture to this result."""
    detector: str = ""
    """Name of the face detector."""


@dataclass
class _Track:
    """Expression state of a tracked face."""

    smoother: Smoother | None
    label: str | None = None


class Pipeline:
    """Processes the frames of one source. Not thread-safe.

    Images (frames without a frame rate) are independent: no face IDs, no smoothing, no events.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        tracking: TrackingSettings = DEFAULT_TRACKING,
        smooth: SmoothingSettings | None = DEFAULT_SMOOTHING,
    ) -> None:
        """Start with a recognizer that is not shared; without `smooth`, each frame is classified by itself."""
        self.recognizer = recognizer
        self._settings = tracking
        self._smooth = smooth
        self.budget = None if tracking.budget_ms is None else TimeBudget(tracking.budget_ms, tracking.detect_every or 1)
        """How often the detector is asked; None without a budget."""
        if self.budget and recognizer.detector.side:
            self.recognizer = recognizer = copy(recognizer)  # the caller's goes on to see frames as large as before
            recognizer.detector = copy(recognizer.detector)
            fit_detector(recognizer.detector, self.budget.budget_ms)
        every = tracking.detect_every or (DETECT_EVERY if self.budget is None else 1)
        self._tracker = FaceTracker(recognizer.detector, every, tracking.max_faces, tracking.min_face)
        self._tracks: dict[int, _Track] = {}

    @property
    def input_size_note(self) -> str | None:
        """Describe the detector's input size, if the time budget chose it."""
        detector = self.recognizer.detector
        if self.budget is None or detector.side is None:
            return None
        return f"{detector.name} input size: {detector.side} pixels"

    def step(self, frame: Frame, dropped: int = 0) -> Result:
        """Process the next frame.

        Raises:
            DataError: It is not a (height, width, 3) uint8 array.
        """
        faces, events, ms = self._process_image(frame) if frame.fps is None else self._process_video(frame)
        ms = {"capture": frame.capture_ms, **ms, "total": frame.capture_ms + sum(ms.values())}
        age_ms = 1000 * (time.perf_counter() - frame.captured)
        return Result(frame, faces, events, ms, dropped, age_ms, self.recognizer.detector.name)

    def _process_image(self, frame: Frame) -> tuple[list[Face], list[Event], dict[str, float]]:
        """Recognize the faces of an image; returns the same as `_process_video`."""
        found = self.recognizer.recognize(frame.bgr, self._select)
        return found.faces, [], {stage: ms for stage, ms in found.ms.items() if stage != "total"}

    def _select(self, found: list[Detection]) -> list[Detection]:
        """Keep the detections that are large enough, and the largest of these, in their order."""
        large = [one for one in found if one.box.longer >= self._settings.min_face]
        largest = sorted(large, key=lambda one: -one.box.longer)[: self._settings.max_faces]
        return [one for one in large if one in largest]

    def _process_video(self, frame: Frame) -> tuple[list[Face], list[Event], dict[str, float]]:
        """Recognize the faces of a video frame; returns faces, events and milliseconds per stage."""
        check_frame(frame.bgr)
        begun = time.perf_counter()
        over_budget = self.budget is not None and self.budget.exceeded
        tracked = self._tracker.step(frame.bgr, frame.t, over_budget=over_budget)
        tracking_end = time.perf_counter()
        recognized = self.recognizer.classify(frame.bgr, [one.detection for one in tracked])
        classified = time.perf_counter()
        events = [
            Event(frame.t, left, track.label, None)
            for left in self._tracker.left
            if (track := self._tracks.pop(left, None))
        ]
        faces = [
            self._smoothed(one.id, face, frame.t, events) for one, face in zip(tracked, recognized.faces, strict=True)
        ]
        detect_ms = self._tracker.detect_ms
        ms = {
            "detect": detect_ms,
            "follow": 1000 * (tracking_end - begun) - detect_ms,
            **recognized.ms,
            "smooth": 1000 * (time.perf_counter() - classified),
        }
        if self.budget:
            self.budget.record(detect_ms, sum(ms.values()) - detect_ms)
        return faces, events, ms

    def _smoothed(self, number: int, face: Face, t: float, events: list[Event]) -> Face:
        """Smooth the expression of a face; a changed label is added to `events`."""
        track = self._tracks.get(number)
        if track is None:
            smoother = Smoother(self.recognizer.classifier.contract, self._smooth) if self._smooth else None
            track = self._tracks[number] = _Track(smoother)
        before, track.label = track.label, face.label
        if track.smoother is None:
            face = replace(face, id=number)
        else:
            track.label, pooled = track.smoother.step(np.array([*face.probabilities.values()]), t)
            probabilities = dict(zip(face.probabilities, pooled.tolist(), strict=True))
            score = probabilities.get(track.label, max(probabilities.values()))
            face = replace(
                face, id=number, label=track.label, raw_label=face.label, score=score, probabilities=probabilities
            )
        if track.label != before:
            events.append(Event(t, number, before, track.label))
        return face
