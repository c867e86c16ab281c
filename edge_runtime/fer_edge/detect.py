"""Finding the faces of a frame. Every detector answers in fer-edge's framing, which is YuNet's (`fer_edge.crop`)."""

from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

import cv2
import cv2.data

from fer_edge import yunet
from fer_edge.console import console
from fer_edge.crop import Box, reframed, whole
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.images import Pixels, to_grey

Choice = Literal["auto", "yunet", "haar", "none"]

CONFIDENCE = 0.6
"""YuNet's score from which on something counts as a face; 0.5 finds 0.3 points more of ExpW's faces, and 10 % more
boxes."""

YUNET_SIDE = 480
HAAR_SIDE = 416
"""Longer side, in pixels, of what the detector sees. Share of ExpW's 1,565 labelled faces that YuNet finds at
confidence 0.6: 0.896 at 240, 0.919 at 320, 0.932 at 416, 0.939 at 480, 0.934 at 640; Haar 0.591 at 416.
benchmarks/detector_recall.py measures the sizes in use."""

MAX_ENLARGED = 2.0
"""Small pictures are enlarged by no more than this: beyond it there is nothing new to see."""


class Detection(NamedTuple):
    """A face that a detector found."""

    box: Box
    """In pixels of the frame; may reach over its edge."""
    score: float
    """0 to 1; 1 from a detector that gives none."""


class Detector(Protocol):
    """Finds faces. Not to be shared between threads."""

    name: str
    """What `--detector` calls it."""

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""
        ...


class Yunet:
    """YuNet (Wu et al. 2023) through OpenCV."""

    name = "yunet"

    def __init__(self, model_path: Path, confidence: float = CONFIDENCE) -> None:
        """Load YuNet's ONNX file.

        Raises:
            FerEdgeError: The file is missing or is not YuNet.
        """
        if not model_path.is_file():
            raise FerEdgeError(f"{model_path}: no such file; get YuNet: {yunet.how_to_get()}")
        try:
            self._network = cv2.FaceDetectorYN.create(str(model_path), "", (320, 320), confidence)
        except cv2.error as error:
            raise FerEdgeError(f"{model_path}: not YuNet's file; get it: {yunet.how_to_get()}") from error

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""
        small, enlarge_xy = _fitted(frame_bgr, YUNET_SIDE)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._network.detect(small)
        found = [] if rows is None else [Detection(_enlarged(row[:4], enlarge_xy), float(row[14])) for row in rows]
        found = [detection for detection in found if _plausible(detection.box, frame_bgr)]
        return sorted(found, key=lambda detection: -detection.score)


class Haar:
    """OpenCV's Haar cascade for frontal faces (Viola & Jones 2001): misses many faces, but is always there."""

    name = "haar"

    # Where both find a face (514 faces in 495 of ExpW's photos), YuNet's box is 1.07 of Haar's square high (median;
    # standard deviation 0.14) and 0.80 wide, its centre 0.01 lower. The crop goes by the longer side.
    _SCALE, _DOWN = 1.07, 0.01

    def __init__(self) -> None:
        """Load the cascade that comes with OpenCV 4.

        Raises:
            FerEdgeError: This OpenCV has none.
        """
        if not hasattr(cv2, "CascadeClassifier"):
            raise FerEdgeError(
                f"OpenCV {cv2.__version__} has no Haar cascade; get YuNet: {yunet.how_to_get()}, "
                "or type: pip install 'opencv-python-headless<5'"
            )
        self._cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, largest first."""
        small, enlarge_xy = _fitted(to_grey(frame_bgr), HAAR_SIDE)
        squares = self._cascade.detectMultiScale(small, scaleFactor=1.1, minNeighbors=3, minSize=(32, 32))
        boxes = [reframed(_enlarged(square, enlarge_xy), self._SCALE, self._DOWN) for square in squares]
        return [Detection(box, 1.0) for box in sorted(boxes, key=lambda box: -box.longer)]


class Whole:
    """No detector: the whole frame is the face, for pictures that are face crops already."""

    name = "none"

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Take the whole (height, width, 3) uint8 BGR frame for a face."""
        return [Detection(whole(frame_bgr), 1.0)]


def make_detector(choice: Choice = "auto", model_path: Path | None = None, confidence: float = CONFIDENCE) -> Detector:
    """Make the detector that `choice` names.

    Args:
        choice: `auto` is YuNet if its file can be had, else Haar with one line on stderr that says so.
        model_path: YuNet's file; without it $FER_EDGE_HOME and the user's cache are searched, then it is downloaded.
        confidence: YuNet's score, 0 to 1, from which on something counts as a face.

    Raises:
        FerEdgeError: The detector cannot be had.
        UsageError: Unknown choice, or a file for a detector that takes none.
    """
    if choice == "none" or choice == "haar":
        if model_path:
            raise UsageError(f"--detector {choice} takes no file; drop --detector-model, or type: --detector yunet")
        return Whole() if choice == "none" else Haar()
    if choice not in ("auto", "yunet"):
        raise UsageError(f"unknown detector {choice!r}; choose one of: auto, yunet, haar, none")
    try:
        path = model_path or yunet.find() or yunet.download()
    except FerEdgeError as error:
        if choice == "yunet":
            raise FerEdgeError(f"{error}; where there is a network, type: {yunet.how_to_get()}") from error
        haar = Haar()
        console.print(
            f"{error}; using OpenCV's Haar cascade, which finds 59 of 100 faces where YuNet finds 94. "
            f"To get YuNet, type where there is a network: {yunet.how_to_get()}",
        )
        return haar
    return Yunet(path, confidence)


def _fitted(picture: Pixels, side: int) -> tuple[Pixels, tuple[float, float]]:
    """Scale `picture` so that its longer side is `side`; returns it and the factors (x, y) that lead back."""
    height, width = picture.shape[:2]
    scale = min(side / max(height, width), MAX_ENLARGED)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cast(Pixels, cv2.resize(picture, size_wh, interpolation=method)), (width / size_wh[0], height / size_wh[1])


def _enlarged(box_xywh: "cv2.typing.MatLike | cv2.typing.Rect", enlarge_xy: tuple[float, float]) -> Box:
    x, y, w, h = (float(value) for value in box_xywh)
    return Box(x * enlarge_xy[0], y * enlarge_xy[1], w * enlarge_xy[0], h * enlarge_xy[1])


def _plausible(box: Box, frame_bgr: Pixels) -> bool:
    """A face has its centre in the frame and is not much larger than it: YuNet sees faces in a 1x1 picture, too."""
    height, width = frame_bgr.shape[:2]
    inside = 0 <= box.x + box.w / 2 <= width and 0 <= box.y + box.h / 2 <= height
    return bool(inside and 0 < box.longer <= 2 * max(height, width))
