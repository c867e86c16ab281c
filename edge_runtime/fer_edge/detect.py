"""Finding the faces of a frame. Every detector answers in fer-edge's framing, which is YuNet's (`fer_edge.crop`)."""

import os
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np

from fer_edge.centre_points import OVERLAP, STRIDE, Faces, decode, suppressed
from fer_edge.crop import Box, whole
from fer_edge.detector_contract import DetectorFile, fitted, fitted_freely, read_detector
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.images import Pixels, to_grey
from fer_edge.interpreter import Engine

Choice = Literal["auto", "yunet", "none"]

BUNDLED_DETECTOR = Path(__file__).parent / "models" / "face.tflite"
"""The face detector that comes with fer-edge."""

YUNET_CONFIDENCE = 0.6
"""YuNet's score from which on something counts as a face; 0.5 finds 0.3 points more of ExpW's faces, and 10 % more
boxes."""
Sides = tuple[int, ...]
"""Longer sides, in pixels, of what a network sees of a VGA frame, one look after the other."""

SIDES: tuple[Sides, ...] = ((256, 640), (256, 512), (320,), (256,), (192,))
"""What a detector of any size may look at, the most first; docs/face_detector.md has what each finds. A single look at
512 or 640 pixels misses faces that fill more of it than they did when it learned: therefore two."""
YUNET_SIDES: tuple[Sides, ...] = ((480,), (416,), (320,), (240,))
"""What YuNet may look at. Share of ExpW's 1,565 labelled faces that it finds at confidence 0.6: 0.896 at 240, 0.919 at
320, 0.932 at 416, 0.939 at 480, 0.934 at 640."""
MOST_ENGINES = 16
"""Sizes of the input that stay loaded, 3 MB each: of photos of any shape there are 14 for one look of 320 pixels. One
of 400 photos of ExpW took 2.1 ms on average with all of them, 4.9 with 8, and with one 18, nearly all of it loading."""
MAX_ENLARGED = 2.0
"""Small pictures are enlarged for YuNet by no more than this: beyond it there is nothing new to see."""


class Detection(NamedTuple):
    """A face that a detector found."""

    box: Box
    """In pixels of the frame; may reach over its edge."""
    score: float
    """0 to 1; 1 from a detector that gives none."""
    eyes: tuple[float, float, float, float] | None = None
    """The person's right eye x, y and left eye x, y in pixels of the frame; None from a detector that gives none."""


class Detector(Protocol):
    """Finds faces. Not to be shared between threads."""

    name: str
    """What the answer came from, for people."""

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""
        ...


class CentrePoints:
    """A face detector of `fer-edge train --task detect`, on the same engine as the expression model."""

    def __init__(
        self,
        model: Path | DetectorFile | None = None,
        confidence: float | None = None,
        threads: int = 1,
        *,
        reference: bool = False,
    ) -> None:
        """Load `model`; without one, the detector that comes with fer-edge.

        Args:
            model: A .tflite of `fer-edge export`.
            confidence: Score, 0 to 1, from which on something counts as a face; None for the model's own threshold.
            threads: Threads of the kernels.
            reference: As `fer_edge.interpreter.Engine` takes it.

        Raises:
            ModelError: The file is no detector that this runtime can run.
        """
        self.model = model if isinstance(model, DetectorFile) else read_detector(model or BUNDLED_DETECTOR)
        contract = self.model.contract
        self.name = self.model.path.stem
        self.threshold = contract.threshold if confidence is None else confidence
        self.sides: Sides = (max(contract.width, contract.height),)
        """The present one of `choices`; where there are none, the input's."""
        self.choices = SIDES if contract.multiple else ()
        self._threads, self._reference = threads, reference
        self._engines: dict[tuple[int, int], Engine] = {}
        self.engine = self._engine(contract.width, contract.height)
        """Runs the contract's own size of input."""

    def find(self, pixels: Pixels) -> Faces:
        """Find the faces in a (height, width) uint8 grey picture that was `fitted` to an input of the network."""
        height, width = pixels.shape
        heat, geometry = self._engine(width, height).run(pixels)
        return decode(heat, geometry, self.threshold)

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""
        contract, grey = self.model.contract, to_grey(frame_bgr)
        if contract.multiple:
            inputs = [fitted_freely(grey, side, contract.multiple) for side in self.sides]
        else:
            inputs = [fitted(grey, contract.width, contract.height)]
        return _joined([self._look(*one) for one in inputs], frame_bgr)

    def _look(self, pixels: Pixels, back_xy: tuple[float, float]) -> list[Detection]:
        found = self.find(pixels)
        back = np.array(back_xy * 2, np.float32)
        rows = zip((found.boxes * back).tolist(), found.scores.tolist(), (found.eyes * back).tolist(), strict=True)
        return [Detection(Box(*box), score, (eyes[0], eyes[1], eyes[2], eyes[3])) for box, score, eyes in rows]

    def _engine(self, width: int, height: int) -> Engine:
        """Give the network for one size of input; it stays loaded, for another size takes longer than a look."""
        if (width, height) not in self._engines:
            model, shape = self.model, (1, height, width, 1)
            own = (width, height) == (model.contract.width, model.contract.height)
            resized = None if own else shape
            engine = Engine(model.path, model.flatbuffer, self._threads, reference=self._reference, shape=resized)
            rows, columns = height // STRIDE, width // STRIDE
            engine.expect(shape, (1, rows, columns, 1), (1, rows, columns, 8))
            if len(self._engines) >= MOST_ENGINES:
                del self._engines[next(iter(self._engines))]
            self._engines[width, height] = engine
        return self._engines[width, height]


class Yunet:
    """YuNet (Wu et al. 2023) through OpenCV."""

    name = "yunet"

    def __init__(self, model_path: Path, confidence: float | None = None, side: int = YUNET_SIDES[0][0]) -> None:
        """Load YuNet's ONNX file.

        Args:
            model_path: `face_detection_yunet_2023mar.onnx` of OpenCV Zoo.
            confidence: Score, 0 to 1, from which on something counts as a face; None for `YUNET_CONFIDENCE`.
            side: Longer side, in pixels, of what the network sees.

        Raises:
            FerEdgeError: The file is missing or is not YuNet.
        """
        if not model_path.is_file():
            raise FerEdgeError(
                f"{model_path}: no such file; leave out --detector and --detector-model to use fer-edge's own"
            )
        try:
            os.fsencode(model_path).decode("utf-8")  # OpenCV takes no other path
            least = YUNET_CONFIDENCE if confidence is None else confidence
            self.sides: Sides = (side,)
            """The present one of `choices`."""
            self.choices = YUNET_SIDES
            self._network = cv2.FaceDetectorYN.create(str(model_path), "", (320, 320), least)
            self._network.detect(np.zeros((320, 320, 3), np.uint8))  # another network is refused only here
        except (cv2.error, UnicodeError) as error:
            raise FerEdgeError(
                f"{model_path}: not YuNet's file; it is face_detection_yunet_2023mar.onnx of OpenCV Zoo"
            ) from error

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""
        return _joined([self._look(frame_bgr, side) for side in self.sides], frame_bgr)

    def _look(self, frame_bgr: Pixels, side: int) -> list[Detection]:
        height, width = frame_bgr.shape[:2]
        scale = min(side / max(height, width), MAX_ENLARGED)
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self._network.setInputSize(size_wh)
        _, rows = self._network.detect(cv2.resize(frame_bgr, size_wh, interpolation=method))
        back = np.array([width / size_wh[0], height / size_wh[1]] * 4)
        faces = []
        for row in [] if rows is None else rows:
            x, y, w, h, *eyes = (row[:8] * back).tolist()
            faces.append(Detection(Box(x, y, w, h), float(row[14]), (eyes[0], eyes[1], eyes[2], eyes[3])))
        return faces


class Whole:
    """No detector: the whole frame is the face, for pictures that are face crops already."""

    name = "none"

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Take the whole (height, width, 3) uint8 BGR frame for a face."""
        return [Detection(whole(frame_bgr), 1.0)]


def make_detector(
    choice: Choice = "auto", model_path: Path | None = None, confidence: float | None = None, threads: int = 1
) -> Detector:
    """Make the detector that `choice` names.

    Args:
        choice: `auto` is fer-edge's own, bundled or from `model_path`; `yunet` needs its file; `none` takes no file.
        model_path: A detector of `fer-edge export` (.tflite), or YuNet's file (.onnx).
        confidence: Score, 0 to 1, from which on something counts as a face; None for the detector's own.
        threads: Threads of fer-edge's own detector.

    Raises:
        FerEdgeError: The detector cannot be had.
        UsageError: Unknown choice, or a file for a detector that takes none.
    """
    if choice not in ("auto", "yunet", "none"):
        raise UsageError(f"unknown detector {choice!r}; choose one of: auto, yunet, none")
    if choice == "none":
        if model_path:
            raise UsageError("--detector none takes no file; drop --detector-model, or drop --detector none")
        return Whole()
    if choice == "yunet":
        if model_path is None:
            raise UsageError("--detector yunet needs its file: --detector-model face_detection_yunet_2023mar.onnx")
        return Yunet(model_path, confidence)
    if model_path and model_path.suffix == ".onnx":
        raise UsageError(f"YuNet's file goes with its name: --detector yunet --detector-model {quote(str(model_path))}")
    return CentrePoints(model_path, confidence, threads)


def _joined(looks: list[list[Detection]], frame_bgr: Pixels) -> list[Detection]:
    """Put what several looks at one frame found together, best first; of a face that more than one saw, the best."""
    faces = [face for look in looks for face in look if _plausible(face.box, frame_bgr)]
    faces.sort(key=lambda face: -face.score)
    if len(looks) < 2 or not faces:
        return faces
    kept = suppressed(np.array([face.box for face in faces], np.float32), OVERLAP)
    return [faces[number] for number in kept]


def _plausible(box: Box, frame_bgr: Pixels) -> bool:
    """A face has its centre in the frame and is not much larger than it: YuNet sees faces in a 1x1 picture, too."""
    height, width = frame_bgr.shape[:2]
    inside = 0 <= box.x + box.w / 2 <= width and 0 <= box.y + box.h / 2 <= height
    return bool(inside and 0 < box.longer <= 2 * max(height, width))
