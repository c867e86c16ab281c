"""Blur faces in a frame, for everything that is shown or saved.

Nothing of a hidden face is left but the mean colours of a few blocks, two across the face. Fine mosaics and soft
blurs do not hide who somebody is (McPherson, Shokri, Shmatikov 2016, "Defeating Image Obfuscation with Deep Learning"),
so blocks grow with the face.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import cv2

from fer_edge.imaging.images import Pixels
from fer_edge.tracking.pipeline import Result

IntBox = tuple[int, int, int, int]
"""x, y, w, h in pixels."""

MARGIN = 0.35
"""How far beyond its box a face is hidden, as a part of the box's side: hair, chin, ears, and what moved meanwhile."""
BLOCKS = 4
"""Blocks a side of what is hidden; with `MARGIN`, two of them lie on the face. The detector finds 1.7 % of such faces
again, with five blocks 9.7 %."""
HELD_S = 1.0
"""How long, in seconds, the place of a face that is no longer found stays hidden: detectors blink."""


def blurred(frame_bgr: Pixels, boxes: Iterable[IntBox]) -> Pixels:
    """Hide what lies in `boxes` and around them.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR; stays as it is.
        boxes: x, y, w, h in pixels; may reach over the edge.

    Returns:
        A new frame of the same size.
    """
    hidden = frame_bgr.copy()
    height, width = frame_bgr.shape[:2]
    for x, y, w, h in boxes:
        margin_x, margin_y = round(MARGIN * w) + 1, round(MARGIN * h) + 1
        x0, x1 = max(0, x - margin_x), min(width, x + w + margin_x)
        y0, y1 = max(0, y - margin_y), min(height, y + h + margin_y)
        if x0 < x1 and y0 < y1:
            # Boxes that overlap are hidden twice over: each takes what the one before it left.
            part = hidden[y0:y1, x0:x1]
            blocks = cv2.resize(part, (min(BLOCKS, x1 - x0), min(BLOCKS, y1 - y0)), interpolation=cv2.INTER_AREA)
            hidden[y0:y1, x0:x1] = cv2.resize(blocks, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return cast(Pixels, hidden)


class Blur:
    """Hides the faces of one source, result after result, before any sink sees them. Not to be shared between threads.

    A face that is missed for some frames stays hidden where it was last, for `HELD_S`; where faces have no number, so
    does every place where one was. What was never found is not hidden.
    """

    def __init__(self) -> None:
        self._hidden: dict[int | IntBox, tuple[float, IntBox]] = {}
        """Seconds of the source's clock when a face was seen last, by its number, and where it was then."""

    def step(self, result: Result) -> Result:
        """Give the same result with a frame in which its faces are hidden; the frame itself stays as it is."""
        frame = result.frame
        boxes = [face.box for face in result.faces]
        if frame.fps is not None:  # pictures of a folder have nothing to do with one another
            here = {face.box if face.id is None else face.id: (frame.t, face.box) for face in result.faces}
            # A clock that jumped back makes what was seen "later" old, too.
            held = {key: seen for key, seen in self._hidden.items() if 0 <= frame.t - seen[0] <= HELD_S}
            self._hidden = held | here
            boxes = [box for _, box in self._hidden.values()]
        return replace(result, frame=replace(frame, bgr=blurred(frame.bgr, boxes)))
