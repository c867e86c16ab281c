"""Where results go: a line for people, a line of JSON for programs, annotated pictures and videos."""

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from fer_edge.errors import FerEdgeError
from fer_edge.files import make_folder, replacing
from fer_edge.images import Pixels, write_picture
from fer_edge.recognizer import Result
from fer_edge.sources import Frame


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

    However the block ends, also by Ctrl-C, the video holds what was written until then.
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
        if self._video is not None:
            self._video.release()
        self._stack.close()

    def write(self, frame: Frame, picture: Pixels, stride: int = 1) -> None:
        """Write `picture`, the annotated `frame`; every `stride`-th frame of a video comes here.

        Raises:
            FerEdgeError: The file cannot be written, or would replace its own source.
        """
        video = frame.fps is not None
        name = frame.name.replace(" ", "-") if frame.path is None else frame.name
        path = self._folder / (f"{Path(name).stem}.mp4" if video else name)
        if frame.path is not None and path.exists() and path.samefile(frame.path):
            raise FerEdgeError(f"--save {self._folder} would write over {frame.path}; name another folder")
        self.written.add(path)
        if not video:
            write_picture(path, picture)
            return
        if self._video is None:
            self._video = self._open_video(path, picture, (frame.fps or 25.0) / stride)
        self._video.write(picture)

    def _open_video(self, path: Path, picture: Pixels, fps: float) -> cv2.VideoWriter:
        temporary = self._stack.enter_context(replacing(path))
        size_wh = (picture.shape[1], picture.shape[0])
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, size_wh)
        if not writer.isOpened():
            raise FerEdgeError(
                f"cannot write {path}: this OpenCV has no mp4 encoder; pip install opencv-python-headless"
            )
        return writer
