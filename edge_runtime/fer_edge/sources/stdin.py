"""Frames on standard input: JPEG pictures one after another (MJPEG), or raw BGR pixels."""

import os
import re
import sys
import time
from collections.abc import Iterator
from itertools import chain

import numpy as np

from fer_edge.errors import DataError, SourceError
from fer_edge.imaging.images import Pixels, decode_picture
from fer_edge.settings import View
from fer_edge.sources.frame import Frame, Log, turned

NAME = "standard input"
FPS = 25.0
"""Frame rate of a stream that does not say its own."""
CHUNK = 1 << 18
"""Bytes that are read at once; a pipe gives at most 64 KiB."""
HEAD = 1 << 16
"""Bytes within which the first JPEG picture begins; what stands before it may be the header of a multipart stream."""
LARGEST_JPEG = 1 << 26
DAMAGED_IN_A_ROW = 100
"""After so many pictures that cannot be read, none will be."""
JPEG, END_OR_BEGIN = b"\xff\xd8\xff", re.compile(rb"\xff[\xd8\xd9]")
HOW = "such as: ffmpeg -i video.mp4 -f mjpeg - | fer-edge run --source -"


def standard_input(view: View, log: Log) -> Iterator[Frame]:
    """Wait for the first bytes, tell by them what comes, and read on until the end.

    A pipe carries no clock: frames have the times of the frame rate that `view.fps` says, or of `FPS`, which `log` is
    told; with `view.live`, those at which they come.

    Raises:
        SourceError: It is closed, the keyboard, empty, or holds neither JPEG pictures nor frames of a known size.
    """
    descriptor = _descriptor()
    if os.isatty(descriptor):
        raise SourceError(f"standard input is the keyboard; send frames through a pipe, {HOW}")
    live = bool(view.live)
    if not live and view.fps is None:
        log(f"{NAME}: assuming {FPS:g} frames per second; to say another, type: --fps")
    chunks = iter(lambda: os.read(descriptor, CHUNK), b"")
    head = b""
    for chunk in chunks:
        head += chunk
        if JPEG in head or len(head) >= HEAD or view.size:
            break
    if not head:
        raise SourceError(f"standard input is empty; did the program before the | say why? Send frames, {HOW}")
    everything = chain([head], chunks)
    if view.size is None and JPEG not in head:
        raise SourceError(
            "standard input holds no JPEG pictures; of raw bgr24 frames say the size: --size 640x480; anything else "
            "goes through ffmpeg: ffmpeg -i - -f mjpeg - | fer-edge run --source -"
        )
    if view.size is None or head.startswith(JPEG) or b"image/jpeg" in head[:512]:
        return _numbered((_decoded(jpeg) for jpeg in jpegs(everything)), view, live)
    return _numbered(raw(everything, view.size), view, live)


def _descriptor() -> int:
    """The number of standard input's file.

    Raises:
        SourceError: It has none.
    """
    try:
        return sys.stdin.fileno()  # None where it was closed at the start (<&-)
    except (AttributeError, OSError, ValueError) as error:
        raise SourceError(f"standard input is closed; send frames through a pipe, {HOW}") from error


def _numbered(pictures: Iterator[Pixels | None], view: View, live: bool) -> Iterator[Frame]:
    """Make frames of pictures; None among them is one that could not be read.

    Raises:
        DataError: None could, or many in a row could not.
    """
    fps = view.fps or FPS
    opened = begun = time.perf_counter()
    damaged, index = 0, -1
    for index, frame_bgr in enumerate(pictures):
        captured = time.perf_counter()
        if frame_bgr is None:
            damaged += 1
            if damaged == DAMAGED_IN_A_ROW:
                raise DataError(f"{NAME}: {damaged} pictures in a row are damaged")
        elif index % view.vid_stride == 0:
            t, ms = (captured - opened if live else index / fps), 1000 * (captured - begun)
            yield Frame(NAME, index, t, turned(frame_bgr, view), ms, captured, None, fps, damaged)
            damaged, begun = 0, time.perf_counter()
    if damaged == index + 1:
        raise DataError(f"{NAME}: none of its {damaged} pictures can be read")


def _decoded(jpeg: bytes | None) -> Pixels | None:
    try:
        return decode_picture(jpeg, NAME) if jpeg else None
    except DataError:
        return None


def raw(chunks: Iterator[bytes], size_wh: tuple[int, int]) -> Iterator[Pixels]:
    """Cut raw bgr24 bytes into (height, width, 3) uint8 frames.

    Raises:
        DataError: The bytes end before one frame is whole.
    """
    width, height = size_wh
    needed, waiting, found = 3 * width * height, bytearray(), False
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= needed:
            yield np.frombuffer(bytes(waiting[:needed]), np.uint8).reshape(height, width, 3)
            del waiting[:needed]
            found = True
    if not found:
        raise DataError(
            f"standard input ended after {len(waiting):,} bytes; one {width}x{height} frame of bgr24 has {needed:,}"
        )


def jpegs(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Cut a stream of bytes into JPEG pictures; what stands between them is skipped. None is one that was cut short.

    Raises:
        DataError: Nothing ends any more.
    """
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        yield from _taken(waiting, over=False)
        if len(waiting) > LARGEST_JPEG:
            raise DataError(f"{NAME}: a JPEG picture of more than {LARGEST_JPEG >> 20} MiB; is it a picture at all?")
    yield from _taken(waiting, over=True)


def _taken(waiting: bytearray, *, over: bool) -> Iterator[bytes | None]:
    """Take the pictures that have ended out of `waiting`; where all is `over`, also those that never will."""
    while True:
        begin = waiting.find(JPEG)
        del waiting[: begin if begin >= 0 else -2]  # the last two bytes may begin a mark
        if begin < 0:
            return
        end, whole = _extent(waiting)
        if end is None:
            if not over:
                return
            end, whole = len(JPEG), False  # another one may begin behind its beginning
        yield bytes(waiting[:end]) if whole else None
        del waiting[:end]


def _extent(jpeg: bytearray) -> tuple[int | None, bool]:
    """Where a JPEG picture ends, None where its end has not come yet, and whether it is whole.

    Walks from segment to segment, because a thumbnail in one of them has marks of its own, and then looks for the mark
    that ends the pixels: within them, 0xff is always followed by another byte.
    """
    position = 2
    while position + 4 <= len(jpeg):
        marker = jpeg[position + 1]
        if jpeg[position] != 0xFF or marker in (0x00, 0xD8, 0xD9):  # no segment follows where the last one ends
            return len(JPEG), False
        if marker == 0xDA:
            mark = END_OR_BEGIN.search(jpeg, position)
            if mark is None:
                return None, False
            return (mark.end(), True) if mark[0] == b"\xff\xd9" else (mark.start(), False)
        if marker == 0xFF:  # filling
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # marks without a segment
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return None, False
