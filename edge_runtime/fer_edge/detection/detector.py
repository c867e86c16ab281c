"""Face detectors. All of them give boxes with YuNet's framing (`fer_edge.imaging.crop`)."""

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
"""The bundled face detectors: one network, as int8 and float16; which one is faster depends on the processor."""

SIDE = 320
"""Default longer side of the network's input in pixels."""
SIDES = (640, 480, 416, 320, 256, 192)
"""Input sizes that a time budget chooses from, largest first; docs/face_detector.md has the accuracy of each."""
MOST_PIXELS = 1_100_000
"""Maximum total pixels of the input sizes that stay loaded, at 60 (int8) to 90 bytes per pixel; photos of any shape
have 17 sizes for a side of 320 pixels, a million pixels in total."""

LANDMARK_NAMES = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""The five landmarks of a face; right and left are the person's own."""
Landmarks = tuple[tuple[float, float], ...]
"""x, y of each, in pixels of the frame."""


NEAR_EYES = 0.15
"""Minimum distance of the eyes, as a fraction of the face's longer side, to compute the roll; less in a profile."""


class Detection(NamedTuple):
    """A detected face."""

    box: Box
    """In pixels of the frame; may extend beyond it."""
    score: float
    """0 to 1; 1 from a detector without scores."""
    landmarks: Landmarks | None = None
    """None from a detector without landmarks."""

    @property
    def roll(self) -> float:
        """Rotation of the eyes in degrees, clockwise; 0 if they are unknown, or too close in a profile."""
        if self.landmarks is None:
            return 0.0
        (right_x, right_y), (left_x, left_y), *_ = self.landmarks
        if math.hypot(left_x - right_x, left_y - right_y) < NEAR_EYES * self.box.longer:
            return 0.0
        return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


class Detector(ABC):
    """A face detector; your own is a subclass with a `detect` method. Not thread-safe."""

    name: str = "detector"
    """Display name."""
    side: int | None = None
    """Longer side of its input in pixels, one of `SIDES`, which a time budget may set; None if it is fixed."""
    instant: bool = False
    """Whether it takes no time, so that it runs in every frame without tracking."""

    @abstractmethod
    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Detect the faces in a (height, width, 3) uint8 BGR frame, best first."""


class YuNet(Detector):
    """The YuNet face detector (Wu et al. 2023)."""

    def __init__(
        self,
        model: Path | DetectorModel | None = None,
        confidence: float | None = None,
        threads: int = 1,
        side: int = SIDE,
        *,
        reference: bool = False,
    ) -> None:
        """Load `model`, by default the bundled form that is faster on this processor.

        Args:
            model: A face detector's .tflite.
            confidence: Minimum score, 0 to 1; None for the model's own threshold.
            threads: Number of kernel threads.
            side: Longer side of the network's input in pixels.
            reference: See `fer_edge.model.interpreter.Engine`.

        Raises:
            ModelError: The file is not a detector that this runtime can run.
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
        self.engine(model.contract.width, model.contract.height)  # fails now if it cannot run

    def find(self, pixels: Pixels) -> Faces:
        """Detect the faces in a (height, width, 3) uint8 BGR image whose sides are multiples of 32."""
        height, width = pixels.shape[:2]
        return decode(self.engine(width, height).run(pixels), self._scale, self._offset, self.threshold)

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Detect the faces in a (height, width, 3) uint8 BGR frame, best first."""
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
        """Return the network for one input size; it stays loaded, since loading takes longer than a detection."""
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
        self._engines[width, height] = engine  # most recently used last
        return engine


class WholeFrame(Detector):
    """Returns the whole frame as the face, for images that are face crops."""

    name = "none"
    instant = True

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Return the whole (height, width, 3) uint8 BGR frame as a face."""
        return [Detection(whole_frame(frame_bgr), 1.0)]


def make_detector(
    choice: Choice = "auto", model_path: Path | None = None, confidence: float | None = None, threads: int = 1
) -> Detector:
    """Create a detector.

    Args:
        choice: `auto` is `model_path`, or the bundled form that is faster on this processor; `int8` and `float16` are
            the bundled ones; `none` returns the whole frame as a face.
        model_path: A face detector's .tflite, with `auto`.
        confidence: Minimum score, 0 to 1; None for the detector's own threshold.
        threads: Number of kernel threads.

    Raises:
        ModelError: The file is not a detector that this runtime can run.
        UsageError: Unknown choice, or a file with another choice than `auto`.
    """
    if choice not in CHOICES:
        raise UsageError(f"unknown detector {choice!r}; use one of: {', '.join(CHOICES)}")
    if choice != "auto" and model_path:
        raise UsageError(f"--detector {choice} takes no file; remove --detector-model or --detector {choice}")
    if choice == "none":
        return WholeFrame()
    return YuNet(model_path if choice == "auto" else BUNDLED_DETECTORS[choice], confidence, threads)


def _plausible(box: Box, frame_bgr: Pixels) -> bool:
    """Check that a face's centre is in the frame and its size is plausible: YuNet finds faces even in a 1x1 image."""
    height, width = frame_bgr.shape[:2]
    inside = 0 <= box.x + box.w / 2 <= width and 0 <= box.y + box.h / 2 <= height
    return bool(inside and 0 < box.longer <= 2 * max(height, width))
