"""Frames from standard input: concatenated JPEG images (MJPEG), or raw BGR pixels."""

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
from fer_edge.sources.frame import Frame, Log, rotate_frame

NAME = "standard input"
FPS = 25.0
"""Frame rate of a stream without one of its own."""
CHUNK = 1 << 18
"""Bytes per read; a pipe returns at most 64 KiB."""
HEAD = 1 << 16
"""Bytes within which the first JPEG must start; a multipart header may precede it."""
LARGEST_JPEG = 1 << 26
DAMAGED_IN_A_ROW = 100
"""Unreadable images in a row after which reading gives up."""
JPEG, END_OR_START = b"\xff\xd8\xff", re.compile(rb"\xff[\xd8\xd9]")
HOW = "for example: ffmpeg -i video.mp4 -f mjpeg - | fer-edge run --source -"


def standard_input(view: View, log: Log) -> Iterator[Frame]:
    """Wait for the first bytes, tell by them what comes, and read on until the end.

    A pipe carries no clock: frames have the times of the frame rate that `view.fps` says, or of `FPS`, which `log` is
    told; with `view.live`, those at which they come.

    Raises:
        SourceError: It is closed, a terminal, empty, or holds neither JPEG images nor frames of a known size.
    """
    descriptor = _descriptor()
    if os.isatty(descriptor):
        raise SourceError(f"standard input is a terminal; pipe frames into it, {HOW}")
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
        raise SourceError(f"standard input is empty; check the program before the pipe, {HOW}")
    everything = chain([head], chunks)
    if view.size is None and JPEG not in head:
        raise SourceError(
            "standard input holds no JPEG images; for raw bgr24 frames give the size: --size 640x480; convert anything "
            "else: ffmpeg -i - -f mjpeg - | fer-edge run --source -"
        )
    if view.size is None or head.startswith(JPEG) or b"image/jpeg" in head[:512]:
        return _as_frames((_decode(jpeg) for jpeg in jpegs(everything)), view, live)
    return _as_frames(raw(everything, view.size), view, live)


def _descriptor() -> int:
    """Return the file descriptor of standard input.

    Raises:
        SourceError: Standard input is closed.
    """
    try:
        return sys.stdin.fileno()  # None if it was closed at the start (<&-)
    except (AttributeError, OSError, ValueError) as error:
        raise SourceError(f"standard input is closed; pipe frames into it, {HOW}") from error


def _as_frames(pictures: Iterator[Pixels | None], view: View, live: bool) -> Iterator[Frame]:
    """Turn images into frames; None stands for an unreadable one.

    Raises:
        DataError: All are unreadable, or too many in a row.
    """
    fps = view.fps or FPS
    opened = begun = time.perf_counter()
    damaged, index = 0, -1
    for index, frame_bgr in enumerate(pictures):
        captured = time.perf_counter()
        if frame_bgr is None:
            damaged += 1
            if damaged == DAMAGED_IN_A_ROW:
                raise DataError(f"{NAME}: {damaged} images in a row are damaged")
        elif index % view.vid_stride == 0:
            t, ms = (captured - opened if live else index / fps), 1000 * (captured - begun)
            yield Frame(NAME, index, t, rotate_frame(frame_bgr, view), ms, captured, None, fps, damaged)
            damaged, begun = 0, time.perf_counter()
    if damaged == index + 1:
        raise DataError(f"{NAME}: none of its {damaged} images can be read")


def _decode(jpeg: bytes | None) -> Pixels | None:
    try:
        return decode_picture(jpeg, NAME) if jpeg else None
    except DataError:
        return None


def raw(chunks: Iterator[bytes], size_wh: tuple[int, int]) -> Iterator[Pixels]:
    """Split raw bgr24 bytes into (height, width, 3) uint8 frames.

    Raises:
        DataError: The bytes end before the first frame is complete.
    """
    width, height = size_wh
    needed, buffer, found = 3 * width * height, bytearray(), False
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= needed:
            yield np.frombuffer(bytes(buffer[:needed]), np.uint8).reshape(height, width, 3)
            del buffer[:needed]
            found = True
    if not found:
        raise DataError(
            f"standard input ended after {len(buffer):,} bytes; a {width}x{height} frame of bgr24 has {needed:,}"
        )


def jpegs(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Split a byte stream into JPEG images, skipping what lies between; None stands for a truncated one.

    Raises:
        DataError: An image does not end within `LARGEST_JPEG` bytes.
    """
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        yield from _pop_images(buffer, final=False)
        if len(buffer) > LARGEST_JPEG:
            raise DataError(f"{NAME}: a JPEG image of more than {LARGEST_JPEG >> 20} MiB; the stream is damaged")
    yield from _pop_images(buffer, final=True)


def _pop_images(buffer: bytearray, *, final: bool) -> Iterator[bytes | None]:
    """Remove complete images from `buffer`, and at the end of the stream truncated ones too."""
    while True:
        begin = buffer.find(JPEG)
        del buffer[: begin if begin >= 0 else -2]  # the last two bytes may start a marker
        if begin < 0:
            return
        end, complete = _find_end(buffer)
        if end is None:
            if not final:
                return
            end, complete = len(JPEG), False  # another image may start after this one's first bytes
        yield bytes(buffer[:end]) if complete else None
        del buffer[:end]


def _find_end(jpeg: bytearray) -> tuple[int | None, bool]:
    """Return where a JPEG image ends, None if its end has not arrived, and whether it is complete.

    Walks from segment to segment, because a thumbnail within one has markers of its own, then searches for the end
    marker: within the pixel data, 0xff is always followed by another byte.
    """
    position = 2
    while position + 4 <= len(jpeg):
        marker = jpeg[position + 1]
        if jpeg[position] != 0xFF or marker in (0x00, 0xD8, 0xD9):  # no segment starts here
            return len(JPEG), False
        if marker == 0xDA:
            marker_match = END_OR_START.search(jpeg, position)
            if marker_match is None:
                return None, False
            return (marker_match.end(), True) if marker_match[0] == b"\xff\xd9" else (marker_match.start(), False)
        if marker == 0xFF:  # padding
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a segment
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return None, False
