"""Reading and writing pictures, and the one place where colours are converted."""

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
"""What a network looks at; frames and files are BGR, as OpenCV has them."""
CHANNELS: dict[InputColour, int] = {"grey": 1, "rgb": 3}
COLOUR_NAMES: dict[InputColour, str] = {"grey": "grey", "rgb": "RGB"}
"""What people call them."""

JPEG, END = b"\xff\xd8", b"\xff\xd9"
"""First and last bytes of a JPEG file."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
SUFFIXES |= {".jp2", ".avif", ".gif"}
GREY_ONLY = frozenset({".pgm"})
"""Those of `SUFFIXES` that hold no colour."""


def is_picture(path: Path) -> bool:
    """Log by its suffix whether `path` is a picture."""
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
    """Read a picture file, turned upright by its EXIF tag.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        DataError: The file is missing, empty, cut short, no picture, or larger than OpenCV may open.
    """
    return decode_picture(read_content(path), str(path))


def read_content(path: Path) -> bytes:
    """Read the bytes of a picture file, for whoever needs their digest too; `decode_picture` turns them into pixels.

    Raises:
        DataError: The file is missing, empty, or a folder, pipe or device.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe named face.png would be waited for, without end
            raise DataError(f"{path}: not a file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    if not content:
        raise DataError(f"{path}: the file is empty")
    return content


def decode_picture(content: bytes, name: str) -> Pixels:
    """Decode a picture held in memory; `name` stands for it in the error.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        DataError: `content` is no picture, cut short, or larger than OpenCV may open.
    """
    if is_cut_short(content):
        raise DataError(f"{name}: the picture is cut short; copy it again")
    try:
        frame_bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "PIXELS" in str(error) or "MAX_IMAGE" in str(error):
            raise DataError(f"{name}: more than 64 million pixels; make it smaller first") from error
        raise DataError(f"{name}: not a picture that OpenCV can read") from error
    if frame_bgr is None:
        raise DataError(f"{name}: not a picture that OpenCV can read")
    return cast(Pixels, frame_bgr)


def is_cut_short(content: bytes) -> bool:
    """Log whether a JPEG or PNG lacks its end; OpenCV fills the rest with grey and says nothing.

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
    """Find where a JPEG's pixels begin; a thumbnail in a segment before that has an end mark of its own."""
    position = 2
    while True:
        position = jpeg.find(b"\xff", position)
        if not 0 <= position < len(jpeg) - 3:
            return None
        marker = jpeg[position + 1]
        if marker == 0xDA:
            return position
        if marker == 0xFF:  # filling
            position += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD9:  # marks without a segment
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")


def _has_last_chunk(png: bytes) -> bool:
    """Walk a PNG's chunks until its last one; what other programs append behind that is none of its own."""
    position = 8
    while position + 8 <= len(png):
        if png[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(png[position : position + 4], "big")  # length, name, content, checksum
    return False


def write_picture(path: Path, frame_bgr: Pixels) -> None:
    """Write uint8 (height, width, 3) BGR or (height, width) grey in the format of `path`'s suffix, whole or not at all.

    Raises:
        FerEdgeError: The file cannot be written.
    """
    write_bytes(path, encode_picture(frame_bgr, path.suffix))


def encode_picture(frame_bgr: Pixels, suffix: str, parameters: tuple[int, ...] = ()) -> bytes:
    """Encode (height, width, 3) BGR or (height, width) grey uint8 as the format of `suffix`, such as ".png".

    Args:
        frame_bgr: The picture.
        suffix: With its dot.
        parameters: OpenCV's, such as (cv2.IMWRITE_JPEG_QUALITY, 80).

    Raises:
        DataError: OpenCV writes no such format.
    """
    try:
        written, content = cv2.imencode(suffix, frame_bgr, parameters)
    except cv2.error as error:
        raise DataError(f"OpenCV writes no {suffix!r} pictures; use .png or .jpg") from error
    if not written:
        raise DataError(f"OpenCV could not write a {suffix!r} picture of shape {frame_bgr.shape}")
    return content.tobytes()


def no_wider_than(frame_bgr: Pixels, width: int) -> Pixels:
    """Make a picture smaller where it is wider than `width` pixels."""
    if frame_bgr.shape[1] <= width:
        return frame_bgr
    height = max(1, round(frame_bgr.shape[0] * width / frame_bgr.shape[1]))
    return cast(Pixels, cv2.resize(frame_bgr, (width, height), interpolation=cv2.INTER_AREA))


def to_grey(frame_bgr: Pixels) -> Pixels:
    """Turn (height, width, 3) BGR into (height, width) grey by ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.

    A picture that is grey already (three equal channels) keeps its values exactly.
    """
    return cast(Pixels, cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY))


def in_colour(frame_bgr: Pixels, colour: InputColour) -> Pixels:
    """Turn a (height, width, 3) BGR frame into what a network sees: (height, width) grey, or (height, width, 3) RGB."""
    return to_grey(frame_bgr) if colour == "grey" else _swapped(frame_bgr)


def grey_of(face: Pixels) -> Pixels:
    """Turn a face, (height, width) grey or (height, width, 3) RGB, into grey as `to_grey` does."""
    return face if face.ndim == 2 else to_grey(_swapped(face))


def bgr_of(face: Pixels) -> Pixels:
    """Turn an RGB face into BGR, as a file wants it; a grey one stays as it is."""
    return face if face.ndim == 2 else _swapped(face)


def face_shape(size: int, colour: InputColour) -> tuple[int, ...]:
    """Shape of a face's pixels: (size, size) grey, or (size, size, 3) RGB."""
    return (size, size) if colour == "grey" else (size, size, 3)


def with_channels(faces: Pixels) -> Pixels:
    """Give n faces the axes of a network's input: (n, height, width, 1) grey, or (n, height, width, 3) RGB."""
    return faces[..., None] if faces.ndim == 3 else faces


def _swapped(picture: Pixels) -> Pixels:
    """Swap the first and third channel: BGR to RGB, and back."""
    return cast(Pixels, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
