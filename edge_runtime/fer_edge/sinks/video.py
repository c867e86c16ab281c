"""Annotated pictures and videos in a folder."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import cv2
import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.files import TEMPORARY, cannot_write, make_folder, replacing
from fer_edge.imaging.images import GREY_ONLY, Pixels, write_picture
from fer_edge.settings import SLOWEST_FPS
from fer_edge.sinks import Sink
from fer_edge.sinks.annotate import annotated
from fer_edge.sources import logged
from fer_edge.sources.capture import require_utf8
from fer_edge.sources.frame import Frame
from fer_edge.tracking.pipeline import Result

SPARE = 16_000_000
"""Bytes of a disk that a video leaves free, so that its end can be written, and the machine goes on."""
SPARE_PER_FRAME = 32
"""And for each frame: an .mp4 ends in a table of where they are."""
SEGMENT_S = 300.0
"""Seconds of each video of what is no file: so much is lost at most where the power is cut. 288 videos a day."""
LONGEST_GAP_S = 2.0
"""A picture stands still in a video until the next one comes, but no longer than this."""


class AnnotatedWriter(Sink):
    """Writes pictures under their own names, and the frames of a video or camera as .mp4, into a folder.

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
            FerEdgeError: It cannot be made.
        """
        make_folder(folder)
        _remove_abandoned(folder)
        self.folder = folder
        self._stride, self._now, self._log = stride, now, log
        self._codec: Codec | None = None
        self._stack = ExitStack()
        self._video: _Video | None = None
        self._places: dict[Path, Path] = {}
        self.written: set[Path] = set()
        """Files written so far."""

    def write(self, result: Result) -> None:
        """Write the frame with its faces.

        Raises:
            FerEdgeError: The file cannot be written, the disk is full, the folder is gone or that of the source.
        """
        try:
            self._write(result)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _write(self, result: Result) -> None:
        frame = result.frame
        if frame.path is not None and _lies_in(self.folder, frame.path):
            raise FerEdgeError(
                f"--save {self.folder} is the folder of {frame.path} and would write over what it holds; name another"
            )
        picture = annotated(frame.bgr, result.faces)
        if frame.fps is None:
            path = self._place_of(frame)
            write_picture(path, picture)
            self.written.add(path)
            return
        if self._video and frame.path is None and abs(frame.t - self._video.first_t) >= SEGMENT_S:
            path = self._video.path
            self.close()
            _keep(path)
        video = self._video or self._begin(frame, picture)
        if _is_full(self.folder, video.shown):
            raise self._ended_by_full_disk(video.path)
        video.show(picture, frame.t)

    def _place_of(self, frame: Frame) -> Path:
        """Choose where a picture is written; of two with one name, from two folders, none takes the other's place."""
        source = frame.path or Path(frame.name)
        if source not in self._places:
            self._places[source] = _free(self.folder / _name(frame), self.written.__contains__)
        return self._places[source]

    def _begin(self, frame: Frame, picture: Pixels) -> "_Video":
        """Open the next video."""
        fps = (frame.fps or 0.0) / self._stride
        self._codec = self._codec or choose_codec(picture, fps, self._log)
        stem = frame.path.stem if frame.path else f"{_plain(frame.name)}-{self._now():%Y%m%d-%H%M%S}"
        path = _free(self.folder / (stem + self._codec.suffix), Path.exists)
        writer = self._stack.enter_context(new_video(path, picture, fps, self._codec))
        self._video = _Video(writer, path, picture, fps, frame.t)
        self.written.add(path)
        return self._video

    def _ended_by_full_disk(self, path: Path) -> FerEdgeError:
        """Finish the video while it can be done; OpenCV itself does not tell of a full disk."""
        kept = "what was saved until then can be played"
        try:
            self.close()
        except FerEdgeError:
            kept = "nothing of it could be kept"
        return FerEdgeError(
            f"cannot write {path}: its disk has only {SPARE / 1e6:.0f} MB left (df -h); make room there, or name "
            f"another folder; {kept}"
        )

    def close(self) -> None:
        """Finish the video.

        Raises:
            FerEdgeError: Nothing of it arrived.
        """
        video, self._video = self._video, None
        try:
            self._stack.close()
        except FerEdgeError:
            if video:
                self.written.discard(video.path)
            raise


class _Video:
    """Frames in their time: a video has as many a second from its beginning to its end, a camera does not."""

    def __init__(self, writer: cv2.VideoWriter, path: Path, picture: Pixels, fps: float, t: float) -> None:
        self._writer, self._fps = writer, fps
        self.path = path
        self._size_wh = (picture.shape[1], picture.shape[0])
        self._begun = self.first_t = t
        self.shown = 0
        """Frames so far."""

    def show(self, picture: Pixels, t: float) -> None:
        """Add a picture of any size that was seen at `t` seconds; one that comes too early is left out."""
        behind = (t - self._begun) * self._fps - self.shown
        longest = max(1.0, LONGEST_GAP_S * self._fps)
        if not -longest < behind < longest + 1:  # a camera that was lost, or a clock that jumped: cut
            self._begun = t - self.shown / self._fps
            behind = 0.0
        # Frames that come a little early or late are not evened out: one in, one out.
        times = 0 if behind <= -1 else max(1, int(behind))
        fitted = picture if times == 0 else _fitted(picture, self._size_wh)
        for _ in range(times):
            self._writer.write(fitted)
        self.shown += times


def _is_full(folder: Path, shown: int) -> bool:
    """Log whether a video of so many frames is to end, while its end can be written."""
    return shutil.disk_usage(folder).free < SPARE + SPARE_PER_FRAME * shown


def _fitted(picture: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """Bring a picture to a size, with black beside it where the shape is another; OpenCV would leave it out."""
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


def _lies_in(folder: Path, file: Path) -> bool:
    """Log whether `file`, or what it links to, lies in `folder`, which may have many names itself."""
    return any(folder.samefile(parent) for parent in (file.parent, file.resolve().parent))


def _name(frame: Frame) -> str:
    """File name for an annotated picture."""
    if frame.path is None:
        return f"{_plain(frame.name)}.png"
    return f"{frame.path.name}.png" if frame.path.suffix.lower() in GREY_ONLY else frame.path.name


def _plain(name: str) -> str:
    """Make a file name of the name of a camera or stream.

    >>> _plain("camera 0"), _plain("rtsp://***@10.0.0.9:554/live?channel=1")
    ('camera-0', 'rtsp-10.0.0.9-554-live-channel-1')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:100] or "camera"


def _remove_abandoned(folder: Path) -> None:
    """Remove videos that lack their end, which nobody can play, because who wrote them is no more."""
    for path in (path for suffix in (".mp4", ".webm") for path in folder.glob(f"{TEMPORARY}*{suffix}")):
        with suppress(OSError), path.open("rb") as file:
            _lock(file.fileno())
            path.unlink()


def _lock(file: int) -> None:
    """Hold a file until it is closed, or this process ends.

    Raises:
        OSError: Another process holds it, or this machine knows no such thing.
    """
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _keep(path: Path) -> None:
    """Have a file on the disk now, and not in half a minute: a power cut may cost one video, and not two."""
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())


def _free(path: Path, is_taken: Callable[[Path], bool]) -> Path:
    """Put a number behind the name where it is taken."""
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(name for name in names if not is_taken(name)) if is_taken(path) else path


class Codec(NamedTuple):
    """How a video is stored."""

    name: str
    fourcc: str
    suffix: str


BROWSERS_PLAY = Codec("H.264", "avc1", ".mp4"), Codec("VP9", "vp09", ".mp4"), Codec("VP8", "VP80", ".webm")
"""Best first. OpenCV's wheels have no H.264; their VP9 encodes 4 to 7 frames of 640x480 a second on two cores of an AMD
EPYC (Zen 4), VP8 27 to 35, MPEG-4 450 to 610."""
MPEG4 = Codec("MPEG-4", "mp4v", ".mp4")
TRIAL_S = 0.5
TRIAL_FRAMES = 12


def choose_codec(picture: Pixels, fps: float, log: Callable[[str], None]) -> Codec:
    """Take the first codec that browsers play and that this machine encodes as fast as `fps`, else MPEG-4, said so."""
    tried = []
    for codec in BROWSERS_PLAY:
        rate = _encoding_fps(codec, picture)
        if rate >= fps:
            return codec
        tried += [f"{codec.name} {rate:.0f}"] if rate else []
    found = (
        f"this machine encodes {', '.join(tried)} frames a second, {fps:.0f} come" if tried else "OpenCV has no other"
    )
    log(f"videos are saved as MPEG-4, which browsers do not play ({found})")
    return MPEG4


def _encoding_fps(codec: Codec, picture: Pixels) -> float:
    """Measure how many frames like `picture`, moving, are encoded a second; 0 where OpenCV has no such codec."""
    size_wh = (picture.shape[1], picture.shape[0])
    with TemporaryDirectory(prefix="fer-edge-") as folder:
        path = Path(folder) / f"trial{codec.suffix}"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec.fourcc), 25, size_wh)
        if not writer.isOpened():
            return 0.0
        begun, written = time.perf_counter(), 0
        while written < TRIAL_FRAMES and time.perf_counter() - begun < TRIAL_S:
            writer.write(np.roll(picture, 3 * written, axis=1))
            written += 1
        writer.release()  # encodes what is waiting
        return written / (time.perf_counter() - begun)


@contextmanager
def new_video(path: Path, picture: Pixels, fps: float, codec: Codec = MPEG4) -> Iterator[cv2.VideoWriter]:
    """Open a video for frames like `picture`; when the block ends, it takes the place of `path` if it can be played.

    Raises:
        FerEdgeError: OpenCV cannot open it, or what it wrote holds no frame.
    """
    size_wh = (picture.shape[1], picture.shape[0])
    rate = float(f"{max(fps, SLOWEST_FPS):.4g}")  # MPEG-4 counts time in at most 65,535 parts of a second
    require_utf8(path.parent)
    with replacing(path) as temporary, temporary.open("rb") as held:
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
        if not cv2.VideoCapture(str(temporary)).grab():  # OpenCV does not tell of a full disk
            raise FerEdgeError(f"cannot write {path}: no frame of it arrived; is the disk full? (df -h)")
