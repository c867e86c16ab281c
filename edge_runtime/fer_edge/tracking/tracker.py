"""Track faces from frame to frame: detect now and then, follow in between, keep an id for each.

Around the place where a face was, a few grey samples are searched for what the face looked like when the detector saw
it last (normalised cross-correlation); the box moves along, its size stays. A small copy tells what else changes.
`studies.accuracy.tracking_clip` measures it; figures below are of its video of 96 people (ExpW), detection every 3
frames where nothing else is said.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fer_edge.detection.detector import Detection, Detector
from fer_edge.imaging.crop import Box, overlap
from fer_edge.imaging.images import Pixels
from fer_edge.tracking.matching import SAME_OVERLAP, damped, matched, moved
from fer_edge.tracking.motion import Changes, FrameView

GAP = 1.0
"""Seconds for which a face that the detector does not see keeps its id."""
BREAK = 10.0
"""Seconds between two frames after which whoever is there may be anybody."""
ALIKE = 0.7
"""Correlation from which on a face is still there: 99 % of those followed reach 0.76, none behind a cut 0.66."""
SURE = 0.85
"""Correlation from which on it is still there although the detector does not see it. At 0.7 there are 7 % more faces
that are none, at 0.9 0.3 % of the faces are no longer found."""
LONGEST_WAIT = 30
"""Frames after which the detector is asked, however little time there is."""
KNOWN_LARGER = 1.2
"""Times that a known face counts as larger where there are more than may be followed, so that two do not alternate."""


class TrackedFace(NamedTuple):
    """A face of the present frame."""

    id: int
    """Its own; no other face gets it later."""
    detection: Detection
    """Where it is now, and how sure the detector was when it saw it last."""
    detected: bool
    """Whether the detector saw it in this very frame."""


@dataclass(eq=False)
class _KnownFace:
    """A face that is there, or was a moment ago."""

    id: int
    detection: Detection
    patch: Pixels
    """(PATCH, PATCH) uint8 grey: what it looked like when the detector saw it last."""
    seen_at: Box
    """Where that was."""
    bias_xy: tuple[float, float]
    """Way in pixels on which it was found right there: a face is not as steep to its left as to its right."""
    first: float
    """When the detector saw it first, on the follower's own clock."""
    last: float
    """When it saw it last."""
    likeness: float = 1.0
    """Correlation of what is there now with that."""
    there: bool = True
    detected: bool = True
    missed: float | None = None
    """Since when, on the follower's own clock, it is lost or the detector does not see it."""

    def lose(self, now: float) -> None:
        """It is no longer where it was followed to; what hid it may have dragged its box and landmarks along."""
        self.there = False
        self.missed = now if self.missed is None else self.missed
        box = self.detection.box
        self.detection = moved(self.detection, self.seen_at.x - box.x, self.seen_at.y - box.y)


class FaceTracker:
    """Finds the faces of one source's frames and follows them. Not to be shared between threads."""

    def __init__(
        self, detector: Detector, detect_every: int = 1, max_faces: int | None = None, min_face: float = 0
    ) -> None:
        """Begin with no face.

        Args:
            detector: Finds faces; nobody else uses it.
            detect_every: Frames from one detection to the next, where nothing calls for an earlier one.
            max_faces: How many are followed, the largest first; None for all.
            min_face: Longer side in pixels of the smallest face that counts.
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
        self._wanted = True
        self._changes = Changes()
        self.left: list[int] = []
        """Ids given up in the last step."""
        self.detect_ms = 0.0
        """What the detector took in the last step; 0 where it was not asked."""

    def step(self, frame_bgr: Pixels, t: float, *, hurry: bool = False) -> list[TrackedFace]:
        """Say where the faces are in the next frame.

        Args:
            frame_bgr: (height, width, 3) uint8 BGR; where it is of another size than the last one, all faces are new.
            t: Seconds; a clock that jumps back counts as standing still.
            hurry: There is no time for the detector; what calls for it waits, for `LONGEST_WAIT` frames at most.

        Returns:
            The faces, those known longest first.
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
            self._shape, self._since, self._wanted, hurry = frame_bgr.shape, 0, True, False
            called = self._changes.cut(view)
        else:
            called = self._follow(view)
        if self._wanted and (not hurry or self._since >= LONGEST_WAIT):
            new = self._detect(frame_bgr, view)
            self._changes.looked(view, in_vain=called and not new, every=self._every)
            self._since, self._wanted = 0, False
        self._forget([one for one in self._known if one.missed is not None and self._clock - one.missed > GAP])
        return [TrackedFace(one.id, one.detection, one.detected) for one in self._known if one.there]

    def _follow(self, view: FrameView) -> bool:
        """Move the known faces along, and note whether the detector is wanted.

        Returns:
            Whether it is for nothing but a change elsewhere in the frame.
        """
        lost = [one for one in self._known if one.there and not _found_again(one, view)]
        for one in lost:
            one.lose(self._clock)
        cut = self._changes.cut(view)
        if cut:  # somebody else may be where a face was
            self._forget([one for one in self._known if not one.there])
        due = self._since >= self._every or cut or bool(lost)
        called = self._every > 1 and self._changes.call(view, self._places(), self._since, self._every)
        self._wanted = self._wanted or due or called
        return called and not due

    def _detect(self, frame_bgr: Pixels, view: FrameView) -> bool:
        """Ask the detector; tell whether there is a face that nobody knew."""
        begun = time.perf_counter()
        found = self._detector.detect(frame_bgr)
        self.detect_ms = 1000 * (time.perf_counter() - begun)
        found = [detection for detection in found if detection.box.longer >= self._least / KNOWN_LARGER]
        whose = matched([one.detection.box for one in self._known], [detection.box for detection in found])
        for number, one in enumerate(self._known):
            one.detected = number in whose
            if one.detected:
                one.detection = damped(one.detection, found[whose[number]])
                one.patch, one.bias_xy = view.remembered(one.detection.box)
                one.seen_at, one.last, one.there, one.missed = one.detection.box, self._clock, True, None
            else:  # shown on while it looks the same, but no longer than it was seen, and not on somebody else's face
                one.missed = self._clock if one.missed is None else one.missed
                beside = all(overlap(one.detection.box, detection.box) < SAME_OVERLAP for detection in found)
                trusted = self._clock - one.last <= one.last - one.first
                if one.there and not (one.likeness >= SURE and trusted and beside):
                    one.lose(self._clock)
        new = [detection for number, detection in enumerate(found) if number not in whose.values()]
        return self._welcome([detection for detection in new if detection.box.longer >= self._least], view)

    def _welcome(self, new: list[Detection], view: FrameView) -> bool:
        """Give ids to new faces, and up those of the smallest where there are too many; tell whether any is new."""
        there = [one for one in self._known if one.there]
        if self._most is not None and len(there) + len(new) > self._most:
            sizes = [KNOWN_LARGER * one.detection.box.longer for one in there] + [one.box.longer for one in new]
            order = sorted(range(len(sizes)), key=lambda number: -sizes[number])
            kept = set(order[: self._most])
            self._forget([one for number, one in enumerate(there) if number not in kept])
            new = [one for number, one in enumerate(new, len(there)) if number in kept]
        for detection in new:
            patch, bias_xy = view.remembered(detection.box)
            now = self._clock
            self._known.append(_KnownFace(self._next_id, detection, patch, detection.box, bias_xy, now, now))
            self._next_id += 1
        return bool(new)

    def _places(self) -> Iterator[Box]:
        """Where the known faces are, and where the detector saw them."""
        return (box for one in self._known if one.there for box in (one.detection.box, one.seen_at))

    def _forget(self, known: list[_KnownFace]) -> None:
        """Give up ids; `known` may be the list of the known faces itself."""
        self.left += [one.id for one in known]
        self._known = [one for one in self._known if one not in known]


def _found_again(one: _KnownFace, view: FrameView) -> bool:
    """Move a known face to where it is now; tell whether it was found."""
    one.likeness, x, y = view.search(one.detection.box, one.patch)
    if one.likeness < ALIKE:
        return False
    x, y = x - one.bias_xy[0], y - one.bias_xy[1]
    one.detection = moved(one.detection, x, y)
    one.detected = False
    return view.holds_centre(one.detection.box)
