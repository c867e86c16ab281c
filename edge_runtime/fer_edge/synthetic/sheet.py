"""Draw shapes in face units onto a canvas, with soft edges and the pose of the head.

Face units: (0, 0) between the eyes, y down, the chin at (0, 1); one unit is about half a face's height.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""(n, 2) x, y."""
Colour = tuple[float, float, float]
"""B, G, R; 0 to 255."""

SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Pose:
    """Position and rotation of a face in an image."""

    x: float
    """Pixels of the point between the eyes."""
    y: float
    unit: float
    """Pixels per face unit."""
    roll: float = 0.0
    """Radians, clockwise."""
    yaw: float = 0.0
    """Radians, towards the image's right."""
    pitch: float = 0.0
    """Radians, downwards."""

    def pixels(self, points: Points) -> Points:
        """Project points in face units to pixels.

        The head is modelled as an ellipsoid: points near the nose move furthest when it turns.
        """
        x, y = points[:, 0], points[:, 1]
        depth = 0.8 * np.sqrt(np.maximum(0.0, 1 - (x / 0.8) ** 2 - ((y - 0.05) / 1.2) ** 2))
        x = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = y * np.cos(self.pitch) + depth * np.sin(self.pitch)
        turned_x = x * np.cos(self.roll) - y * np.sin(self.roll)
        turned_y = x * np.sin(self.roll) + y * np.cos(self.roll)
        return np.stack([self.x + self.unit * turned_x, self.y + self.unit * turned_y], axis=1)


class Sheet:
    """A canvas, float32 (height, width, 3) BGR, with the pose of the face being drawn."""

    def __init__(self, canvas: npt.NDArray[np.float32], pose: Pose) -> None:
        self.canvas = canvas
        self.pose = pose

    def fill(
        self, shape: Points, colour: Colour, *, opacity: float = 1.0, soft: float = 0.0, within: Points | None = None
    ) -> None:
        """Fill a closed shape.

        Args:
            shape: Outline in face units.
            colour: BGR.
            opacity: 0 to 1.
            soft: Width of the blurred edge in face units.
            within: Clipping outline.
        """
        if opacity < 0.02:
            return
        outline = self.pose.pixels(shape)
        sigma = soft * self.pose.unit
        height, width = self.canvas.shape[:2]
        low = np.maximum(np.floor(outline.min(axis=0) - 3 * sigma - 2), 0).astype(int)
        high = np.minimum(np.ceil(outline.max(axis=0) + 3 * sigma + 2), (width, height)).astype(int)
        if (low >= high).any():
            return
        mask = _soft_mask(outline - low, high - low, sigma)
        if within is not None:
            mask = mask * _mask(self.pose.pixels(within) - low, high - low)
        patch = self.canvas[low[1] : high[1], low[0] : high[0]]
        patch += (np.array(colour, np.float32) - patch) * (mask * np.float32(opacity))[:, :, None]

    def stroke(
        self, path: Points, colour: Colour, widths: float | Sequence[float], *, opacity: float = 1.0, soft: float = 0.0
    ) -> None:
        """Draw a line along `path`; `widths` (face units) may vary from start to end."""
        self.fill(ribbon(path, widths), colour, opacity=opacity, soft=soft)


def curve(*points: tuple[float, float], closed: bool = False, steps: int = 8) -> Points:
    """Return a Catmull-Rom spline through `points`, with `steps` points per segment."""
    knots = np.array(points, np.float64)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    a, b, c, d = (knots[i : len(knots) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    path = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3)
    flat = path.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-2:-1]])


def ellipse(x: float, y: float, half_width: float, half_height: float) -> Points:
    """Return the outline of an ellipse, 32 points."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)


def translate(points: Points, x: float, y: float) -> Points:
    """Translate a shape."""
    return np.asarray(points + np.array([x, y]))


def between(one: Points, other: Points) -> Points:
    """Return the outline of the area between two lines of the same direction."""
    return np.concatenate([one, other[::-1]])


def ribbon(path: Points, widths: float | Sequence[float]) -> Points:
    """Return the outline of a line along `path` with varying `widths`."""
    steps: npt.NDArray[Any] = np.linspace(0, 1, len(path))
    values = np.atleast_1d(np.asarray(widths, np.float64))
    half = np.interp(steps, np.linspace(0, 1, len(values)), values)[:, None] / 2
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    return between(path + across * half, path - across * half)


def _soft_mask(outline: Points, size_wh: npt.NDArray[np.int_], sigma: float) -> npt.NDArray[np.float32]:
    """Draw a mask with a blurred edge; a wide blur is computed at low resolution, which is fast."""
    if sigma < 0.3:
        return _mask(outline, size_wh)
    shrink = max(1, int(sigma / 2))
    mask = _mask(outline / shrink, size_wh // shrink + 1)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma / shrink), np.float32)
    if shrink == 1:
        return mask[: size_wh[1], : size_wh[0]]
    width, height = ((size_wh // shrink + 1) * shrink).tolist()
    return np.asarray(cv2.resize(mask, (width, height))[: size_wh[1], : size_wh[0]], np.float32)


def _mask(outline: Points, size_wh: npt.NDArray[np.int_]) -> npt.NDArray[np.float32]:
    mask = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    corners = np.round(outline * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return np.asarray(mask / np.float32(255), np.float32)
