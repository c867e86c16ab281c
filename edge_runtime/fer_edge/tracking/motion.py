"""How one frame differs from another: where a remembered face is now, and what else changed."""

import math
from collections.abc import Iterable
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.imaging.crop import Box, reframed
from fer_edge.imaging.images import Pixels, in_colour

SMALL_SIDE = 160
"""About the longer side, in pixels, of the small copy."""
CELL = 5
"""Pixels of the small copy along one cell of what is watched for changes: a VGA frame has 32x24 cells."""
CELL_CHANGE = 20
"""Grey levels, of 255, from which on a cell has changed; noise of 10 levels in the frame changes none."""
CHANGED_CELLS = 6
"""Changed cells, outside the known faces, from which on something new may be there: a face 40 pixels wide in VGA."""
CUT = 0.25
"""Share of all cells that change from one frame to the next where another picture begins: cuts of the video change 27 %
or more, pans and shakes 23 % at most."""
HEAD = 1.5
"""Times a face box within which changes are the known face's own: hair, neck, and a little way."""
PATCH = 16
"""Samples along the longer side of a face, as it is remembered."""
REACH = 8
"""Samples by which it is searched for to each side: a face may move by half its size from one frame to the next."""


class FrameView:
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
        """Log whether the centre of `box` lies in the frame."""
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
    """Find where `patch` fits best in the samples around `box`; gives what `FrameView.search` gives."""
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


class Changes:
    """What changes in the frame besides the known faces."""

    def __init__(self) -> None:
        self._before = self._at_detection = np.zeros((0, 0), np.uint8)
        self._wait = 1
        self._stirred = False

    def cut(self, view: FrameView) -> bool:
        """Log whether another picture began."""
        before, self._before = self._before, view.cells
        return before.shape == view.cells.shape and _count(_changed(before, view.cells)) > CUT * before.size

    def call(self, view: FrameView, faces: Iterable[Box], since: int, every: int) -> bool:
        """Log whether something changed since the last detection, `since` frames ago, that may be a new face.

        Changes at `faces`, those that are known, count for nothing.

        What changes all the time, such as a screen or what a moving camera sees, would call in every frame: after a
        call that brought no new face the next one has to wait twice as long, up to `every` frames, until all is quiet.
        """
        changed = _changed(self._at_detection, view.cells)
        if _count(changed) >= CHANGED_CELLS:
            for box in faces:
                changed[view.cells_of(reframed(box, HEAD))] = False
        called = _count(changed) >= CHANGED_CELLS
        self._stirred |= called
        if since >= every and not self._stirred:
            self._wait = 1
        return called and since >= self._wait

    def looked(self, view: FrameView, *, in_vain: bool, every: int) -> None:
        """Remember what the detector saw, and whether it was called in vain."""
        self._at_detection, self._stirred = view.cells, False
        if in_vain:
            self._wait = min(2 * self._wait, every)


def _changed(before: Pixels, now: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray(cv2.absdiff(before, now) > CELL_CHANGE)


def _count(cells: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(cells))
