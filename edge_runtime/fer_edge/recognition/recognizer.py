"""Detect, crop and classify the faces of a frame."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.detection.detector import Choice, Detection, Detector, Landmarks, make_detector
from fer_edge.errors import DataError
from fer_edge.imaging.crop import Box, crop_face
from fer_edge.imaging.images import Pixels, read_picture
from fer_edge.model.contract import ModelFile
from fer_edge.recognition.classifier import UNCERTAIN, Classifier


@dataclass(frozen=True)
class Face:
    """One face of a frame."""

    box: tuple[int, int, int, int]
    """x, y, w, h in pixels, clipped to the frame."""
    label: str
    """Its expression, or "uncertain"."""
    score: float
    """Probability of `label`, 0 to 1; of the best class if that is "uncertain"."""
    probabilities: dict[str, float]
    """Class -> probability, in output order; they sum to 1."""
    detection_score: float
    """Score of the detection, 0 to 1; 1 from a detector without scores."""
    id: int | None = None
    """Tracking ID; None if faces are not tracked."""
    raw_label: str | None = None
    """Label of this frame alone, if `label` is smoothed over time."""
    landmarks: Landmarks | None = None
    """Right eye, left eye, nose, right and left corner of the mouth (the person's own): x, y in pixels, possibly
    outside the frame. None from a detector without landmarks."""

    @property
    def certain(self) -> bool:
        """Whether the label is not "uncertain"."""
        return self.label != UNCERTAIN


@dataclass(frozen=True)
class Recognition:
    """Faces of one frame, and the time per stage."""

    faces: list[Face]
    ms: dict[str, float]
    """Milliseconds for detect, crop and classify, and their total."""


class Recognizer:
    """Detector and classifier, loaded once. Not thread-safe.

    >>> from fer_edge.synthetic.render import draw_face
    >>> recognizer = Recognizer("tests/data/tiny.tflite", detector="none")  # a real one: Recognizer()
    >>> [face.box for face in recognizer.predict(draw_face("happiness", seed=1)[0])]
    [(0, 0, 96, 96)]
    """

    def __init__(
        self,
        model: Path | str | ModelFile | None = None,
        detector: Choice | Detector = "auto",
        threads: int = 1,
    ) -> None:
        """Load model and detector.

        Args:
            model: A .tflite of `fer-edge export`; None for the bundled one.
            detector: auto (the bundled one, as int8 or float16, whichever is faster on this processor), int8, float16,
                none (the whole frame is a face), or your own `Detector`.
            threads: Threads of the detector and the classifier.

        Raises:
            FerEdgeError: Model or detector cannot be loaded.
        """
        self.classifier = Classifier(Path(model) if isinstance(model, str) else model, threads)
        self.detector = make_detector(detector, threads=threads) if isinstance(detector, str) else detector

    def predict(self, frame_bgr: Pixels | Path | str) -> list[Face]:
        """Find the faces of a (height, width, 3) uint8 BGR frame, or of a picture file, and name their expressions.

        Raises:
            DataError: `frame_bgr` is no such array, or the file cannot be read.
        """
        if isinstance(frame_bgr, str | Path):
            frame_bgr = read_picture(Path(frame_bgr))
        return self.recognize(frame_bgr).faces

    def recognize(
        self, frame_bgr: Pixels, choose: Callable[[list[Detection]], list[Detection]] | None = None
    ) -> Recognition:
        """Recognize faces like `predict`, and measure each stage.

        Args:
            frame_bgr: The frame.
            choose: Filters the detections; None to keep all.

        Raises:
            DataError: `frame_bgr` is not a (height, width, 3) uint8 array.
        """
        check_frame(frame_bgr)
        begun = time.perf_counter()
        detections = self.detector.detect(frame_bgr)
        detections = choose(detections) if choose else detections
        detect_ms = 1000 * (time.perf_counter() - begun)
        found = self.classify(frame_bgr, detections)
        return Recognition(found.faces, {"detect": detect_ms, **found.ms, "total": detect_ms + sum(found.ms.values())})

    def classify(self, frame_bgr: Pixels, detections: list[Detection]) -> Recognition:
        """Classify given detections in a (height, width, 3) uint8 BGR frame.

        Returns:
            A face for each detection, in their order, and milliseconds without detect.
        """
        begun = time.perf_counter()
        pixels = self.crop(frame_bgr, detections)
        cropped = time.perf_counter()
        probabilities = self.classifier.probabilities(pixels)
        ended = time.perf_counter()
        pairs = zip(detections, probabilities, strict=True)
        faces = [self._face(detection, row, frame_bgr) for detection, row in pairs]
        return Recognition(faces, {"crop": 1000 * (cropped - begun), "classify": 1000 * (ended - cropped)})

    def crop(self, frame_bgr: Pixels, detections: list[Detection]) -> Pixels:
        """Crop faces to the network's input: (n, size, size) grey, or (n, size, size, 3) RGB."""
        contract = self.classifier.contract
        pixels = np.empty((len(detections), *contract.face_shape), np.uint8)
        for row, detection in enumerate(detections):
            pixels[row] = crop_face(
                frame_bgr, detection.box, contract.size, contract.crop_scale, contract.colour, detection.roll
            )
        return pixels

    def _face(self, detection: Detection, probabilities: npt.NDArray[np.float64], frame_bgr: Pixels) -> Face:
        return Face(
            box=_clip(detection.box, frame_bgr),
            label=self.classifier.label(probabilities),
            score=float(probabilities.max()),
            probabilities=dict(zip(self.classifier.contract.labels, probabilities.tolist(), strict=True)),
            detection_score=detection.score,
            landmarks=detection.landmarks,
        )


def check_frame(frame_bgr: Pixels) -> None:
    """Check that a frame is a colour image as OpenCV reads it.

    Raises:
        DataError: It is empty or not (height, width, 3) uint8; the message says how to convert it.
    """
    if not isinstance(frame_bgr, np.ndarray):
        raise DataError(f"a frame must be a numpy array, not {type(frame_bgr).__name__}; read one: cv2.imread(path)")
    problem = f"a frame must be (height, width, 3) uint8 BGR, not {frame_bgr.shape} {frame_bgr.dtype}"
    if frame_bgr.size == 0:
        raise DataError(f"{problem}: it is empty")
    if frame_bgr.dtype != np.uint8:
        raise DataError(f"{problem}; if its values are 0 to 1: (255 * frame).round().astype(np.uint8)")
    if frame_bgr.ndim == 2 or (frame_bgr.ndim == 3 and frame_bgr.shape[2] == 1):
        raise DataError(f"{problem}; if it is grey: cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)")
    if frame_bgr.ndim == 3 and frame_bgr.shape[2] == 4:
        raise DataError(f"{problem}; if it is BGRA: cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR)")
    if frame_bgr.ndim != 3 or frame_bgr.shape[2] != 3:
        raise DataError(f"{problem}; pass one frame at a time")


def _clip(box: Box, frame_bgr: Pixels) -> tuple[int, int, int, int]:
    height, width = frame_bgr.shape[:2]
    x0, x1 = (min(max(round(x), 0), width) for x in (box.x, box.x + box.w))
    y0, y1 = (min(max(round(y), 0), height) for y in (box.y, box.y + box.h))
    return x0, y0, x1 - x0, y1 - y0
