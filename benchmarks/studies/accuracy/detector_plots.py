"""Precision-recall plots and contact sheet of detectors."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import cv2.data
import numpy as np
from matplotlib.figure import Figure

from fer_edge.detection.detector import Detection
from fer_edge.files import replacing
from fer_edge.imaging.boxes import Floats
from fer_edge.imaging.images import Pixels, write_picture
from studies.accuracy.detection_metrics import FALSE_PER_PHOTO, Curve


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo with boxes drawn by people and boxes found by YuNet."""

    name: str
    frame_bgr: Pixels
    boxes: Floats
    """(n, 4) ground truth, drawn by people: x, y, w, h in pixels."""
    yunet_boxes: Floats
    """(m, 4) YuNet's detections in `faces.csv`, in the same format."""
    tilts: Floats
    """(n,) roll in degrees; NaN for a face that YuNet did not detect."""


def to_arrays(found: list[Detection]) -> tuple[Floats, Floats]:
    """Return boxes (n, 4) and scores (n,) of detections."""
    boxes = np.array([face.box for face in found], np.float32).reshape(-1, 4)
    return boxes, np.array([face.score for face in found], np.float32)


def draw_curves(path: Path, curves: dict[str, Curve], points: dict[str, float]) -> None:
    """Plot recall over false positives per photo, and precision over recall; dots are the thresholds in use."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, one in curves.items():
        [line] = left.plot(one.false_per_photo, one.recall, label=name)
        right.plot(one.recall, one.precision, color=line.get_color(), label=name)
        recall, false = one.at_threshold(points[name])
        left.plot([false], [recall], "o", color=line.get_color())
    left.axvline(FALSE_PER_PHOTO, color="grey", linestyle=":")
    left.set(xlabel="false positives per photo", ylabel="recall", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_sheet(path: Path, photos: list[LabelledPhoto], detections: list[list[Detection]], threshold: float) -> None:
    """Draw forty photos with our boxes (green), YuNet's (blue) and ground truth (white); it shows real people."""
    cells = []
    for photo, found in list(zip(photos, detections, strict=True))[:: max(1, len(photos) // 40)][:40]:
        picture = photo.frame_bgr.copy()
        ours = to_arrays([face for face in found if face.score >= threshold])[0]
        for boxes, colour in ((photo.boxes, (255, 255, 255)), (photo.yunet_boxes, (255, 120, 0)), (ours, (0, 220, 0))):
            for x, y, w, h in boxes:
                cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, 2)
        scale = min(240 / picture.shape[1], 180 / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cell = np.zeros((180, 240, 3), np.uint8)
        cell[: small.shape[0], : small.shape[1]] = small[:180, :240]
        cells.append(cell)
    while len(cells) % 8:
        cells.append(np.zeros((180, 240, 3), np.uint8))
    write_picture(path, np.vstack([np.hstack(cells[row : row + 8]) for row in range(0, len(cells), 8)]))
