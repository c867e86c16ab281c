"""Where frames come from. What is not there at all is a SourceError; what is there but cannot be read is a DataError.

`frame` says what a frame and a source are; every other file is a kind of source, or a part of one. `reader` reads any
of them.
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
from fer_edge.sources.pictures import pictures as still_pictures

__all__ = ["Frame", "Source", "View", "find_source", "logged", "masked", "open_source"]

logged: Log = logging.getLogger("fer_edge").warning
"""What a Python program is told where it names nobody else."""

KINDS = (
    "a picture, a folder, a pattern in quotes ('photos/*.jpg'), a video file, the number of a camera, picam, "
    "rtsp://... or http://..., - (standard input) or fake"
)


def find_source(text: str, view: View | None = None, log: Log = logged) -> Source:
    """Log what a source is by its text; nothing is opened yet.

    Args:
        text: One of `KINDS`. What is there as a file or folder goes first: a camera beside a folder named 0 is
            /dev/video0, and a folder named fake is ./fake.
        view: How its frames are asked for.
        log: Is given a line for each picture that is left out because it cannot be read.

    Raises:
        SourceError: There is no such thing.
        UsageError: `view` asks for what this kind of source cannot do.
    """
    view, path = view or View(), Path(text)
    if is_address(text):
        checked(text)
        _accept("an address", view)
        return Source(masked(text), True, lambda: capture.stream(text, view))
    if text == "-":
        _accept("standard input", view, "size", "fps", "realtime")
        live = stdin.is_live()
        return _played(Source(stdin.NAME, live, lambda: stdin.standard_input(view)), view)
    if path.is_dir() and text:
        return _folder(text, view, log)
    if path.is_file():
        return _file(path, view, log)
    return _device(text, view, log)


def open_source(text: str, vid_stride: int = 1) -> Iterator[Frame]:
    """Find a source and open it at once, without a thread; every vid_stride-th frame of a video or camera.

    Raises:
        SourceError: There is no such thing.
        DataError: It cannot be read. From the iterator: the picture, or none of a folder's pictures, can be read.
    """
    return find_source(text, View(vid_stride=vid_stride)).open()


def _folder(text: str, view: View, log: Log) -> Source:
    pictures = _pictures(Path(text).iterdir())
    if not pictures:
        raise SourceError(f"{text}: no picture in this folder; name one that holds .jpg or .png files")
    return _stills(text, pictures, view, log)


def _file(path: Path, view: View, log: Log) -> Source:
    if is_picture(path):
        return _stills(path.name, [path], view, log)
    if path.suffix.lower() in capture.VIDEO_SUFFIXES:
        _accept("a video file", view, "loop", "realtime")
        return _played(Source(path.name, False, lambda: capture.video(path, view)), view)
    hint = "; a model goes behind --model" if path.suffix in (".keras", ".tflite", ".h5") else ""
    raise SourceError(f"{path}: neither a picture nor a video; --source takes {KINDS}{hint}")


def _device(text: str, view: View, log: Log) -> Source:
    """What is no file and no folder."""
    number = re.fullmatch(r"[0-9]{1,4}", text.strip(), re.ASCII)
    device = Path(f"/dev/video{number[0]}" if number else text.strip())
    if capture.is_camera(device):
        _accept("a camera", view, "size", "fps")
        return Source(capture.camera_name(device), True, lambda: capture.camera(device, view))
    if text == picam.NAME:
        _accept("a camera", view, "size", "fps")
        return Source(text, True, lambda: picam.picam(view))
    if text == "fake":
        _accept("drawn faces", view, "size", "fps", "realtime")
        return _played(Source(text, False, lambda: synthetic.drawn(view)), view)
    if Path(text).exists():  # a pipe would be waited for, without end
        raise SourceError(f"{text}: neither a file nor a folder; --source takes {KINDS}")
    if any(sign in text for sign in "*?["):
        pictures = _matching(Path(text).expanduser())
        if not pictures:
            raise SourceError(f"{text}: no picture has such a name; look what there is: ls {Path(text).parent}")
        return _stills(text, pictures, view, log)
    raise SourceError(f"{text}: no such file or folder; --source takes {KINDS}")


def _stills(name: str, paths: list[Path], view: View, log: Log) -> Source:
    _accept("pictures", view, "loop")
    return Source(name, False, lambda: still_pictures(name, paths, view, log), still=True)


def _pictures(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that are pictures and not hidden, in order."""
    return sorted(path for path in paths if is_picture(path) and not path.name.startswith("."))


def _matching(pattern: Path) -> list[Path]:
    """Pictures whose path matches; ** stands for any folders."""
    try:
        return _pictures(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError:  # such as a**b, which stands for nothing
        return []


def _played(source: Source, view: View) -> Source:
    """Let a video begin again, or come as if it were recorded just now."""
    if view.loop:
        once = source.open
        source = replace(source, open=lambda: playback.looped(once, view.vid_stride))
    if view.realtime:
        again = source.open
        source = replace(source, live=True, open=lambda: playback.paced(again()))
    return source


def _accept(kind: str, view: View, *known: str) -> None:
    """Refuse what this kind of source would have to leave aside without a word."""
    for field in ("size", "fps", "loop", "realtime"):
        if getattr(view, field) and field not in known:
            raise UsageError(f"--{field} is nothing for {kind}; leave it out")
