"""Sources of frames. A missing source raises SourceError, an unreadable one DataError.

`frame` defines frames and sources; every other module is one kind of source, or a part of one. `reader` reads any.
"""

import logging
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fer_edge.errors import SourceError, UsageError
from fer_edge.files import expanded
from fer_edge.imaging.images import VIDEO_SUFFIXES, holds_picture, is_heic, is_picture
from fer_edge.settings import View
from fer_edge.sources import capture, picam, playback, stdin, synthetic
from fer_edge.sources.address import checked, is_address, redact
from fer_edge.sources.frame import Frame, Log, Source
from fer_edge.sources.pictures import fetched_picture
from fer_edge.sources.pictures import pictures as image_frames
from fer_edge.sources.web import kind_of

__all__ = ["Frame", "Source", "View", "find_source", "logged", "open_source", "redact"]

logged: Log = logging.getLogger("fer_edge").warning
"""The default log of the Python API."""

KINDS = (
    "an image, a folder, a quoted pattern ('photos/*.jpg'), a video file, a camera number, picam, "
    "rtsp://... or http://..., - (standard input) or fake"
)


def find_source(text: str, view: View | None = None, log: Log = logged) -> Source:
    """Identify a source from its text, without opening it.

    Args:
        text: One of `KINDS`. An existing file or folder takes precedence; beside a folder named 0, camera 0 is
            /dev/video0.
        view: How frames are requested and transformed.
        log: Called with a line for each image that is skipped because it cannot be read.

    Raises:
        SourceError: There is no such source.
        UsageError: `view` requests what this kind of source cannot do.
    """
    view, path = view or View(), expanded(Path(text))
    if is_address(text):
        return _address(text, view, log)
    if text == "-":
        _require_supported("standard input", view, "live", "size", "fps", "realtime")
        return _with_playback(Source(stdin.NAME, bool(view.live), lambda: stdin.standard_input(view, log)), view)
    if path.is_dir() and text:
        return _folder(path, view, log)
    if path.is_file():
        return _file(path, view, log)
    return _device(text, view, log)


def open_source(text: str, vid_stride: int = 1) -> Iterator[Frame]:
    """Open a source without a reading thread, and return every vid_stride-th frame of a video or camera.

    Raises:
        SourceError: There is no such source.
        DataError: It cannot be read; for images, raised by the iterator.
    """
    return find_source(text, View(vid_stride=vid_stride)).open()


def _address(text: str, view: View, log: Log) -> Source:
    """A stream, or a video or picture behind http://, which is read to its end, once."""
    checked(text)
    name, kind = redact(text), kind_of(text) if view.live is None else "live" if view.live else "recorded"
    if kind == "picture":
        _require_supported("an image", view, "live")
        return Source(name, False, lambda: fetched_picture(text, view), still=True)
    if kind == "recorded":
        _require_supported("a video", view, "live", "loop", "realtime")
        return _with_playback(Source(name, False, lambda: capture.recorded(text, view, log)), view)
    _require_supported("an address", view, "live")
    return Source(name, True, lambda: capture.stream(text, view))


def _folder(path: Path, view: View, log: Log) -> Source:
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    pictures = [entry for entry in entries if _is_picture(entry)]
    others = Counter(_kind(entry) for entry in entries if entry not in set(pictures))
    left_out = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(others.items()))
    if not pictures:
        found = f" (but {left_out})" if left_out else ""
        raise SourceError(f"{path}: no images in this folder{found}; use one with .jpg or .png files")
    if left_out:
        log(f"{path}: skipped {left_out}; to read subfolders, type: --source '{path}/**/*.jpg'")
    return _image_source(str(path), pictures, view, log)


def _kind(path: Path) -> str:
    """What a file that is no picture is, for people."""
    if path.is_dir():
        return "subfolder"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "video"
    return "HEIC image" if path.is_file() and is_heic(path) else "other file"


def _file(path: Path, view: View, log: Log) -> Source:
    if _is_picture(path):
        return _image_source(str(path), [path], view, log)
    if is_heic(path):
        command = f"heif-convert {shlex.quote(str(path))} picture.jpg"
        raise SourceError(
            f"{path}: a HEIC image, which OpenCV does not read; convert it: {command} (sudo apt-get install "
            "libheif-examples)"
        )
    if path.suffix.lower() in VIDEO_SUFFIXES or capture.opens(path):
        _require_supported("a video file", view, "loop", "realtime")
        return _with_playback(Source(str(path), False, lambda: capture.video(path, view, log)), view)
    hint = "; pass a model as --model" if path.suffix in (".keras", ".tflite", ".h5") else ""
    raise SourceError(f"{path}: neither an image nor a video; --source takes {KINDS}{hint}")


def _is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its content, or, so that a damaged one is reported, by its name."""
    if not path.is_file() or path.suffix.lower() in VIDEO_SUFFIXES:  # MJPEG begins like a picture
        return False
    return is_picture(path) or holds_picture(path)


def _device(text: str, view: View, log: Log) -> Source:
    """Identify a source that is neither a file nor a folder."""
    number = re.fullmatch(r"[0-9]{1,4}", text.strip(), re.ASCII)
    device = Path(f"/dev/video{number[0]}" if number else text.strip())
    if capture.is_camera(device):
        _require_supported("a camera", view, "size", "fps")
        return Source(capture.camera_name(device), True, lambda: capture.camera(device, view))
    if text == picam.NAME:
        _require_supported("a camera", view, "size", "fps")
        return Source(text, True, lambda: picam.picam(view))
    if text == "fake":
        _require_supported("drawn faces", view, "size", "fps", "realtime")
        return _with_playback(Source(text, False, lambda: synthetic.drawn(view)), view)
    if Path(text).exists():  # reading a named pipe would block forever
        raise SourceError(f"{text}: neither a file nor a folder; --source takes {KINDS}")
    if any(sign in text for sign in "*?["):
        pictures = _matching(expanded(Path(text)))
        if not pictures:
            raise SourceError(f"{text}: matches no image; list the folder: ls {Path(text).parent}")
        return _image_source(text, pictures, view, log)
    raise SourceError(f"{text}: no such file or folder; --source takes {KINDS}")


def _image_source(name: str, paths: list[Path], view: View, log: Log) -> Source:
    _require_supported("images", view, "loop")
    return Source(name, False, lambda: image_frames(name, paths, view, log), still=True)


def _matching(pattern: Path) -> list[Path]:
    """Pictures whose path matches; ** stands for any folders."""
    try:
        found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
        return sorted(path for path in found if not path.name.startswith(".") and _is_picture(path))
    except ValueError:  # such as a**b, which stands for nothing
        return []


def _with_playback(source: Source, view: View) -> Source:
    """Apply --loop and --realtime to a video."""
    if view.loop:
        once = source.open
        source = replace(source, open=lambda: playback.looped(once, view.vid_stride))
    if view.realtime:
        again = source.open
        source = replace(source, live=True, open=lambda: playback.paced(again()))
    return source


def _require_supported(kind: str, view: View, *supported: str) -> None:
    """Refuse options that this kind of source does not support.

    Raises:
        UsageError: One is set.
    """
    if view.vid_stride > 1 and kind in ("images", "an image"):
        raise UsageError(f"--vid-stride does not apply to {kind}; remove it")
    for field in ("live", "size", "fps", "loop", "realtime"):
        if getattr(view, field) not in (None, False) and field not in supported:
            raise UsageError(f"--{field} does not apply to {kind}; remove it")
