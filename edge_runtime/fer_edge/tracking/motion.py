"""Find known faces in the next frame by template matching, and detect other changes."""

import math
from collections.abc import Iterable
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.imaging.crop import Box, reframed
from fer_edge.imaging.images import Pixels, in_colour

SMALL_SIDE = 160
"""Approximate longer side, in pixels, of the downscaled frame."""
CELL = 5
"""Side of a change detection cell in pixels of the downscaled frame: a VGA frame has 32x24 cells."""
CELL_CHANGE = 20
"""Threshold in grey levels for a changed cell; noise of 10 levels stays below it."""
CHANGED_CELLS = 6
"""Changed cells outside known faces that request a detection: a face 40 pixels wide in VGA."""
CUT = 0.25
"""Fraction of changed cells from which on a frame starts a new scene: cuts change 27 % or more, pans and shakes 23 % at
most."""
HEAD = 1.5
"""Scale of a face box within which changes are attributed to the known face: hair, neck, small movements."""
PATCH = 16
"""Side of a face template in samples."""
REACH = 8
"""Search range in samples to each side: a face may move by half its size between frames."""


class FrameView:
    """A frame prepared for template matching and change detection."""

    def __init__(self, frame_bgr: Pixels) -> None:
        self._frame = frame_bgr
        height, width = frame_bgr.shape[:2]
        step = max(1, round(max(height, width) / SMALL_SIDE))
        # Every step-th green pixel, which is nearly grey: averaging a 1080p frame would take ten times as long.
        small = np.ascontiguousarray(frame_bgr[::step, ::step, 1])
        rows, columns = small.shape
        grid_wh = max(1, columns // CELL), max(1, rows // CELL)
        self.cells = cast(Pixels, cv2.resize(small, grid_wh, interpolation=cv2.INTER_AREA))
        self._cell_wh = width / grid_wh[0], height / grid_wh[1]

    def contains_centre(self, box: Box) -> bool:
        """Return whether the centre of `box` is in the frame."""
        height, width = self._frame.shape[:2]
        return bool(0 <= box.x + box.w / 2 <= width and 0 <= box.y + box.h / 2 <= height)

    def cells_of(self, box: Box) -> tuple[slice, slice]:
        """Return rows and columns of the cells that `box` touches."""
        across, down = self._cell_wh
        left, right = max(0, math.floor(box.x / across)), max(0, math.floor((box.x + box.w) / across) + 1)
        top, bottom = max(0, math.floor(box.y / down)), max(0, math.floor((box.y + box.h) / down) + 1)
        return slice(top, bottom), slice(left, right)

    def search(self, box: Box, patch: Pixels) -> tuple[float, float, float]:
        """Search for `patch` around `box`; return the best correlation and its offset (x, y) in pixels."""
        return _best(self._around(box), patch, box)

    def template(self, box: Box) -> tuple[Pixels, tuple[float, float]]:
        """Return the template of a face, and the offset at which it is found in this very frame."""
        around = self._around(box)
        patch = np.ascontiguousarray(around[REACH:-REACH, REACH:-REACH])
        _, x, y = _best(around, patch, box)
        return patch, (x, y)

    def _around(self, box: Box) -> Pixels:
        """Sample the square of a face box with a margin of `REACH` samples: (side, side) uint8 grey."""
        side = PATCH + 2 * REACH
        spacing = max(box.longer / PATCH, 1e-3)
        left = box.x + box.w / 2 + (1 - side) / 2 * spacing
        top = box.y + box.h / 2 + (1 - side) / 2 * spacing
        grid = np.array([[spacing, 0, left], [0, spacing, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        samples = cv2.warpAffine(self._frame, grid, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return in_colour(cast(Pixels, samples), "grey")


def _best(around: Pixels, patch: Pixels, box: Box) -> tuple[float, float, float]:
    """Search for `patch` in the samples around `box`, like `FrameView.search`."""
    correlation = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (column, row) = cv2.minMaxLoc(correlation)
    x = column - REACH + _vertex(correlation[row, max(column - 1, 0) : column + 2].tolist())
    y = row - REACH + _vertex(correlation[max(row - 1, 0) : row + 2, column].tolist())
    step = box.longer / PATCH
    return best, x * step, y * step


def _vertex(values: list[float]) -> float:
    """Position -0.5..0.5 of the vertex of the parabola through three samples, the middle one the largest.

    >>> round(_vertex([0.8, 1.0, 0.6]), 3)
    -0.167
    """
    if len(values) < 3:
        return 0.0
    before, top, after = values
    bend = before - 2 * top + after
    return (before - after) / (2 * bend) if bend < 0 else 0.0


class Changes:
    """Detects changes in the frame outside the known faces."""

    def __init__(self) -> None:
        self._before = self._at_detection = np.zeros((0, 0), np.uint8)
        self._delay = 1
        self._moving = False

    def cut(self, view: FrameView) -> bool:
        """Return whether a new scene starts."""
        before, self._before = self._before, view.cells
        return before.shape == view.cells.shape and _count(_changed(before, view.cells)) > CUT * before.size

    def detection_requested(self, view: FrameView, faces: Iterable[Box], since: int, every: int) -> bool:
        """Return whether changes since the last detection, `since` frames ago, may be a new face.

        Changes at the known `faces` are ignored. Constant changes, such as a screen or a moving camera, would request a
        detection in every frame: after a request that found no new face, the delay doubles, up to `every` frames, until
        the frame is still.
        """
        changed = _changed(self._at_detection, view.cells)
        if _count(changed) >= CHANGED_CELLS:
            for box in faces:
                changed[view.cells_of(reframed(box, HEAD))] = False
        requested = _count(changed) >= CHANGED_CELLS
        self._moving |= requested
        if since >= every and not self._moving:
            self._delay = 1
        return requested and since >= self._delay

    def record_detection(self, view: FrameView, *, useless: bool, every: int) -> None:
        """Record a detection, and whether it was requested without finding a new face."""
        self._at_detection, self._moving = view.cells, False
        if useless:
            self._delay = min(2 * self._delay, every)


def _changed(before: Pixels, now: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray(cv2.absdiff(before, now) > CELL_CHANGE)


def _count(cells: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(cells))
