"""Sources of frames. A missing source raises SourceError, an unreadable one DataError.

`frame` defines frames and sources; every other module is one kind of source, or a part of one. `reader` reads any.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fer_edge.errors import SourceError, UsageError
from fer_edge.imaging.images import is_picture
from fer_edge.settings import View
from fer_edge.sources import capture, picam, playback, stdin, synthetic
from fer_edge.sources.address import checked, is_address, masked
from fer_edge.sources.frame import Frame, Log, Source
from fer_edge.sources.pictures import pictures as image_frames

__all__ = ["Frame", "Source", "View", "find_source", "logged", "masked", "open_source"]

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
    view, path = view or View(), Path(text)
    if is_address(text):
        checked(text)
        _require_supported("an address", view)
        return Source(masked(text), True, lambda: capture.stream(text, view))
    if text == "-":
        _require_supported("standard input", view, "size", "fps", "realtime")
        live = stdin.is_live()
        return _with_playback(Source(stdin.NAME, live, lambda: stdin.standard_input(view)), view)
    if path.is_dir() and text:
        return _folder(text, view, log)
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


def _folder(text: str, view: View, log: Log) -> Source:
    pictures = _visible_images(Path(text).iterdir())
    if not pictures:
        raise SourceError(f"{text}: no images in this folder; give one with .jpg or .png files")
    return _image_source(text, pictures, view, log)


def _file(path: Path, view: View, log: Log) -> Source:
    if is_picture(path):
        return _image_source(path.name, [path], view, log)
    if path.suffix.lower() in capture.VIDEO_SUFFIXES:
        _require_supported("a video file", view, "loop", "realtime")
        return _with_playback(Source(path.name, False, lambda: capture.video(path, view)), view)
    hint = "; pass a model as --model" if path.suffix in (".keras", ".tflite", ".h5") else ""
    raise SourceError(f"{path}: neither an image nor a video; --source takes {KINDS}{hint}")


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
        pictures = _glob_images(Path(text).expanduser())
        if not pictures:
            raise SourceError(f"{text}: matches no image; list the folder: ls {Path(text).parent}")
        return _image_source(text, pictures, view, log)
    raise SourceError(f"{text}: no such file or folder; --source takes {KINDS}")


def _image_source(name: str, paths: list[Path], view: View, log: Log) -> Source:
    _require_supported("images", view, "loop")
    return Source(name, False, lambda: image_frames(name, paths, view, log), still=True)


def _visible_images(paths: Iterable[Path]) -> list[Path]:
    """Return the images among `paths` that are not hidden, sorted."""
    return sorted(path for path in paths if is_picture(path) and not path.name.startswith("."))


def _glob_images(pattern: Path) -> list[Path]:
    """Return the images that match a glob pattern, which may hold **."""
    try:
        return _visible_images(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError:  # an invalid pattern such as a**b
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
    """Reject options that this kind of source would ignore silently."""
    for field in ("size", "fps", "loop", "realtime"):
        if getattr(view, field) and field not in supported:
            raise UsageError(f"--{field} does not apply to {kind}; remove it")
