"""Track faces across frames: detect periodically, track in between, keep an ID for each face.

Between detections, a face is located by template matching (normalised cross-correlation of a few grey samples) around
its last position; the box moves and keeps its size. A downscaled frame shows other changes.
`studies.accuracy.tracking_clip` evaluates this; the figures below are from its video of 96 people (ExpW), with
detection every 3 frames unless stated otherwise.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fer_edge.detection.detector import Detection, Detector
from fer_edge.imaging.crop import Box, overlap
from fer_edge.imaging.images import Pixels
from fer_edge.tracking.matching import SAME_OVERLAP, match_boxes, smooth, translate
from fer_edge.tracking.motion import Changes, FrameView

GAP = 1.0
"""Seconds for which an undetected face keeps its ID."""
BREAK = 10.0
"""Seconds between two frames after which all faces are new."""
MIN_CORRELATION = 0.7
"""Minimum correlation of a tracked face: 99 % of tracked faces reach 0.76, after a cut none reaches 0.66."""
UNDETECTED_CORRELATION = 0.85
"""Minimum correlation of a tracked face that the detector missed. At 0.7 there are 7 % more false faces, at 0.9 0.3 %
of the faces are lost."""
LONGEST_WAIT = 30
"""Maximum frames between detections, whatever the time budget."""
KNOWN_BONUS = 1.2
"""Size bonus of known faces when there are more than `max_faces`, so that two faces do not alternate."""


class TrackedFace(NamedTuple):
    """A face in the current frame."""

    id: int
    """Unique ID, never reused."""
    detection: Detection
    """Current position, and the score of the last detection."""
    detected: bool
    """Whether it was detected in this frame."""


@dataclass(eq=False)
class _KnownFace:
    """A visible or recently lost face."""

    id: int
    detection: Detection
    patch: Pixels
    """(PATCH, PATCH) uint8 grey: template from the last detection."""
    detected_box: Box
    """Box of the last detection."""
    bias_xy: tuple[float, float]
    """Offset in pixels at which the template was found in its own frame: templates are not symmetric."""
    first: float
    """Tracker time of the first detection."""
    last: float
    """Tracker time of the last detection."""
    correlation: float = 1.0
    """Correlation of the current frame with the template."""
    visible: bool = True
    detected: bool = True
    missed: float | None = None
    """Tracker time since which it is lost or undetected."""

    def lose(self, now: float) -> None:
        """Mark as lost, and move it back to the last detection: an occluding object may have dragged the box along."""
        self.visible = False
        self.missed = now if self.missed is None else self.missed
        box = self.detection.box
        self.detection = translate(self.detection, self.detected_box.x - box.x, self.detected_box.y - box.y)


class FaceTracker:
    """Detects and tracks the faces of one source. Not thread-safe."""

    def __init__(
        self, detector: Detector, detect_every: int = 1, max_faces: int | None = None, min_face: float = 0
    ) -> None:
        """Start without faces.

        Args:
            detector: Face detector, not shared.
            detect_every: Frames between detections, unless changes request an earlier one.
            max_faces: Maximum number of faces, the largest first; None for all.
            min_face: Minimum longer side of a face in pixels.
        """
        self._detector = detector
        self._every = detect_every
        self._most = max_faces
        self._least = min_face
        self._known: list[_KnownFace] = []
        self._next_id = 0
        self._clock = 0.0
        self._t = 0.0
        self._shape: tuple[int, ...] = ()
        self._since = 0
        self._detection_due = True
        self._changes = Changes()
        self.left: list[int] = []
        """IDs released in the last step."""
        self.detect_ms = 0.0
        """Milliseconds of detection in the last step; 0 without one."""

    def step(self, frame_bgr: Pixels, t: float, *, over_budget: bool = False) -> list[TrackedFace]:
        """Locate the faces in the next frame.

        Args:
            frame_bgr: (height, width, 3) uint8 BGR; if its size differs from the last one's, all faces are new.
            t: Time in seconds; a clock that jumps back counts as stopped.
            over_budget: Delay the next detection, by at most `LONGEST_WAIT` frames.

        Returns:
            The faces, oldest first.
        """
        self.left, self.detect_ms = [], 0.0
        if self._detector.instant:
            return [TrackedFace(0, detection, True) for detection in self._detector.detect(frame_bgr)]
        passed, self._t = max(0.0, t - self._t), t
        self._clock += passed
        self._since += 1
        view = FrameView(frame_bgr)
        if frame_bgr.shape != self._shape or passed > BREAK:
            self._forget(self._known)
            self._shape, self._since, self._detection_due, over_budget = frame_bgr.shape, 0, True, False
            requested = self._changes.cut(view)
        else:
            requested = self._track_known(view)
        if self._detection_due and (not over_budget or self._since >= LONGEST_WAIT):
            new = self._detect(frame_bgr, view)
            self._changes.record_detection(view, useless=requested and not new, every=self._every)
            self._since, self._detection_due = 0, False
        self._forget([one for one in self._known if one.missed is not None and self._clock - one.missed > GAP])
        return [TrackedFace(one.id, one.detection, one.detected) for one in self._known if one.visible]

    def _track_known(self, view: FrameView) -> bool:
        """Track the known faces, and note whether a detection is due.

        Returns:
            Whether it is due only because of a change elsewhere in the frame.
        """
        lost = [one for one in self._known if one.visible and not _track(one, view)]
        for one in lost:
            one.lose(self._clock)
        cut = self._changes.cut(view)
        if cut:  # another face may be at the old position
            self._forget([one for one in self._known if not one.visible])
        due = self._since >= self._every or cut or bool(lost)
        requested = self._every > 1 and self._changes.detection_requested(view, self._boxes(), self._since, self._every)
        self._detection_due = self._detection_due or due or requested
        return requested and not due

    def _detect(self, frame_bgr: Pixels, view: FrameView) -> bool:
        """Detect faces; return whether any is new."""
        begun = time.perf_counter()
        found = self._detector.detect(frame_bgr)
        self.detect_ms = 1000 * (time.perf_counter() - begun)
        found = [detection for detection in found if detection.box.longer >= self._least / KNOWN_BONUS]
        matches = match_boxes([one.detection.box for one in self._known], [detection.box for detection in found])
        for number, one in enumerate(self._known):
            one.detected = number in matches
            if one.detected:
                one.detection = smooth(one.detection, found[matches[number]])
                one.patch, one.bias_xy = view.template(one.detection.box)
                one.detected_box, one.last, one.visible, one.missed = one.detection.box, self._clock, True, None
            else:  # kept while it correlates well, for at most as long as it was detected, and not on another face
                one.missed = self._clock if one.missed is None else one.missed
                separate = all(overlap(one.detection.box, detection.box) < SAME_OVERLAP for detection in found)
                trusted = self._clock - one.last <= one.last - one.first
                if one.visible and not (one.correlation >= UNDETECTED_CORRELATION and trusted and separate):
                    one.lose(self._clock)
        new = [detection for number, detection in enumerate(found) if number not in matches.values()]
        return self._add([detection for detection in new if detection.box.longer >= self._least], view)

    def _add(self, new: list[Detection], view: FrameView) -> bool:
        """Add new faces, and release the smallest ones beyond `max_faces`; return whether any is new."""
        visible = [one for one in self._known if one.visible]
        if self._most is not None and len(visible) + len(new) > self._most:
            sizes = [KNOWN_BONUS * one.detection.box.longer for one in visible] + [one.box.longer for one in new]
            order = sorted(range(len(sizes)), key=lambda number: -sizes[number])
            keep = set(order[: self._most])
            self._forget([one for number, one in enumerate(visible) if number not in keep])
            new = [one for number, one in enumerate(new, len(visible)) if number in keep]
        for detection in new:
            patch, bias_xy = view.template(detection.box)
            now = self._clock
            self._known.append(_KnownFace(self._next_id, detection, patch, detection.box, bias_xy, now, now))
            self._next_id += 1
        return bool(new)

    def _boxes(self) -> Iterator[Box]:
        """Current and last detected boxes of the known faces."""
        return (box for one in self._known if one.visible for box in (one.detection.box, one.detected_box))

    def _forget(self, known: list[_KnownFace]) -> None:
        """Release the IDs of `known`, which may be the list of known faces itself."""
        self.left += [one.id for one in known]
        self._known = [one for one in self._known if one not in known]


def _track(one: _KnownFace, view: FrameView) -> bool:
    """Move a known face to its current position; return whether it was found."""
    one.correlation, x, y = view.search(one.detection.box, one.patch)
    if one.correlation < MIN_CORRELATION:
        return False
    x, y = x - one.bias_xy[0], y - one.bias_xy[1]
    one.detection = translate(one.detection, x, y)
    one.detected = False
    return view.contains_centre(one.detection.box)
