"""Crop faces to the network's input: one rule for training and for the device.

The rule: a square around the box's centre, with `scale` times the box's longer side; rotated with the eyes if they are
`LEVEL` degrees or more off level; the border is replicated beyond the frame; grey by BT.601, or RGB; then area
averaging down or linear interpolation up to the network's size. Enlarging gives the same pixels on every processor;
shrinking and rotating may differ by some levels.

A *face box* in fer-edge has YuNet's framing (forehead to chin). Boxes with another framing (a data set's own) are
converted with `reframed` when they are read, so that the network gets the same crops from every source: a crop 20 %
wider than in training costs 5 points of accuracy.
"""

import math
from typing import NamedTuple, cast

import cv2
import numpy as np

from fer_edge.errors import DataError
from fer_edge.imaging.images import InputColour, Pixels, in_colour

LEVEL = 5.0
"""Minimum roll in degrees for a rotated crop. This gained 2.4 points of accuracy on muxspace's testing faces rolled by
30 degrees, without more flicker (`studies.accuracy.turned_crops`)."""
LONGEST_SIDE = 1 << 14
"""Maximum side in pixels of a square that extends beyond the frame: an image of 1,000,000 x 1 would need 1 TB."""


class Box(NamedTuple):
    """A rectangle in pixels of its frame; may extend beyond it."""

    x: float
    y: float
    w: float
    h: float

    @property
    def longer(self) -> float:
        """The longer side, in pixels."""
        return max(self.w, self.h)


def whole_frame(frame: Pixels) -> Box:
    """Return the box of the whole frame, for images that are face crops."""
    return Box(0, 0, frame.shape[1], frame.shape[0])


def reframed(box: Box, scale: float, down: float = 0.0) -> Box:
    """Scale `box` about its centre and move it `down` by that fraction of its height.

    >>> reframed(Box(10, 10, 20, 40), 0.5, down=0.1)
    Box(x=15.0, y=24.0, w=10.0, h=20.0)
    """
    w, h = box.w * scale, box.h * scale
    return Box(box.x + (box.w - w) / 2, box.y + (box.h - h) / 2 + down * box.h, w, h)


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1.

    >>> overlap(Box(0, 0, 2, 2), Box(1, 0, 2, 2))
    0.3333333333333333
    """
    w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a.w * a.h + b.w * b.h - w * h)


def crop_face(
    frame_bgr: Pixels, box: Box, size: int, scale: float = 1.0, colour: InputColour = "grey", roll: float = 0.0
) -> Pixels:
    """Crop the square around `box` to the network's input.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR.
        box: A face box in pixels of the frame; may extend beyond it.
        size: Side of the result in pixels.
        scale: Side of the square over the box's longer side.
        colour: Colour of the network's input.
        roll: Clockwise rotation of the face in degrees.

    Returns:
        (size, size) uint8 grey, or (size, size, 3) uint8 RGB.

    Raises:
        DataError: The square is outside the frame, or too large to be extended beyond it.
    """
    height, width = frame_bgr.shape[:2]
    side = max(1, round(box.longer * scale))
    left = round(box.x + box.w / 2 - side / 2)
    top = round(box.y + box.h / 2 - side / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x0 >= x1 or y0 >= y1:
        raise DataError(f"box {tuple(round(v) for v in box)} is outside the {width}x{height} image")
    is_inside = (x0, y0, x1, y1) == (left, top, left + side, top + side)
    if not is_inside and side > min(4 * max(height, width), LONGEST_SIDE):
        box_xywh = tuple(round(v) for v in box)
        raise DataError(f"box {box_xywh} is too large for the {width}x{height} image; crop the face first")
    if abs(roll) >= LEVEL:
        return resize_face(in_colour(_rotated_crop(frame_bgr, left, top, side, roll), colour), size)
    face = in_colour(np.ascontiguousarray(frame_bgr[y0:y1, x0:x1]), colour)
    if not is_inside:
        edges = (y0 - top, top + side - y1, x0 - left, left + side - x1)
        face = cast(Pixels, cv2.copyMakeBorder(face, *edges, cv2.BORDER_REPLICATE))
    return resize_face(face, size)


def _rotated_crop(frame_bgr: Pixels, left: int, top: int, side: int, roll: float) -> Pixels:
    """Crop a square rotated clockwise about its centre: (side, side, 3) uint8 BGR, upright."""
    cosine, sine, middle = math.cos(math.radians(roll)), math.sin(math.radians(roll)), (side - 1) / 2
    x = left + middle - cosine * middle + sine * middle
    y = top + middle - sine * middle - cosine * middle
    to_frame = np.array([[cosine, -sine, x], [sine, cosine, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    face = cv2.warpAffine(frame_bgr, to_frame, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cast(Pixels, face)


def resize_face(face: Pixels, size: int) -> Pixels:
    """Resize a square uint8 face, grey (side, side) or RGB (side, side, 3): area averaging down, linear up."""
    if face.shape[0] == size:
        return face
    # Not INTER_LINEAR, whose Arm code differs from x86 by up to 4 levels.
    method = cv2.INTER_AREA if face.shape[0] > size else cv2.INTER_LINEAR_EXACT
    return cast(Pixels, cv2.resize(face, (size, size), interpolation=method))
