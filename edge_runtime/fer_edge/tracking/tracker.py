"""The same face from frame to frame: looked for now and then, followed in between, known by a number of its own.

Around the place where a face was, a few grey samples are searched for what the face looked like when the detector saw
it last (normalised cross-correlation); the box moves along, its size stays. A small copy tells what else changes.
`studies.accuracy.tracking_clip` measures it; figures below are of its video of 96 people (ExpW), detection every 3
frames where nothing else is said.
"""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.detection.detector import Detection, Detector, Whole
from fer_edge.imaging.crop import Box, overlap, reframed
from fer_edge.imaging.images import Pixels, in_colour

GAP = 1.0
"""Seconds for which a face that the detector does not see keeps its id."""
BREAK = 10.0
"""Seconds between two frames after which whoever is there may be anybody."""
SMALL_SIDE = 160
"""About the longer side, in pixels, of the small copy."""
CELL = 5
"""Pixels of the small copy along one cell of what is watched for changes: a VGA frame has 32x24 cells."""
CELL_CHANGE = 20
"""Grey levels, of 255, from which on a cell has changed; noise of 10 levels in the frame changes none."""
CHANGED_CELLS = 6
"""Changed cells, outside the known faces, from which on something new may be there: a face 40 pixels wide in VGA."""
CUT = 0.25
"""Share of all cells that change from one frame to the next where another picture begins: cuts of the film change 27 %
or more, pans and shakes 23 % at most."""
HEAD = 1.5
"""Times a face box within which changes are the known face's own: hair, neck, and a little way."""
PATCH = 16
"""Samples along the longer side of a face, as it is remembered."""
REACH = 8
"""Samples by which it is searched for to each side: a face may move by half its size from one frame to the next."""
ALIKE = 0.7
"""Correlation from which on a face is still there: 99 % of those followed reach 0.76, none behind a cut 0.66."""
SURE = 0.85
"""Correlation from which on it is still there although the detector does not see it. At 0.7 there are 7 % more faces
that are none, at 0.9 0.3 % of the faces are no longer found."""
SAME_OVERLAP = 0.3
"""Intersection over union from which on a detection is a known face."""
SAME_SIZE = 2.0
"""Times that its size may have changed at most, where it overlaps less than that."""
SAME_PLACE = 0.7
"""Longer sides of a face by which it may have moved while nobody saw it."""
DAMPING = 0.5
"""Share of its difference from a new detection that a followed box keeps. At 0, 0.3, 0.5 and 0.7, with a detection in
every frame, a frame alone names what the still photo says in 83.8, 84.5, 84.6 and 84.2 %, and its label changes 3.0,
2.7, 2.4 and 2.5 times a second (`studies.accuracy.tracking_constants`)."""
DAMPED_OVERLAP = 0.5
"""Intersection over union below which the followed box was wrong, and counts for nothing."""
LONGEST_WAIT = 30
"""Frames after which the detector is asked, however little time there is."""
KNOWN_LARGER = 1.2
"""Times that a known face counts as larger where there are more than may be followed, so that two do not alternate."""


class Followed(NamedTuple):
    """A face of the present frame."""

    id: int
    """Its own; no other face gets it later."""
    detection: Detection
    """Where it is now, and how sure the detector was when it saw it last."""
    detected: bool
    """Whether the detector saw it in this very frame."""


@dataclass(eq=False)
class _Known:
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
        self.detection = _moved(self.detection, self.seen_at.x - box.x, self.seen_at.y - box.y)


class _Sight:
    """A frame, as known faces are searched in it, and as it is watched for changes."""

    def __init__(self, frame_bgr: Pixels) -> None:
        self._frame = frame_bgr
        height, width = frame_bgr.shape[:2]
        step = max(1, round(max(height, width) / SMALL_SIDE))
        # Every step-th pixel of green, which is nearly grey: to average a 1080p frame would take ten times as long.
        small = np.ascontiguousarray(frame_bgr[::step, ::step, 1])
        rows, columns = small.shape
        grid_wh = max(1, columns // CELL), max(1, rows // CELL)
        self.cells = cast(Pixels, cv2.resize(small, grid_wh, interpolation=cv2.INTER_AREA))
        self._cell_wh = width / grid_wh[0], height / grid_wh[1]

    def holds_centre(self, box: Box) -> bool:
        """Tell whether the centre of `box` lies in the frame."""
        height, width = self._frame.shape[:2]
        return bool(0 <= box.x + box.w / 2 <= width and 0 <= box.y + box.h / 2 <= height)

    def cells_of(self, box: Box) -> tuple[slice, slice]:
        """Rows and columns of the cells that `box` touches."""
        across, down = self._cell_wh
        left, right = max(0, math.floor(box.x / across)), max(0, math.floor((box.x + box.w) / across) + 1)
        top, bottom = max(0, math.floor(box.y / down)), max(0, math.floor((box.y + box.h) / down) + 1)
        return slice(top, bottom), slice(left, right)

    def search(self, box: Box, patch: Pixels) -> tuple[float, float, float]:
        """Look for `patch` around `box`: how well it fits at best, and the way there in the frame's pixels."""
        return _best(self._around(box), patch, box)

    def remembered(self, box: Box) -> tuple[Pixels, tuple[float, float]]:
        """Give what a face looks like, to search for it later, and the way on which it is found here and now."""
        around = self._around(box)
        patch = np.ascontiguousarray(around[REACH:-REACH, REACH:-REACH])
        _, x, y = _best(around, patch, box)
        return patch, (x, y)

    def _around(self, box: Box) -> Pixels:
        """Sample the square of a face box, and `REACH` samples more on each side: (side, side) uint8 grey."""
        side = PATCH + 2 * REACH
        apart = max(box.longer / PATCH, 1e-3)
        left = box.x + box.w / 2 + (1 - side) / 2 * apart
        top = box.y + box.h / 2 + (1 - side) / 2 * apart
        grid = np.array([[apart, 0, left], [0, apart, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        samples = cv2.warpAffine(self._frame, grid, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return in_colour(cast(Pixels, samples), "grey")


def _best(around: Pixels, patch: Pixels, box: Box) -> tuple[float, float, float]:
    """Find where `patch` fits best in the samples around `box`; gives what `_Sight.search` gives."""
    fits = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (column, row) = cv2.minMaxLoc(fits)
    x = column - REACH + _between(fits[row, max(column - 1, 0) : column + 2].tolist())
    y = row - REACH + _between(fits[max(row - 1, 0) : row + 2, column].tolist())
    step = box.longer / PATCH
    return best, x * step, y * step


def _between(values: list[float]) -> float:
    """Where between three samples, the middle one the largest, the top of the parabola through them lies: -0.5..0.5.

    >>> round(_between([0.8, 1.0, 0.6]), 3)
    -0.167
    """
    if len(values) < 3:
        return 0.0
    before, top, after = values
    bend = before - 2 * top + after
    return (before - after) / (2 * bend) if bend < 0 else 0.0


class _Changes:
    """What changes in the frame besides the known faces."""

    def __init__(self) -> None:
        self._before = self._at_detection = np.zeros((0, 0), np.uint8)
        self._wait = 1
        self._stirred = False

    def cut(self, sight: _Sight) -> bool:
        """Tell whether another picture began."""
        before, self._before = self._before, sight.cells
        return before.shape == sight.cells.shape and _count(_changed(before, sight.cells)) > CUT * before.size

    def call(self, sight: _Sight, known: list[_Known], since: int, every: int) -> bool:
        """Tell whether something changed since the last detection, `since` frames ago, that may be a new face.

        What changes all the time, such as a screen or what a moving camera sees, would call in every frame: after a
        call that brought no new face the next one has to wait twice as long, up to `every` frames, until all is quiet.
        """
        changed = _changed(self._at_detection, sight.cells)
        if _count(changed) >= CHANGED_CELLS:
            for one in known:
                for box in (one.detection.box, one.seen_at) if one.there else ():
                    changed[sight.cells_of(reframed(box, HEAD))] = False
        called = _count(changed) >= CHANGED_CELLS
        self._stirred |= called
        if since >= every and not self._stirred:
            self._wait = 1
        return called and since >= self._wait

    def looked(self, sight: _Sight, *, in_vain: bool, every: int) -> None:
        """Remember what the detector saw, and whether it was called in vain."""
        self._at_detection, self._stirred = sight.cells, False
        if in_vain:
            self._wait = min(2 * self._wait, every)


def _changed(before: Pixels, now: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray(cv2.absdiff(before, now) > CELL_CHANGE)


def _count(cells: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(cells))


class Follower:
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
        self._known: list[_Known] = []
        self._next_id = 0
        self._clock = 0.0
        self._t = 0.0
        self._shape: tuple[int, ...] = ()
        self._since = 0
        self._wanted = True
        self._changes = _Changes()
        self.left: list[int] = []
        """Ids given up in the last step."""
        self.detect_ms = 0.0
        """What the detector took in the last step; 0 where it was not asked."""

    def step(self, frame_bgr: Pixels, t: float, *, hurry: bool = False) -> list[Followed]:
        """Say where the faces are in the next frame.

        Args:
            frame_bgr: (height, width, 3) uint8 BGR; where it is of another size than the last one, all faces are new.
            t: Seconds; a clock that jumps back counts as standing still.
            hurry: There is no time for the detector; what calls for it waits, for `LONGEST_WAIT` frames at most.

        Returns:
            The faces, those known longest first.
        """
        self.left, self.detect_ms = [], 0.0
        if isinstance(self._detector, Whole):
            return [Followed(0, detection, True) for detection in self._detector.detect(frame_bgr)]
        passed, self._t = max(0.0, t - self._t), t
        self._clock += passed
        self._since += 1
        sight = _Sight(frame_bgr)
        if frame_bgr.shape != self._shape or passed > BREAK:
            self._forget(self._known)
            self._shape, self._since, self._wanted, hurry = frame_bgr.shape, 0, True, False
            called = self._changes.cut(sight)
        else:
            called = self._follow(sight)
        if self._wanted and (not hurry or self._since >= LONGEST_WAIT):
            new = self._detect(frame_bgr, sight)
            self._changes.looked(sight, in_vain=called and not new, every=self._every)
            self._since, self._wanted = 0, False
        self._forget([one for one in self._known if one.missed is not None and self._clock - one.missed > GAP])
        return [Followed(one.id, one.detection, one.detected) for one in self._known if one.there]

    def _follow(self, sight: _Sight) -> bool:
        """Move the known faces along, and note whether the detector is wanted.

        Returns:
            Whether it is for nothing but a change elsewhere in the frame.
        """
        lost = [one for one in self._known if one.there and not _found_again(one, sight)]
        for one in lost:
            one.lose(self._clock)
        cut = self._changes.cut(sight)
        if cut:  # somebody else may be where a face was
            self._forget([one for one in self._known if not one.there])
        due = self._since >= self._every or cut or bool(lost)
        called = self._every > 1 and self._changes.call(sight, self._known, self._since, self._every)
        self._wanted = self._wanted or due or called
        return called and not due

    def _detect(self, frame_bgr: Pixels, sight: _Sight) -> bool:
        """Ask the detector; tell whether there is a face that nobody knew."""
        begun = time.perf_counter()
        found = self._detector.detect(frame_bgr)
        self.detect_ms = 1000 * (time.perf_counter() - begun)
        found = [detection for detection in found if detection.box.longer >= self._least / KNOWN_LARGER]
        whose = _matched([one.detection.box for one in self._known], [detection.box for detection in found])
        for number, one in enumerate(self._known):
            one.detected = number in whose
            if one.detected:
                one.detection = _damped(one.detection, found[whose[number]])
                one.patch, one.bias_xy = sight.remembered(one.detection.box)
                one.seen_at, one.last, one.there, one.missed = one.detection.box, self._clock, True, None
            else:  # shown on while it looks the same, but no longer than it was seen, and not on somebody else's face
                one.missed = self._clock if one.missed is None else one.missed
                beside = all(overlap(one.detection.box, detection.box) < SAME_OVERLAP for detection in found)
                trusted = self._clock - one.last <= one.last - one.first
                if one.there and not (one.likeness >= SURE and trusted and beside):
                    one.lose(self._clock)
        new = [detection for number, detection in enumerate(found) if number not in whose.values()]
        return self._welcome([detection for detection in new if detection.box.longer >= self._least], sight)

    def _welcome(self, new: list[Detection], sight: _Sight) -> bool:
        """Give ids to new faces, and up those of the smallest where there are too many; tell whether any is new."""
        there = [one for one in self._known if one.there]
        if self._most is not None and len(there) + len(new) > self._most:
            sizes = [KNOWN_LARGER * one.detection.box.longer for one in there] + [one.box.longer for one in new]
            order = sorted(range(len(sizes)), key=lambda number: -sizes[number])
            kept = set(order[: self._most])
            self._forget([one for number, one in enumerate(there) if number not in kept])
            new = [one for number, one in enumerate(new, len(there)) if number in kept]
        for detection in new:
            patch, bias_xy = sight.remembered(detection.box)
            now = self._clock
            self._known.append(_Known(self._next_id, detection, patch, detection.box, bias_xy, now, now))
            self._next_id += 1
        return bool(new)

    def _forget(self, known: list[_Known]) -> None:
        """Give up ids; `known` may be the list of the known faces itself."""
        self.left += [one.id for one in known]
        self._known = [one for one in self._known if one not in known]


def _found_again(one: _Known, sight: _Sight) -> bool:
    """Move a known face to where it is now; tell whether it was found."""
    one.likeness, x, y = sight.search(one.detection.box, one.patch)
    if one.likeness < ALIKE:
        return False
    x, y = x - one.bias_xy[0], y - one.bias_xy[1]
    one.detection = _moved(one.detection, x, y)
    one.detected = False
    return sight.holds_centre(one.detection.box)


def _moved(detection: Detection, x: float, y: float) -> Detection:
    """Move box and landmarks by so many pixels."""
    box, points = detection.box, detection.landmarks
    moved = points and tuple((there_x + x, there_y + y) for there_x, there_y in points)
    return detection._replace(box=box._replace(x=box.x + x, y=box.y + y), landmarks=moved)


def _matched(known: list[Box], found: list[Box]) -> dict[int, int]:
    """Tell which known face is which detection: those that overlap most first, then those nearest to each other."""
    ranks = {
        (row, column): rank
        for row, box in enumerate(known)
        for column, other in enumerate(found)
        if (rank := _same(box, other)) > 0
    }
    whose: dict[int, int] = {}
    for row, column in sorted(ranks, key=lambda pair: -ranks[pair]):
        if row not in whose and column not in whose.values():
            whose[row] = column
    return whose


def _same(box: Box, other: Box) -> float:
    """How likely two boxes are one face: above 1 where they overlap, up to 1 where they are near, 0 where neither."""
    shared = overlap(box, other)
    if shared >= SAME_OVERLAP:
        return 1 + shared
    smaller, larger = sorted((box.longer, other.longer))
    if larger > SAME_SIZE * smaller:
        return 0.0
    way = math.hypot(box.x + box.w / 2 - other.x - other.w / 2, box.y + box.h / 2 - other.y - other.h / 2)
    return max(0.0, 1 - way / (SAME_PLACE * smaller))


def _damped(followed: Detection, seen: Detection) -> Detection:
    """Bring a followed face near to where the detector saw it: half-way, so that its crop does not jump."""
    if overlap(followed.box, seen.box) < DAMPED_OVERLAP:
        return seen
    box = Box(*(_halfway(before, now) for before, now in zip(followed.box, seen.box, strict=True)))
    if followed.landmarks is None or seen.landmarks is None:
        return seen._replace(box=box)
    pairs = zip(followed.landmarks, seen.landmarks, strict=True)
    landmarks = tuple((_halfway(x, new_x), _halfway(y, new_y)) for (x, y), (new_x, new_y) in pairs)
    return Detection(box, seen.score, landmarks)


def _halfway(before: float, now: float) -> float:
    return DAMPING * before + (1 - DAMPING) * now
