"""Frames and sources."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2

from fer_edge.imaging.images import Pixels
from fer_edge.settings import FASTEST_FPS, SLOWEST_FPS, View

Log = Callable[[str], None]
"""Called with one line for the user."""
ROTATIONS: dict[int, int] = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Frame:
    """One frame of a source, or one image."""

    name: str
    """File name, "camera 0", or an address without its password."""
    index: int
    """Frame number within the source, from 0; skipped frames count."""
    t: float
    """Seconds since the start of the video or camera; 0 for an image."""
    bgr: Pixels
    """(height, width, 3) uint8 BGR."""
    capture_ms: float
    """Time to read and decode, including the wait for a camera's next frame."""
    captured: float
    """`time.perf_counter()` when the frame arrived; for a camera or stream, before decoding."""
    path: Path | None = None
    """Its file, if the source is one."""
    fps: float | None = None
    """Frame rate of the video or camera, validated; None for an image."""
    damaged: int = 0
    """Unreadable frames between the previous frame and this one."""


def rotate_frame(frame_bgr: Pixels, view: View) -> Pixels:
    """Rotate and mirror a (height, width, 3) uint8 frame."""
    if view.rotate:
        frame_bgr = cast(Pixels, cv2.rotate(frame_bgr, ROTATIONS[view.rotate]))
    return cast(Pixels, cv2.flip(frame_bgr, 1)) if view.mirror else frame_bgr


@dataclass(frozen=True)
class Source:
    """A source of frames."""

    name: str
    """Display name, without passwords."""
    live: bool
    """Whether frames arrive on their own and become outdated. Read it through `fer_edge.sources.reader`."""
    open: Callable[[], Iterator[Frame]]
    """Opens the source immediately, on every call, and returns its frames; closing the iterator closes the source.

    Raises SourceError if the source is missing or lost, DataError if it cannot be read, on the call or from the
    iterator. A live source that ends without an error is finished; after a SourceError it may come back."""
    still: bool = False
    """Whether its frames are unrelated images."""


def believable_fps(stated: float, otherwise: float) -> float:
    """Return the frame rate that a file or camera states, or `otherwise` if that is implausible.

    >>> believable_fps(29.97, 25), believable_fps(0, 25), believable_fps(float("nan"), 25)
    (29.97, 25, 25)
    """
    return stated if SLOWEST_FPS <= stated <= FASTEST_FPS else otherwise
