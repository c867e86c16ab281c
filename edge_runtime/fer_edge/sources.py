"""Where frames come from: a picture, a folder of pictures, a video file, a camera.

What is not there at all is a SourceError; what is there but cannot be read is a DataError.
"""

import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2

from fer_edge.console import console
from fer_edge.errors import DataError, SourceError
from fer_edge.images import Pixels, is_picture, read_picture

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv", ".3gp"})
KINDS = "a picture, a folder of pictures, a video file or a camera number"
SLOWEST_FPS, FASTEST_FPS = 0.1, 1000.0
"""A frame rate outside these is no frame rate: files without one say 0, 90000 (the clock of MPEG) or what they like."""


@dataclass(frozen=True)
class Frame:
    """One picture of a source."""

    name: str
    """File name, or "camera 0"."""
    index: int
    """Number within the source, from 0; skipped frames count."""
    t: float
    """Seconds since the video's or the camera's beginning; 0 for a picture."""
    bgr: Pixels
    """(height, width, 3) uint8 BGR."""
    capture_ms: float
    """How long reading and decoding took; for a camera also the wait for the next frame."""
    captured: float
    """`time.perf_counter()` when the frame was there."""
    path: Path | None = None
    """Its file; None for a camera."""
    fps: float | None = None
    """Frames per second of the video or camera, a believable number; None for a picture."""


def open_source(text: str, stride: int = 1) -> Iterator[Frame]:
    """Open a source at once, and read its frames one by one.

    Args:
        text: Path of a picture, a folder or a video file, or the number of a camera (also /dev/videoN). What is there
            goes first: a camera beside a folder named 0 is /dev/video0.
        stride: Take every stride-th frame of a video or camera.

    Raises:
        SourceError: There is no such thing.
        DataError: It cannot be read. From the iterator: the picture, or none of a folder's pictures, can be read.
    """
    camera = re.fullmatch(r"(?:/dev/video)?([0-9]{1,4})", text.strip())
    path = Path(text)
    if path.is_dir():
        pictures = sorted(entry for entry in path.iterdir() if is_picture(entry) and not entry.name.startswith("."))
        if not pictures:
            raise SourceError(f"{text}: no picture in this folder; name one that holds .jpg or .png files")
        return _pictures(path, pictures)
    if camera and not path.is_file():
        return _camera(int(camera[1]), stride)
    if not path.exists():
        raise SourceError(f"{text}: no such file or folder; --source takes {KINDS}")
    if not path.is_file():  # a pipe would be waited for, without end
        raise SourceError(f"{text}: neither a file nor a folder; --source takes {KINDS}")
    if is_picture(path):
        return iter([_picture(path, 0)])
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _video(path, stride)
    hint = "; a model goes behind --model" if path.suffix in (".keras", ".tflite", ".h5") else ""
    raise SourceError(f"{text}: neither a picture nor a video; --source takes {KINDS}{hint}")


def _picture(path: Path, index: int) -> Frame:
    begun = time.perf_counter()
    frame_bgr = read_picture(path)
    captured = time.perf_counter()
    return Frame(path.name, index, 0.0, frame_bgr, 1000 * (captured - begun), captured, path)


def _pictures(folder: Path, paths: list[Path]) -> Iterator[Frame]:
    """Read pictures one after another; one that cannot be read gets a line and is left out."""
    unreadable = 0
    for index, path in enumerate(paths):
        try:
            frame = _picture(path, index)
        except DataError as error:
            unreadable += 1
            console.print(f"left out: {error}")
            continue
        yield frame
    if unreadable == len(paths):
        raise DataError(f"{folder}: none of its {len(paths)} pictures can be read")
    if unreadable:
        console.print(f"{unreadable} of {len(paths)} pictures could not be read")


def _video(path: Path, stride: int) -> Iterator[Frame]:
    require_utf8(path)
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened() or not capture.grab():
        command = f"ffmpeg -i {shlex.quote(str(path))} converted.mp4"
        raise DataError(f"{path}: OpenCV cannot read this video; convert it: {command}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 25)
    return _frames(capture, path.name, fps, stride, path)


def _camera(number: int, stride: int) -> Iterator[Frame]:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened() or not capture.grab():
        raise SourceError(f"camera {number} does not open; {_camera_hint(number)}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 30)
    return _frames(capture, f"camera {number}", fps, stride, None)


def _camera_hint(number: int) -> str:
    devices = sorted(str(device) for device in Path("/dev").glob("video*"))
    if not devices:
        return f"this machine has no /dev/video*: plug one in, or type: --source FILE ({KINDS})"
    if f"/dev/video{number}" not in devices:
        return f"there are {', '.join(devices)}; type: --source {re.sub('[^0-9]', '', devices[0])}"
    return (
        f"there are {', '.join(devices)}; another program may hold it (fuser /dev/video{number}), you may lack the "
        "right to it (sudo usermod -aG video $USER, then log in again), or it gives no pictures (--source N)"
    )


def _frames(capture: cv2.VideoCapture, name: str, fps: float, stride: int, path: Path | None) -> Iterator[Frame]:
    """Read a capture whose first frame has been grabbed already."""
    opened = begun = time.perf_counter()
    index = 0
    try:
        while True:
            if index % stride == 0:
                there, frame_bgr = capture.retrieve()
                captured = time.perf_counter()
                t = index / fps if path else captured - opened
                if there:
                    pixels = cast(Pixels, frame_bgr)
                    yield Frame(name, index, t, pixels, 1000 * (captured - begun), captured, path, fps)
                begun = time.perf_counter()
            if not capture.grab():
                return
            index += 1
    finally:
        capture.release()


def believable_fps(stated: float, otherwise: float) -> float:
    """Take the frame rate that a file or camera states, or, where it cannot be one, `otherwise`.

    >>> believable_fps(29.97, 25), believable_fps(0, 25), believable_fps(float("nan"), 25)
    (29.97, 25, 25)
    """
    return stated if SLOWEST_FPS <= stated <= FASTEST_FPS else otherwise


def require_utf8(path: Path) -> None:
    """Refuse a path on which OpenCV's videos would crash the whole process.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: OpenCV opens no video whose path is not UTF-8; rename it") from error
