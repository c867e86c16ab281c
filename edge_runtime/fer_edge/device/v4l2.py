"""Query the driver of a /dev/videoN (Video4Linux2), without changing anything or starting a stream."""

import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["camera", "sensor", "processor", "metadata", "other"]
"""sensor: raw Bayer frames, for libcamera. processor: a codec, scaler or image signal processor."""

Ioctl = Callable[[int, bytearray], object]
"""Calls a driver with a request and a structure that it fills in; raises OSError."""

# linux/videodev2.h; the structures are the same for 32 and 64 bits.
QUERYCAP, ENUM_FMT, REQBUFS, ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC0145608, 0xC02C564A
CAPTURE, CAPTURE_PLANES, PLANES_M2M, M2M = 0x1, 0x1000, 0x4000, 0x8000
METADATA, BY_MEDIA_CONTROLLER, HAS_NODE_CAPABILITIES = 0x00800000, 0x20000000, 0x80000000
BUFFER_CAPTURE, BUFFER_CAPTURE_PLANES, MEMORY_MMAP, DISCRETE = 1, 9, 1, 1

SENSORS = frozenset({"unicam", "bcm2835-unicam", "rp1-cfe"})
PROCESSORS = frozenset({"bcm2835-codec", "bcm2835-isp", "pispbe", "rpi-hevc-dec", "rpivid"})
MOST_ANSWERS = 64
"""Maximum formats, and sizes of each; a webcam has 2 and about 20."""


@dataclass(frozen=True)
class Format:
    """A camera's pixel format."""

    name: str
    """FourCC, such as MJPG or YUYV."""
    sizes: tuple[str, ...]
    """Such as 640x480, or a range 32x32..1920x1080."""


@dataclass(frozen=True)
class Answer:
    """A driver's description of a node."""

    name: str
    driver: str
    bus: str
    kind: Kind
    formats: tuple[Format, ...] = ()
    busy: bool = False
    """Whether a process is streaming from it now."""


def ask_driver(path: Path) -> Answer:
    """Open a node and query its driver.

    Raises:
        OSError: It cannot be opened, or is not a video device.
    """
    from fcntl import ioctl

    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return answer_of(lambda request, structure: ioctl(descriptor, request, structure))
    finally:
        os.close(descriptor)


def answer_of(ioctl: Ioctl) -> Answer:
    """Query a node through `ioctl`.

    Raises:
        OSError: It is not a video device.
    """
    about = bytearray(104)
    ioctl(QUERYCAP, about)
    driver, name, bus = (_text(about[begin:end]) for begin, end in ((0, 16), (16, 48), (48, 80)))
    of_device, of_node = struct.unpack_from("=II", about, 84)
    capabilities = of_node if of_device & HAS_NODE_CAPABILITIES else of_device
    kind = kind_of(driver, capabilities)
    if kind not in ("camera", "sensor"):
        return Answer(name, driver, bus, kind)
    buffers = BUFFER_CAPTURE if capabilities & CAPTURE else BUFFER_CAPTURE_PLANES
    formats = tuple(_formats(ioctl, buffers)) if kind == "camera" else ()
    return Answer(name, driver, bus, kind, formats, _is_busy(ioctl, buffers))


def kind_of(driver: str, capabilities: int) -> Kind:
    """Classify a node as a camera or something else.

    >>> kind_of("uvcvideo", 0x04200001), kind_of("uvcvideo", 0x04A00000), kind_of("unicam", 0x05200001)
    ('camera', 'metadata', 'sensor')
    """
    captures = capabilities & (CAPTURE | CAPTURE_PLANES)
    if driver in PROCESSORS or capabilities & (M2M | PLANES_M2M):
        return "processor"
    if captures:
        return "sensor" if driver in SENSORS or capabilities & BY_MEDIA_CONTROLLER else "camera"
    return "metadata" if capabilities & METADATA else "other"


def _formats(ioctl: Ioctl, buffers: int) -> Iterator[Format]:
    """List the formats of a camera, with their sizes."""
    for index in range(MOST_ANSWERS):
        about = bytearray(64)
        struct.pack_into("=II", about, 0, index, buffers)
        try:
            ioctl(ENUM_FMT, about)
        except OSError:  # end of the list
            return
        (pixels,) = struct.unpack_from("=I", about, 44)
        letters = struct.pack("=I", pixels & 0x7FFFFFFF)  # the highest bit means big-endian
        yield Format(_text(letters), tuple(dict.fromkeys(_sizes(ioctl, pixels))))


def _sizes(ioctl: Ioctl, pixels: int) -> Iterator[str]:
    for index in range(MOST_ANSWERS):
        about = bytearray(44)
        struct.pack_into("=II", about, 0, index, pixels)
        try:
            ioctl(ENUM_FRAMESIZES, about)
        except OSError:
            return
        kind, width, height_or_widest, _, low, high, _ = struct.unpack_from("=7I", about, 8)
        if kind == DISCRETE:
            yield f"{width}x{height_or_widest}"
        else:
            yield f"{width}x{low}..{height_or_widest}x{high}"
            return


def _is_busy(ioctl: Ioctl, buffers: int) -> bool:
    """Return whether any process is streaming, also another user's: releasing no buffers fails only then."""
    try:
        ioctl(REQBUFS, bytearray(struct.pack("=5I", 0, buffers, MEMORY_MMAP, 0, 0)))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _text(raw: bytes | bytearray) -> str:
    """Decode a driver's C string, which may hold anything."""
    text = bytes(raw).split(b"\0")[0].decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()
