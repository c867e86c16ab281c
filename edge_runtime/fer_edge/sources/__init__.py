"""Where frames come from. What is not there at all is a SourceError; what is there but cannot be read is a DataError.

`frame` says what a frame and a source are; every other file is a kind of source, or a part of one. `reader` reads any
of them.
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
from fer_edge.imaging.images import holds_picture, is_heic, is_picture
from fer_edge.settings import View
from fer_edge.sources import capture, picam, playback, stdin, synthetic
from fer_edge.sources.address import checked, is_address, masked
from fer_edge.sources.frame import Frame, Log, Source
from fer_edge.sources.pictures import fetched_picture
from fer_edge.sources.pictures import pictures as still_pictures
from fer_edge.sources.web import kind_of

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
    view, path = view or View(), expanded(Path(text))
    if is_address(text):
        return _address(text, view, log)
    if text == "-":
        _accept("standard input", view, "live", "size", "fps", "realtime")
        return _played(Source(stdin.NAME, bool(view.live), lambda: stdin.standard_input(view, log)), view)
    if path.is_dir() and text:
        return _folder(path, view, log)
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


def _address(text: str, view: View, log: Log) -> Source:
    """A stream, or a video or picture behind http://, which is read to its end, once."""
    checked(text)
    name, kind = masked(text), kind_of(text) if view.live is None else "live" if view.live else "recorded"
    if kind == "picture":
        _accept("a picture", view, "live")
        return Source(name, False, lambda: fetched_picture(text, view), still=True)
    if kind == "recorded":
        _accept("a video", view, "live", "loop", "realtime")
        return _played(Source(name, False, lambda: capture.recorded(text, view, log)), view)
    _accept("an address", view, "live")
    return Source(name, True, lambda: capture.stream(text, view))


def _folder(path: Path, view: View, log: Log) -> Source:
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    pictures = [entry for entry in entries if _is_picture(entry)]
    others = Counter(_kind(entry) for entry in entries if entry not in set(pictures))
    left_out = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(others.items()))
    if not pictures:
        found = f" (but {left_out})" if left_out else ""
        raise SourceError(f"{path}: no picture in this folder{found}; name one that holds .jpg or .png files")
    if left_out:
        log(f"{path}: left out {left_out}; a folder's pictures only are read, without subfolders: '{path}/**/*.jpg'")
    return _stills(str(path), pictures, view, log)


def _kind(path: Path) -> str:
    """What a file that is no picture is, for people."""
    if path.is_dir():
        return "subfolder"
    if path.suffix.lower() in capture.VIDEO_SUFFIXES:
        return "video"
    return "HEIC picture" if path.is_file() and is_heic(path) else "other file"


def _file(path: Path, view: View, log: Log) -> Source:
    if _is_picture(path):
        return _stills(str(path), [path], view, log)
    if is_heic(path):
        command = f"heif-convert {shlex.quote(str(path))} picture.jpg"
        raise SourceError(
            f"{path}: a HEIC picture, which OpenCV does not read; convert it: {command} (sudo apt-get install "
            "libheif-examples)"
        )
    if path.suffix.lower() in capture.VIDEO_SUFFIXES or capture.opens(path):
        _accept("a video file", view, "loop", "realtime")
        return _played(Source(str(path), False, lambda: capture.video(path, view, log)), view)
    hint = "; a model goes behind --model" if path.suffix in (".keras", ".tflite", ".h5") else ""
    raise SourceError(f"{path}: neither a picture nor a video; --source takes {KINDS}{hint}")


def _is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its content, or, so that a damaged one is reported, by its name."""
    if not path.is_file() or path.suffix.lower() in capture.VIDEO_SUFFIXES:  # MJPEG begins like a picture
        return False
    return is_picture(path) or holds_picture(path)


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
        pictures = _matching(expanded(Path(text)))
        if not pictures:
            raise SourceError(f"{text}: no picture has such a name; look what there is: ls {Path(text).parent}")
        return _stills(text, pictures, view, log)
    raise SourceError(f"{text}: no such file or folder; --source takes {KINDS}")


def _stills(name: str, paths: list[Path], view: View, log: Log) -> Source:
    _accept("pictures", view, "loop")
    return Source(name, False, lambda: still_pictures(name, paths, view, log), still=True)


def _matching(pattern: Path) -> list[Path]:
    """Pictures whose path matches; ** stands for any folders."""
    try:
        found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
        return sorted(path for path in found if not path.name.startswith(".") and _is_picture(path))
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
    if view.vid_stride > 1 and kind in ("pictures", "a picture"):
        raise UsageError(f"--vid-stride is nothing for {kind}; leave it out")
    for field in ("live", "size", "fps", "loop", "realtime"):
        if getattr(view, field) not in (None, False) and field not in known:
            raise UsageError(f"--{field} is nothing for {kind}; leave it out")
