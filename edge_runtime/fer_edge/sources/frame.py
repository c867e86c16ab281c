"""What a frame is, how it is turned, and what a source is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2

from fer_edge.imaging.images import Pixels
from fer_edge.settings import FASTEST_FPS, SLOWEST_FPS, View

Log = Callable[[str], None]
"""Is given a line for people."""
ROTATIONS: dict[int, int] = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Frame:
    """One picture of a source."""

    name: str
    """File name, "camera 0", or an address without its password."""
    index: int
    """Number within the source, from 0; skipped frames count."""
    t: float
    """Seconds since the video's or the camera's beginning; 0 for a picture."""
    bgr: Pixels
    """(height, width, 3) uint8 BGR."""
    capture_ms: float
    """How long reading and decoding took; for a camera also the wait for the next frame."""
    captured: float
    """`time.perf_counter()` when the frame was there; of a camera or stream, before it was decoded."""
    path: Path | None = None
    """Its file; None for what is no file."""
    fps: float | None = None
    """Frames per second of the video or camera, a believable number; None for a picture."""
    damaged: int = 0
    """Frames before this one, since the one before, that could not be read."""


def turned(frame_bgr: Pixels, view: View) -> Pixels:
    """Rotate and mirror a (height, width, 3) uint8 frame."""
    if view.rotate:
        frame_bgr = cast(Pixels, cv2.rotate(frame_bgr, ROTATIONS[view.rotate]))
    return cast(Pixels, cv2.flip(frame_bgr, 1)) if view.mirror else frame_bgr


@dataclass(frozen=True)
class Source:
    """Something that gives frames."""

    name: str
    """For people and logs; holds no password."""
    live: bool
    """Frames come by themselves, and an old one is worth nothing. Read it through `fer_edge.sources.reader`."""
    open: Callable[[], Iterator[Frame]]
    """Opens it at once, anew each time, and gives its frames; closing the iterator closes the source.

    Raises SourceError where there is nothing, or nothing any more, DataError where it cannot be read; at once or from
    the iterator. A live source that ends without an error is over; one that ends in a SourceError may come back."""
    still: bool = False
    """Its frames are pictures, which have nothing to do with one another."""


def believable_fps(stated: float, otherwise: float) -> float:
    """Take the frame rate that a file or camera states, or, where it cannot be one, `otherwise`.

    >>> believable_fps(29.97, 25), believable_fps(0, 25), believable_fps(float("nan"), 25)
    (29.97, 25, 25)
    """
    return stated if SLOWEST_FPS <= stated <= FASTEST_FPS else otherwise
