"""Save annotated images and videos to a folder."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.files import TEMPORARY, cannot_write, make_folder, replacing
from fer_edge.imaging.images import GREY_ONLY, Pixels, write_picture
from fer_edge.settings import SLOWEST_FPS
from fer_edge.sinks import Sink
from fer_edge.sinks.annotate import annotated
from fer_edge.sinks.codec import MPEG4, Codec, choose_codec, name_webm
from fer_edge.sources import logged
from fer_edge.sources.capture import require_utf8
from fer_edge.sources.frame import Frame
from fer_edge.tracking.pipeline import Result

SPARE = 16_000_000
"""Bytes that a video leaves free on the disk, so that it can be finished and the machine keeps working."""
SPARE_PER_FRAME = 32
"""Bytes per frame in addition: an .mp4 ends with an index of its frames."""
SEGMENT_S = 300.0
"""Seconds per video from a camera or stream, the most that a power cut can lose; 288 videos a day."""
LONGEST_GAP_S = 2.0
"""Seconds for which a frame is repeated until the next one; a longer gap is cut."""


class AnnotatedWriter(Sink):
    """Writes images under their own names, and the frames of a video or camera as .mp4, to a folder.

    A video file becomes one video. A camera, or whatever else is no file, becomes a video every `SEGMENT_S`, named
    after its source and when it begins. No older video is written over: a number is put behind the name. However the
    run ends, also by Ctrl-C, a video holds what was written until then; only if it is killed, or the power is cut, the
    last one is lost. A picture whose format holds no colour, a.pgm,
    becomes a.pgm.png.
    """

    def __init__(
        self,
        folder: Path,
        stride: int = 1,
        now: Callable[[], datetime] = datetime.now,
        log: Callable[[str], None] = logged,
    ) -> None:
        """Make the folder, and remove from it what killed runs left of their last videos.

        Args:
            folder: Where to write.
            stride: Every so many-th frame of a video will come.
            now: The clock on the wall.
            log: Is given a line where browsers will not play the videos.

        Raises:
            FerEdgeError: It cannot be created.
        """
        make_folder(folder)
        _remove_abandoned(folder)
        self.folder = folder
        self._stride, self._now, self._log = stride, now, log
        self._codec: Codec | None = None
        self._stack = ExitStack()
        self._video: _Video | None = None
        self._image_paths: dict[Path, Path] = {}
        self.written: set[Path] = set()
        """Files written so far."""

    def write(self, result: Result) -> None:
        """Write the annotated frame.

        Raises:
            FerEdgeError: The file cannot be written, the disk is full, the folder is gone or that of the source.
        """
        try:
            self._write(result)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _write(self, result: Result) -> None:
        frame = result.frame
        if frame.path is not None and _is_in(self.folder, frame.path):
            raise FerEdgeError(
                f"--save {self.folder} is the folder of {frame.path}, which would be overwritten; choose another folder"
            )
        picture = annotated(frame.bgr, result.faces)
        if frame.fps is None:
            path = self._image_path(frame)
            write_picture(path, picture)
            self.written.add(path)
            return
        if self._video and frame.path is None and abs(frame.t - self._video.first_t) >= SEGMENT_S:
            path = self._video.path
            self.close()
            _flush(path)
        video = self._video or self._begin(frame, picture)
        if _is_full(self.folder, video.frames_written):
            raise self._disk_full(video.path)
        video.add(picture, frame.t)

    def _image_path(self, frame: Frame) -> Path:
        """Return an image's output path; equal names from different folders get distinct paths."""
        source = frame.path or Path(frame.name)
        if source not in self._image_paths:
            self._image_paths[source] = _free(self.folder / _name(frame), self.written.__contains__)
        return self._image_paths[source]

    def _begin(self, frame: Frame, picture: Pixels) -> "_Video":
        """Open the next video."""
        fps = (frame.fps or 0.0) / self._stride
        self._codec = self._codec or choose_codec(picture, fps, self._log)
        stem = frame.path.stem if frame.path else f"{_file_stem(frame.name)}-{self._now():%Y%m%d-%H%M%S}"
        path = _free(self.folder / (stem + self._codec.suffix), Path.exists)
        writer = self._stack.enter_context(new_video(path, picture, fps, self._codec))
        self._video = _Video(writer, path, picture, fps, frame.t)
        self.written.add(path)
        return self._video

    def _disk_full(self, path: Path) -> FerEdgeError:
        """Finish the video while there is space; OpenCV does not report a full disk."""
        kept = "the video up to now can be played"
        try:
            self.close()
        except FerEdgeError:
            kept = "the video is lost"
        return FerEdgeError(
            f"cannot write {path}: only {SPARE / 1e6:.0f} MB left on its disk (df -h); {kept}; free space or choose "
            "another folder"
        )

    def close(self) -> None:
        """Finish the video.

        Raises:
            FerEdgeError: No frame of it was written.
        """
        video, self._video = self._video, None
        try:
            self._stack.close()
        except FerEdgeError:
            if video:
                self.written.discard(video.path)
            raise


class _Video:
    """Writes frames at a constant rate, which a camera does not have."""

    def __init__(self, writer: cv2.VideoWriter, path: Path, picture: Pixels, fps: float, t: float) -> None:
        self._writer, self._fps = writer, fps
        self.path = path
        self._size_wh = (picture.shape[1], picture.shape[0])
        self._begun = self.first_t = t
        self.frames_written = 0
        """Frames written."""

    def add(self, picture: Pixels, t: float) -> None:
        """Add an image of any size captured at `t` seconds; one that comes too early is dropped."""
        behind = (t - self._begun) * self._fps - self.frames_written
        longest = max(1.0, LONGEST_GAP_S * self._fps)
        if not -longest < behind < longest + 1:  # a lost camera or a clock that jumped: cut
            self._begun = t - self.frames_written / self._fps
            behind = 0.0
        # Small timing errors are ignored: one in, one out.
        times = 0 if behind <= -1 else max(1, int(behind))
        fitted = picture if times == 0 else _letterboxed(picture, self._size_wh)
        for _ in range(times):
            self._writer.write(fitted)
        self.frames_written += times


def _is_full(folder: Path, frames_written: int) -> bool:
    """Return whether a video of `frames_written` frames must be finished while there is space."""
    return shutil.disk_usage(folder).free < SPARE + SPARE_PER_FRAME * frames_written


def _letterboxed(picture: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """Resize an image, with black borders to keep its shape; OpenCV drops frames of another size."""
    height, width = picture.shape[:2]
    if (width, height) == size_wh:
        return picture
    scale = min(size_wh[0] / width, size_wh[1] / height)
    inner_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    left, top = (size_wh[0] - inner_wh[0]) // 2, (size_wh[1] - inner_wh[1]) // 2
    inner = cv2.resize(picture, inner_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[top : top + inner_wh[1], left : left + inner_wh[0]] = inner
    return cast(Pixels, canvas)


def _is_in(folder: Path, file: Path) -> bool:
    """Return whether `file` or its link target is in `folder`, following links."""
    return any(folder.samefile(parent) for parent in (file.parent, file.resolve().parent))


def _name(frame: Frame) -> str:
    """Return the file name of an annotated image."""
    if frame.path is None:
        return f"{_file_stem(frame.name)}.png"
    return f"{frame.path.name}.png" if frame.path.suffix.lower() in GREY_ONLY else frame.path.name


def _file_stem(name: str) -> str:
    """Turn the name of a camera or stream into a file name.

    >>> _file_stem("camera 0"), _file_stem("rtsp://***@10.0.0.9:554/live?channel=1")
    ('camera-0', 'rtsp-10.0.0.9-554-live-channel-1')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:100] or "camera"


def _remove_abandoned(folder: Path) -> None:
    """Remove unplayable videos, left without their end by a process that no longer runs."""
    for path in (path for suffix in (".mp4", ".mkv") for path in folder.glob(f"{TEMPORARY}*{suffix}")):
        with suppress(OSError), path.open("rb") as file:
            _lock(file.fileno())
            path.unlink()


def _lock(file: int) -> None:
    """Lock a file until it is closed or this process ends.

    Raises:
        OSError: Another process holds the lock, or the system has no file locks.
    """
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _flush(path: Path) -> None:
    """Flush a file to the disk now: a power cut must not lose two videos."""
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())


def _free(path: Path, is_taken: Callable[[Path], bool]) -> Path:
    """Return `path`, with a number appended if it is taken."""
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(name for name in names if not is_taken(name)) if is_taken(path) else path


@contextmanager
def new_video(path: Path, picture: Pixels, fps: float, codec: Codec = MPEG4) -> Iterator[cv2.VideoWriter]:
    """Open a video for frames like `picture`; when the block ends, it takes the place of `path` if it can be played.

    Raises:
        FerEdgeError: OpenCV cannot open it, or wrote no frame.
    """
    size_wh = (picture.shape[1], picture.shape[0])
    rate = float(f"{max(fps, SLOWEST_FPS):.4g}")  # MPEG-4 divides a second into at most 65,535 ticks
    require_utf8(path.parent)
    webm = path.suffix == ".webm"  # OpenCV writes it with an error on the terminal, and Matroska, its superset, without
    with replacing(path, ".mkv" if webm else None) as temporary, temporary.open("rb") as held:
        with suppress(OSError):
            _lock(held.fileno())
        writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec.fourcc), rate, size_wh)
        if not writer.isOpened():
            raise FerEdgeError(
                f"cannot write {path}: OpenCV makes no {path.suffix} of {size_wh[0]}x{size_wh[1]} pixels; between 2 "
                "and 8,191 of them a side, type: pip install --upgrade opencv-python-headless"
            )
        try:
            yield writer
        finally:
            writer.release()
        if not cv2.VideoCapture(str(temporary)).grab():  # OpenCV does not report a full disk
            raise FerEdgeError(f"cannot write {path}: no frame was written; check the disk: df -h")
        if webm:
            name_webm(temporary)
