"""Where results go: a line for people, a line of JSON for programs, annotated pictures and videos."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from fer_edge.errors import FerEdgeError
from fer_edge.files import make_folder, replacing
from fer_edge.images import GREY_ONLY, Pixels, write_picture
from fer_edge.recognizer import Result
from fer_edge.sources import SLOWEST_FPS, Frame, require_utf8


def as_text(frame: Frame, result: Result) -> str:
    """One short line: what was found where."""
    place = frame.name if frame.fps is None else f"{frame.name} {frame.t:.2f} s"
    faces = ", ".join(f"{face.label} {face.score:.2f}" for face in result.faces)
    return f"{place}: {faces or 'no face'}"


def as_json(frame: Frame, result: Result) -> dict[str, Any]:
    """What `run --json` prints for one frame.

    `id` numbers the faces within their frame, from 0: faces are not followed from frame to frame yet, and `stable`
    only says that the label is not "uncertain". `total` is the sum of all stages, capture included.
    """
    ms = {"capture": frame.capture_ms, **result.ms}
    ms["total"] = frame.capture_ms + result.ms["total"]
    return {
        "source": frame.name,
        "t": round(frame.t, 3),
        "frame": frame.index,
        "age_ms": round(1000 * (time.perf_counter() - frame.captured), 2),
        "faces": [
            {
                "id": number,
                "box": list(face.box),
                "label": face.label,
                "score": round(face.score, 4),
                "probs": {label: round(probability, 4) for label, probability in face.probabilities.items()},
                "stable": face.certain,
                "detection_score": round(face.detection_score, 4),
            }
            for number, face in enumerate(result.faces)
        ],
        "ms": {stage: round(milliseconds, 3) for stage, milliseconds in ms.items()},
    }


class Saver:
    """Writes pictures under their own names, and the frames of a video or camera as one .mp4, into a folder.

    However the block ends, also by Ctrl-C, the video holds what was written until then; an older one of the same name
    gives way only to one that can be played. A picture whose format holds no colour, a.pgm, becomes a.pgm.png.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when the block begins."""
        self._folder = folder
        self._stack = ExitStack()
        self._video: cv2.VideoWriter | None = None
        self.written: set[Path] = set()
        """Files written so far."""

    def __enter__(self) -> "Saver":
        make_folder(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def write(self, frame: Frame, picture: Pixels, stride: int = 1) -> None:
        """Write `picture`, the annotated `frame`; every `stride`-th frame of a video comes here.

        Raises:
            FerEdgeError: The file cannot be written, or the folder is that of the source.
        """
        if frame.path is not None and _lies_in(self._folder, frame.path):
            raise FerEdgeError(
                f"--save {self._folder} is the folder of {frame.path} and would write over what it holds; name another"
            )
        path = self._folder / _name(frame)
        if frame.fps is None:
            write_picture(path, picture)
        else:
            if self._video is None:
                self._video = self._stack.enter_context(new_video(path, picture, frame.fps / stride))
            self._video.write(picture)
        self.written.add(path)


def _lies_in(folder: Path, file: Path) -> bool:
    """Tell whether `file`, or what it links to, lies in `folder`, which may have many names itself."""
    return any(folder.samefile(parent) for parent in (file.parent, file.resolve().parent))


def _name(frame: Frame) -> str:
    """File name for an annotated frame."""
    if frame.path is None:
        return f"{frame.name.replace(' ', '-')}.mp4"
    if frame.fps is not None:
        return f"{frame.path.stem}.mp4"
    return f"{frame.name}.png" if frame.path.suffix.lower() in GREY_ONLY else frame.name


@contextmanager
def new_video(path: Path, picture: Pixels, fps: float) -> Iterator[cv2.VideoWriter]:
    """Open an .mp4 for frames like `picture`; when the block ends, it takes the place of `path` if it can be played.

    Raises:
        FerEdgeError: OpenCV cannot open it, or what it wrote holds no frame.
    """
    size_wh = (picture.shape[1], picture.shape[0])
    rate = float(f"{max(fps, SLOWEST_FPS):.4g}")  # MPEG-4 counts time in at most 65,535 parts of a second
    require_utf8(path.parent)
    with replacing(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), rate, size_wh)
        if not writer.isOpened():
            raise FerEdgeError(
                f"cannot write {path}: OpenCV makes no .mp4 of {size_wh[0]}x{size_wh[1]} pixels; between 2 and 8,191 "
                "of them a side, type: pip install --upgrade opencv-python-headless"
            )
        try:
            yield writer
        finally:
            writer.release()
        if not cv2.VideoCapture(str(temporary)).grab():  # OpenCV does not tell of a full disk
            raise FerEdgeError(f"cannot write {path}: no frame of it arrived; is the disk full? (df -h)")
