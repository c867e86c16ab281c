"""Images: a file, a folder, or the matches of a pattern."""

import time
from collections.abc import Iterator
from pathlib import Path

from fer_edge.errors import DataError
from fer_edge.imaging.images import decode_picture, read_picture
from fer_edge.settings import View
from fer_edge.sources.address import redact
from fer_edge.sources.frame import Frame, Log, rotate_frame
from fer_edge.sources.web import fetched


def picture(path: Path, view: View, index: int = 0) -> Frame:
    """Read one image.

    Raises:
        DataError: It cannot be read.
    """
    begun = time.perf_counter()
    frame_bgr = rotate_frame(read_picture(path), view)
    captured = time.perf_counter()
    return Frame(str(path), index, 0.0, frame_bgr, 1000 * (captured - begun), captured, path)


def fetched_picture(address: str, view: View) -> Iterator[Frame]:
    """Load one picture from an http:// or https:// address.

    Raises:
        SourceError: Nothing comes from there.
        DataError: It is no picture.
    """
    begun, name = time.perf_counter(), redact(address)
    frame_bgr = rotate_frame(decode_picture(fetched(address), name), view)
    captured = time.perf_counter()
    yield Frame(name, 0, 0.0, frame_bgr, 1000 * (captured - begun), captured)


def pictures(name: str, paths: list[Path], view: View, log: Log) -> Iterator[Frame]:
    """Read images in order; an unreadable one is logged once and skipped.

    Raises:
        DataError: None of them can be read.
    """
    index, logged = 0, set[Path]()
    while True:
        unreadable = 0
        for path in paths:
            try:
                frame = picture(path, view, index)
            except DataError as error:
                if len(paths) == 1:
                    raise
                unreadable += 1
                if path not in logged:
                    log(f"skipped: {error}")
                logged.add(path)
            else:
                yield frame
            index += 1
        if unreadable == len(paths):
            raise DataError(f"{name}: none of its {len(paths)} images can be read")
        if not view.loop:
            break
    if unreadable:
        log(f"{unreadable} of {len(paths)} images could not be read")
