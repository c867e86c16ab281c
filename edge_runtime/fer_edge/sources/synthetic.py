"""An endless, reproducible video of drawn faces, for machines without a camera."""

import itertools
import time
from collections.abc import Iterator
from typing import cast

import cv2

from fer_edge.imaging.images import Pixels
from fer_edge.settings import View
from fer_edge.sources.frame import Frame, rotate_frame
from fer_edge.synthetic.render import clip

FPS = 15.0
SIZE_WH = (640, 480)
CLIP_S = 16.0
"""Length of one `render.clip` in seconds, two per expression; then other people follow."""
DRAWN_PER_S = 7.5
"""Frames of a second that are drawn; those in between are blends of two, since drawing takes 20 to 300 ms. A face moves
by 20 pixels a second at most, so that two drawn ones are under 3 pixels apart."""


def drawn(view: View) -> Iterator[Frame]:
    """Yield the frames of clip after clip."""
    fps, size_wh = view.fps or FPS, view.size or SIZE_WH
    every = max(1, round(fps / DRAWN_PER_S))
    begun, index = time.perf_counter(), 0
    for seed in itertools.count():
        pictures = (frame_bgr for frame_bgr, _ in clip(round(CLIP_S * fps / every), seed, size_wh, scale=1))
        for frame_bgr in blended(pictures, every):
            if index % view.vid_stride == 0:
                pixels = rotate_frame(frame_bgr, view)
                captured = time.perf_counter()
                yield Frame("fake", index, index / fps, pixels, 1000 * (captured - begun), captured, None, fps)
            index += 1
            begun = time.perf_counter()


def blended(pictures: Iterator[Pixels], every: int) -> Iterator[Pixels]:
    """Yield `every` frames per picture: the picture, then blends of it and the next one; the last one is repeated."""
    before: Pixels | None = None
    for after in itertools.chain(pictures, [None]):
        if before is not None:
            yield before
            for step in range(1, every):
                share = step / every
                between = before if after is None else cv2.addWeighted(before, 1 - share, after, share, 0)
                yield cast(Pixels, between)
        before = after
