"""Finding the faces of a frame. Every detector frames a face as YuNet does (`fer_edge.imaging.crop`)."""

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from fer_edge.detection.detector_contract import DetectorModel, fitted, map_shapes, read_detector
from fer_edge.detection.yunet import Faces, decode
from fer_edge.device.processor import detector_recipe
from fer_edge.errors import UsageError
from fer_edge.imaging.crop import Box, whole_frame
from fer_edge.imaging.images import Pixels
from fer_edge.model.interpreter import Engine

Choice = Literal["auto", "int8", "float16", "none"]
CHOICES: tuple[Choice, ...] = ("auto", "int8", "float16", "none")

BUNDLED_DETECTORS = {
    recipe: Path(__file__).parents[1] / "models" / f"yunet_{recipe}.tflite" for recipe in ("int8", "float16")
}
"""The face detectors that come with fer-edge: one network, in the two forms between which processors differ."""

SIDE = 320
"""Longer side, in pixels, of what the network sees of a frame, where nothing says otherwise."""
SIDES = (640, 480, 416, 320, 256, 192)
"""What a time budget may choose from, the most first; docs/face_detector.md has what each finds."""
MOST_PIXELS = 1_100_000
"""Of all sizes of the input that stay loaded together, at 60 (int8) to 90 bytes each; photos of any shape have 17 sizes
for a side of 320 pixels, a million pixels in all."""

LANDMARK_NAMES = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""The five landmarks of a face in their order; right and left are the person's own."""
Landmarks = tuple[tuple[float, float], ...]
"""x, y of each, in pixels of the frame."""


NEAR_EYES = 0.15
"""Of the face's longer side: eyes that are nearer to each other, as in a profile, do not say how it is turned."""


class Detection(NamedTuple):
    """A face that a detector found."""

    box: Box
    """In pixels of the frame; may reach over its edge."""
    score: float
    """0 to 1; 1 from a detector that gives none."""
    landmarks: Landmarks | None = None
    """None from a detector that gives none."""

    @property
    def roll(self) -> float:
        """Degrees by which the eyes are off level, clockwise; 0 where they are not known, or too near in a profile."""
        if self.landmarks is None:
            return 0.0
        (right_x, right_y), (left_x, left_y), *_ = self.landmarks
        if math.hypot(left_x - right_x, left_y - right_y) < NEAR_EYES * self.box.longer:
            return 0.0
        return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


class Detector(ABC):
    """Finds faces; one of your own is a subclass with a `detect`. Not to be shared between threads."""

    name: str = "detector"
    """What the answer came from, for people."""
    side: int | None = None
    """Longer side, in pixels, of what it sees of a frame, one of `SIDES`, which a time budget may set; None where
    nothing can be chosen."""
    instant: bool = False
    """It takes no time: it is asked in every frame, and nothing needs to be followed."""

    @abstractmethod
    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""


class YuNet(Detector):
    """The bundled face detector: YuNet (Wu et al. 2023) on the same engine as the expression model."""

    def __init__(
        self,
        model: Path | DetectorModel | None = None,
        confidence: float | None = None,
        threads: int = 1,
        side: int = SIDE,
        *,
        reference: bool = False,
    ) -> None:
        """Load `model`; without one, the bundled form that this processor computes fastest.

        Args:
            model: A face detector's .tflite.
            confidence: Score, 0 to 1, from which on something counts as a face; None for the model's own threshold.
            threads: Threads of the kernels.
            side: Longer side, in pixels, of what the network sees of a frame.
            reference: As `fer_edge.model.interpreter.Engine` takes it.

        Raises:
            ModelError: The file is no detector that this runtime can run.
        """
        if not isinstance(model, DetectorModel):
            model = read_detector(model or BUNDLED_DETECTORS[detector_recipe()])
        self.model = model
        self.name = model.path.stem
        self.threshold = model.contract.threshold if confidence is None else confidence
        self.side: int = side
        self._scale, self._offset = model.contract.scale_and_offset
        self._canvas: Pixels | None = None
        self._threads, self._reference = threads, reference
        self._engines: dict[tuple[int, int], Engine] = {}
        self.engine(model.contract.width, model.contract.height)  # what cannot be run is refused now

    def find(self, pixels: Pixels) -> Faces:
        """Find the faces in a (height, width, 3) uint8 BGR picture whose sides are multiples of 32."""
        height, width = pixels.shape[:2]
        return decode(self.engine(width, height).run(pixels), self._scale, self._offset, self.threshold)

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame, best first."""
        self._canvas, back_xy = fitted(frame_bgr, self.side, self._canvas)
        found = self.find(self._canvas)
        back = np.array(back_xy, np.float32)
        boxes = (found.boxes * np.tile(back, 2)).tolist()
        landmarks = (found.landmarks * back).tolist()
        faces = [
            Detection(Box(*box), score, tuple((x, y) for x, y in points))
            for box, score, points in zip(boxes, found.scores.tolist(), landmarks, strict=True)
        ]
        return [face for face in faces if _plausible(face.box, frame_bgr)]

    def engine(self, width: int, height: int) -> Engine:
        """Give the network for one size of input; it stays loaded, for another size takes longer than a detection."""
        if (width, height) not in self._engines:
            model, shape = self.model, (1, height, width, 3)
            own = (width, height) == (model.contract.width, model.contract.height)
            resized = None if own else shape
            engine = Engine(model.path, model.flatbuffer, self._threads, reference=self._reference, shape=resized)
            engine.expect(shape, *((1, *one) for one in map_shapes(width, height)))
            while self._engines and width * height + sum(w * h for w, h in self._engines) > MOST_PIXELS:
                del self._engines[next(iter(self._engines))]
        else:
            engine = self._engines.pop((width, height))
        self._engines[width, height] = engine  # the last one used is the last to go
        return engine


class WholeFrame(Detector):
    """No detector: the whole frame is the face, for pictures that are face crops already."""

    name = "none"
    instant = True

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Take the whole (height, width, 3) uint8 BGR frame for a face."""
        return [Detection(whole_frame(frame_bgr), 1.0)]


def make_detector(
    choice: Choice = "auto", model_path: Path | None = None, confidence: float | None = None, threads: int = 1
) -> Detector:
    """Make the detector that `choice` names.

    Args:
        choice: `auto` is `model_path`, or the bundled form that this processor computes fastest; `int8` and `float16`
            are the bundled ones; `none` takes the whole frame for a face.
        model_path: A face detector's .tflite, with `auto`.
        confidence: Score, 0 to 1, from which on something counts as a face; None for the detector's own.
        threads: Threads of the kernels.

    Raises:
        ModelError: The file is no detector that this runtime can run.
        UsageError: Unknown choice, or a file for a choice that takes none.
    """
    if choice not in CHOICES:
        raise UsageError(f"unknown detector {choice!r}; choose one of: {', '.join(CHOICES)}")
    if choice != "auto" and model_path:
        raise UsageError(f"--detector {choice} takes no file; drop --detector-model, or drop --detector {choice}")
    if choice == "none":
        return WholeFrame()
    return YuNet(model_path if choice == "auto" else BUNDLED_DETECTORS[choice], confidence, threads)


def _plausible(box: Box, frame_bgr: Pixels) -> bool:
    """A face has its centre in the frame and is not much larger than it: YuNet sees faces in a 1x1 picture, too."""
    height, width = frame_bgr.shape[:2]
    inside = 0 <= box.x + box.w / 2 <= width and 0 <= box.y + box.h / 2 <= height
    return bool(inside and 0 < box.longer <= 2 * max(height, width))
