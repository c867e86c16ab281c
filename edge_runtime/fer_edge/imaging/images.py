"""Read and write images, and convert colours."""

import stat
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.files import write_bytes

Pixels = npt.NDArray[np.uint8]
InputColour = Literal["grey", "rgb"]
"""Colour of a network's input; frames and files are BGR, as in OpenCV."""
CHANNELS: dict[InputColour, int] = {"grey": 1, "rgb": 3}
COLOUR_NAMES: dict[InputColour, str] = {"grey": "grey", "rgb": "RGB"}
"""Display names."""

JPEG, END = b"\xff\xd8", b"\xff\xd9"
"""First and last bytes of a JPEG file."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
SUFFIXES |= {".jp2", ".avif", ".gif"}
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv", ".3gp"})
VIDEO_SUFFIXES |= {".h264", ".h265", ".hevc", ".264", ".265", ".ts", ".m2ts", ".mts", ".mjpeg", ".mjpg", ".flv", ".dv"}
"""Files with other names are videos where OpenCV opens them."""
GREY_ONLY = frozenset({".pgm"})
"""Suffixes of formats without colour."""


def is_picture(path: Path) -> bool:
    """Return whether `path` has the suffix of an image."""
    return path.suffix.lower() in SUFFIXES


def holds_picture(path: Path) -> bool:
    """Whether a file is a picture by its first bytes, whatever its name, that OpenCV reads."""
    try:
        return bool(cv2.haveImageReader(str(path)))
    except (cv2.error, UnicodeError):  # its path is not UTF-8
        return is_picture(path)


def is_heic(path: Path) -> bool:
    """Whether a file is a HEIC picture, as phones take them, by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def read_picture(path: Path) -> Pixels:
    """Read an image file, rotated upright by its EXIF tag.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        DataError: The file is missing, empty, truncated, not an image, or too large.
    """
    return decode_picture(read_content(path), str(path))


def read_content(path: Path) -> bytes:
    """Read the bytes of an image file, for `decode_picture`, and for a digest.

    Raises:
        DataError: The file is missing, empty, or a folder, pipe or device.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a named pipe would block forever
            raise DataError(f"{path}: not a regular file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    if not content:
        raise DataError(f"{path}: the file is empty")
    return content


def decode_picture(content: bytes, name: str) -> Pixels:
    """Decode an image from memory; `name` is its name in an error.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        DataError: `content` is no picture, cut short, or larger than OpenCV may open.
    """
    if is_cut_short(content):
        raise DataError(f"{name}: the image is truncated; copy it again")
    try:
        frame_bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "PIXELS" in str(error) or "MAX_IMAGE" in str(error):
            raise DataError(f"{name}: more than 64 million pixels; scale it down first") from error
        raise DataError(f"{name}: not an image that OpenCV can read") from error
    if frame_bgr is None:
        raise DataError(f"{name}: not an image that OpenCV can read")
    return cast(Pixels, frame_bgr)


def is_cut_short(content: bytes) -> bool:
    """Return whether a JPEG or PNG is truncated, which OpenCV fills with grey silently.

    >>> is_cut_short(bytes.fromhex("ffd8ffda0000")), is_cut_short(bytes.fromhex("ffd8ffda0000ffd9"))
    (True, False)
    """
    if content.startswith(JPEG):
        scan = _first_scan(content)
        return scan is None or content.rfind(END, scan) < 0  # from the end, where it nearly always is
    if content.startswith(b"\x89PNG"):
        return not _has_last_chunk(content)
    return False


def _first_scan(jpeg: bytes) -> int | None:
    """Find the start of a JPEG's pixel data; a thumbnail in a segment before it has its own end marker."""
    position = 2
    while True:
        position = jpeg.find(b"\xff", position)
        if not 0 <= position < len(jpeg) - 3:
            return None
        marker = jpeg[position + 1]
        if marker == 0xDA:
            return position
        if marker == 0xFF:  # padding
            position += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD9:  # markers without a segment
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")


def _has_last_chunk(png: bytes) -> bool:
    """Walk a PNG's chunks up to the last one; data after it is ignored."""
    position = 8
    while position + 8 <= len(png):
        if png[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(png[position : position + 4], "big")  # length, name, content, checksum
    return False


def write_picture(path: Path, frame_bgr: Pixels) -> None:
    """Write uint8 (height, width, 3) BGR or (height, width) grey in the format of `path`'s suffix, atomically.

    Raises:
        FerEdgeError: The file cannot be written.
    """
    write_bytes(path, encode_picture(frame_bgr, path.suffix))


def encode_picture(frame_bgr: Pixels, suffix: str, parameters: tuple[int, ...] = ()) -> bytes:
    """Encode (height, width, 3) BGR or (height, width) grey uint8 as the format of `suffix`, such as ".png".

    Args:
        frame_bgr: The image.
        suffix: Suffix with its dot.
        parameters: OpenCV parameters, such as (cv2.IMWRITE_JPEG_QUALITY, 80).

    Raises:
        DataError: OpenCV cannot write this format.
    """
    try:
        written, content = cv2.imencode(suffix, frame_bgr, parameters)
    except cv2.error as error:
        raise DataError(f"OpenCV cannot write {suffix!r} images; use .png or .jpg") from error
    if not written:
        raise DataError(f"OpenCV cannot write a {suffix!r} image of shape {frame_bgr.shape}")
    return content.tobytes()


def shrink_to_width(frame_bgr: Pixels, width: int) -> Pixels:
    """Scale an image down to at most `width` pixels wide."""
    if frame_bgr.shape[1] <= width:
        return frame_bgr
    height = max(1, round(frame_bgr.shape[0] * width / frame_bgr.shape[1]))
    return cast(Pixels, cv2.resize(frame_bgr, (width, height), interpolation=cv2.INTER_AREA))


def to_grey(frame_bgr: Pixels) -> Pixels:
    """Convert (height, width, 3) BGR to (height, width) grey by ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.

    Three equal channels keep their values exactly.
    """
    return cast(Pixels, cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY))


def in_colour(frame_bgr: Pixels, colour: InputColour) -> Pixels:
    """Convert a (height, width, 3) BGR frame to a network's colour: (height, width) grey, or (height, width, 3) RGB."""
    return to_grey(frame_bgr) if colour == "grey" else _swap_channels(frame_bgr)


def grey_of(face: Pixels) -> Pixels:
    """Convert a face, (height, width) grey or (height, width, 3) RGB, to grey like `to_grey`."""
    return face if face.ndim == 2 else to_grey(_swap_channels(face))


def bgr_of(face: Pixels) -> Pixels:
    """Convert an RGB face to BGR, for a file; a grey one is returned unchanged."""
    return face if face.ndim == 2 else _swap_channels(face)


def face_shape(size: int, colour: InputColour) -> tuple[int, ...]:
    """Return the shape of a face's pixels: (size, size) grey, or (size, size, 3) RGB."""
    return (size, size) if colour == "grey" else (size, size, 3)


def with_channels(faces: Pixels) -> Pixels:
    """Add the channel axis of a network's input: (n, height, width, 1) grey, or (n, height, width, 3) RGB."""
    return faces[..., None] if faces.ndim == 3 else faces


def _swap_channels(picture: Pixels) -> Pixels:
    """Swap the first and third channel, between BGR and RGB."""
    return cast(Pixels, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
