"""What a frame is, how it is asked for, and what a source is."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import cv2

from fer_edge.errors import UsageError
from fer_edge.imaging.images import Pixels

Tell = Callable[[str], None]
"""Is given a line for people."""
Rotation = Literal[0, 90, 180, 270]
ROTATIONS: dict[int, int] = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
SLOWEST_FPS, FASTEST_FPS = 0.1, 1000.0
"""A frame rate outside these is no frame rate: files without one say 0, 90000 (the clock of MPEG) or what they like."""
LARGEST_SIDE = 8192


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


@dataclass(frozen=True)
class View:
    """How frames are asked for, and turned before anybody sees them."""

    size_wh: tuple[int, int] | None = None
    """Width and height that a camera is asked for, that raw frames on standard input have, and that are drawn."""
    fps: float | None = None
    """Frames per second that a camera is asked for, and that are drawn."""
    rotate: Rotation = 0
    """Degrees clockwise."""
    mirror: bool = False
    """Left and right change places, as in a mirror; after the rotation."""
    stride: int = 1
    """Take every stride-th frame of what is no picture."""
    loop: bool = False
    """Begin again at the end of pictures or a video file."""
    realtime: bool = False
    """Give a video file or drawn faces at their frame rate, as if they were a camera."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UsageError: A number makes no sense.
        """
        if self.size_wh and not all(1 <= side <= LARGEST_SIDE for side in self.size_wh):
            raise UsageError(f"--size {self.size_wh[0]}x{self.size_wh[1]}: 1 to {LARGEST_SIDE} pixels a side")
        if self.fps is not None and not SLOWEST_FPS <= self.fps <= FASTEST_FPS:
            raise UsageError(f"--fps {self.fps:g}: {SLOWEST_FPS:g} to {FASTEST_FPS:g} frames per second")
        if self.rotate and self.rotate not in ROTATIONS:
            raise UsageError(f"--rotate {self.rotate}: 0, 90, 180 or 270 degrees")
        if self.stride < 1:
            raise UsageError(f"--vid-stride {self.stride}: 1 or more")

    def turned(self, frame_bgr: Pixels) -> Pixels:
        """Rotate and mirror a (height, width, 3) uint8 frame."""
        if self.rotate:
            frame_bgr = cast(Pixels, cv2.rotate(frame_bgr, ROTATIONS[self.rotate]))
        return cast(Pixels, cv2.flip(frame_bgr, 1)) if self.mirror else frame_bgr


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


def parsed_size(text: str) -> tuple[int, int]:
    """Read the width and height of `--size`.

    >>> parsed_size("640x480")
    (640, 480)

    Raises:
        UsageError: It is no such thing.
    """
    numbers = re.fullmatch(r"([0-9]{1,5})[x*,]([0-9]{1,5})", text.strip().lower())
    if not numbers:
        raise UsageError(f"--size {text}: width and height, such as 640x480")
    return int(numbers[1]), int(numbers[2])
