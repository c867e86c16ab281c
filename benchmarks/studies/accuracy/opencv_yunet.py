"""The reference implementation of the bundled face detector: the same weights in OpenCV's FaceDetectorYN."""

from pathlib import Path

import cv2
import numpy as np

from fer_edge.detection.detector import SIDE, Detection, Detector
from fer_edge.detection.detector_contract import MAX_ENLARGED
from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels
from fer_edge_export.detector.weights import SOURCE

THRESHOLD = 0.6
"""The demo in OpenCV Zoo uses 0.9, most users 0.6."""


class OpenCvYuNet(Detector):
    """YuNet (Wu et al. 2023) in OpenCV."""

    name = "opencv"

    def __init__(self, confidence: float = THRESHOLD, side: int = SIDE, path: Path = SOURCE) -> None:
        """Load `face_detection_yunet_2023mar.onnx`; the arguments are those of `fer_edge.detection.detector.YuNet`."""
        self.side = side
        self._network = cv2.FaceDetectorYN.create(str(path), "", (side, side), confidence)

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Detect the faces in a (height, width, 3) uint8 BGR frame, best score first."""
        height, width = frame_bgr.shape[:2]
        scale = min(self.side / max(height, width), MAX_ENLARGED)
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR_EXACT
        self._network.setInputSize(size_wh)
        _, rows = self._network.detect(cv2.resize(frame_bgr, size_wh, interpolation=method))
        back = np.array([width / size_wh[0], height / size_wh[1]] * 7)
        faces = []
        for row in [] if rows is None else rows:
            values = (row[:14] * back).tolist()
            landmarks = tuple(zip(values[4::2], values[5::2], strict=True))
            faces.append(Detection(Box(*values[:4]), float(row[14]), landmarks))
        return faces
