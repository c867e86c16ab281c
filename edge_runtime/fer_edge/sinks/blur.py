"""Blur faces in every frame that is shown or saved.

Only the mean colours of a few blocks remain, two across the face. Fine mosaics and soft blurs do not hide an identity
(McPherson, Shokri, Shmatikov 2016, "Defeating Image Obfuscation with Deep Learning"), so blocks scale with the face.
"""

from collections.abc import Iterable
from dataclasses import replace

import cv2

from fer_edge.imaging.images import Pixels
from fer_edge.tracking.pipeline import Result

IntBox = tuple[int, int, int, int]
"""x, y, w, h in pixels."""

MARGIN = 0.35
"""Margin around a face box, as a fraction of its side: covers hair, chin, ears, and movement since the detection."""
BLOCKS = 4
"""Blocks per side of the blurred area; with `MARGIN`, two of them cover the face. The detector still finds 1.7 % of
faces blurred like this, with five blocks 9.7 %."""
HELD_S = 1.0
"""Seconds for which the last position of a lost face stays blurred, since detectors miss single frames."""


def blurred(frame_bgr: Pixels, boxes: Iterable[IntBox]) -> Pixels:
    """Blur `boxes` and a margin around them.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR; not modified.
        boxes: x, y, w, h in pixels; may extend beyond the frame.

    Returns:
        A new frame of the same size.
    """
    hidden: Pixels = frame_bgr.copy()
    height, width = frame_bgr.shape[:2]
    for x, y, w, h in boxes:
        margin_x, margin_y = round(MARGIN * w) + 1, round(MARGIN * h) + 1
        x0, x1 = max(0, x - margin_x), min(width, x + w + margin_x)
        y0, y1 = max(0, y - margin_y), min(height, y + h + margin_y)
        if x0 < x1 and y0 < y1:
            # Overlapping boxes are blurred on top of each other.
            part = hidden[y0:y1, x0:x1]
            blocks = cv2.resize(part, (min(BLOCKS, x1 - x0), min(BLOCKS, y1 - y0)), interpolation=cv2.INTER_AREA)
            hidden[y0:y1, x0:x1] = cv2.resize(blocks, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return hidden


class Blur:
    """Blurs the faces of one source, before results reach any sink. Not thread-safe.

    The last position of a missed face stays blurred for `HELD_S`; so does every position of faces without an ID. Faces
    that were never detected are not blurred.
    """

    def __init__(self) -> None:
        self._hidden: dict[int | IntBox, tuple[float, IntBox]] = {}
        """Last time, in source seconds, and box of each face, by ID or box."""

    def step(self, result: Result) -> Result:
        """Return the result with its faces blurred in a new frame."""
        frame = result.frame
        boxes = [face.box for face in result.faces]
        if frame.fps is not None:  # images of a folder are unrelated
            here = {face.box if face.id is None else face.id: (frame.t, face.box) for face in result.faces}
            # After a clock jumped back, positions from "later" expire too.
            held = {key: seen for key, seen in self._hidden.items() if 0 <= frame.t - seen[0] <= HELD_S}
            self._hidden = held | here
            boxes = [box for _, box in self._hidden.values()]
        return replace(result, frame=replace(frame, bgr=blurred(frame.bgr, boxes)))
