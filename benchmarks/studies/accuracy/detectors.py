"""Accuracy and latency of face detectors on held-out photos: metrics, precision-recall curve and contact sheet.

python -m studies.accuracy.detectors --expw expw --faces faces --out runs/detectors

The photos are those of `faces.csv` that no training saw (split valid); ExpW's `label.lst` has boxes drawn by people. A
detection is a true positive if it overlaps one of these by `detection_metrics.MIN_IOU`; on another face that YuNet
found (`faces.csv`) it is ignored; everything else is a false positive. So YuNet has few of them by definition.
"""

import json
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, cast

import cv2
import cv2.data
import numpy as np
import typer

from fer_edge.console import console, print_json, progress
from fer_edge.detection.detector import BUNDLED_DETECTORS, SIDE, SIDES, Detection, Detector, YuNet
from fer_edge.files import make_folder, write_json
from fer_edge.imaging.boxes import Floats, overlaps
from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels, to_grey
from fer_edge_bench.machine import describe
from studies.accuracy.detection_metrics import (
    FALSE_PER_PHOTO,
    MIN_IOU,
    MIN_SCORE,
    Curve,
    match_detections,
    precision_recall,
)
from studies.accuracy.detector_plots import LabelledPhoto, draw_curves, draw_sheet, to_arrays
from studies.accuracy.marked_photos import read_labelled
from studies.accuracy.opencv_yunet import OpenCvYuNet

HAAR_SIDE = 416
THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
"""Reported on the photos that the threshold is chosen on."""
SIZES = (0, 24, 48, 96, 1000)
"""Bins of the longer side of a labelled box, in pixels of a 320x240 input."""
VGA_SIZES = (0, 16, 24, 48, 160, 1000)
"""The same, in pixels of a VGA frame."""
GREY_LEVELS = (0, 60, 100, 140, 256)
"""Bins of the mean grey of a labelled box."""
TILTS = (0, 10, 25, 90)
"""Bins of the roll in degrees, from YuNet's eye landmarks."""


class Haar(Detector):
    """OpenCV's Haar cascade for frontal faces; OpenCV 5 no longer has it."""

    name = "haar"

    def __init__(self) -> None:
        opencv: Any = cv2
        self._cascade = opencv.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Detect the faces in a (height, width, 3) uint8 BGR frame."""
        scale = min(HAAR_SIDE / max(frame_bgr.shape), 2.0)
        small = cv2.resize(to_grey(frame_bgr), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        squares = self._cascade.detectMultiScale(small, scaleFactor=1.1, minNeighbors=3, minSize=(32, 32))
        return [Detection(Box(*(float(value) / scale for value in square)), 1.0) for square in squares]


def _tilts(labels: Floats, yunet_boxes: Floats, eyes: Floats) -> Floats:
    tilts = np.full(len(labels), np.nan, np.float32)
    if len(yunet_boxes):
        iou = overlaps(labels, yunet_boxes)
        vectors = eyes[:, 2:] - eyes[:, :2]
        angles = np.abs(np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])))
        matched = iou.max(axis=1) >= MIN_IOU
        tilts[matched] = angles[iou.argmax(axis=1)[matched]]
    return tilts


def evaluate(detector: Detector, photos: list[LabelledPhoto]) -> tuple[Curve, list[list[Detection]]]:
    """Run a detector on all photos; return its precision-recall curve and its detections."""
    detections, matches = [], []
    with progress() as bar:
        for photo in bar.track(photos, description=detector.name):
            found = detector.detect(photo.frame_bgr)
            boxes, scores = to_arrays(found)
            detections.append(found)
            matches.append(match_detections(boxes, scores, photo.boxes, photo.yunet_boxes))
    return precision_recall(matches), detections


def recall_by_group(photos: list[LabelledPhoto], detections: list[list[Detection]], threshold: float) -> dict[str, Any]:
    """Return recall at `threshold` by size, brightness and roll of the labelled faces."""
    facts: dict[str, list[tuple[float, bool]]] = {"size": [], "grey": [], "tilt": []}
    for photo, found in zip(photos, detections, strict=True):
        boxes, _ = to_arrays([face for face in found if face.score >= threshold])
        height, width = photo.frame_bgr.shape[:2]
        fit = min(320 / width, 240 / height)
        grey = to_grey(photo.frame_bgr)
        for label, tilt in zip(photo.boxes, photo.tilts, strict=True):
            hit = bool(len(boxes) and overlaps(label[None], boxes).max() >= MIN_IOU)
            x, y, w, h = (int(value) for value in np.maximum(label, 0))
            facts["size"].append((fit * max(label[2:]), hit))
            facts["grey"].append((float(grey[y : y + h + 1, x : x + w + 1].mean()), hit))
            facts["tilt"].append((float(tilt), hit))
    edges = {"size": SIZES, "grey": GREY_LEVELS, "tilt": TILTS}
    return {name: _binned(facts[name], edges[name]) for name in facts}


def _binned(facts: list[tuple[float, bool]], edges: tuple[int, ...]) -> dict[str, Any]:
    table = {}
    for low, high in pairwise(edges):
        hits = [hit for value, hit in facts if low <= value < high]
        table[f"{low} to {high}"] = {"n": len(hits), "recall": round(sum(hits) / len(hits), 4) if hits else None}
    return table


def photo_grids(photos: list[LabelledPhoto], across: int) -> Iterator[tuple[Pixels, Floats]]:
    """Arrange photos in VGA frames, `across` in each row and column, for many small faces per frame.

    Yields:
        Frame, (480, 640, 3) uint8 BGR, and the labelled boxes in it, (n, 4).
    """
    width, height = 640 // across, 480 // across
    for first in range(0, len(photos) - across**2 + 1, across**2):
        frame, boxes = np.zeros((480, 640, 3), np.uint8), []
        for number, photo in enumerate(photos[first : first + across**2]):
            x, y = number % across * width, number // across * height
            scale = min(width / photo.frame_bgr.shape[1], height / photo.frame_bgr.shape[0])
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            small = cv2.resize(photo.frame_bgr, None, fx=scale, fy=scale, interpolation=method)[:height, :width]
            frame[y : y + small.shape[0], x : x + small.shape[1]] = small
            boxes.append(photo.boxes * np.float32(scale) + np.array([x, y, 0, 0], np.float32))
        yield frame, np.concatenate(boxes)


def recall_by_size(detector: Detector, frames: list[tuple[Pixels, Floats]]) -> dict[str, Any]:
    """Return recall by the longer side of a face in pixels of a VGA frame."""
    facts = []
    for frame, labels in frames:
        boxes, _ = to_arrays(detector.detect(frame))
        hits = overlaps(labels, boxes).max(axis=1, initial=0) >= MIN_IOU
        facts += list(zip(labels[:, 2:].max(axis=1).tolist(), hits.tolist(), strict=True))
    return _binned(facts, VGA_SIZES) | {"all": round(statistics.mean(hit for _, hit in facts), 4)}


def measure_latency(detectors: dict[str, Detector], frame_bgr: Pixels, runs: int) -> dict[str, Any]:
    """Time all detectors alternately on one frame; return milliseconds, and the ratio to the first detector's time."""
    seconds: list[list[float]] = [[] for _ in detectors]
    for run in range(runs + 10):
        for detector, taken in zip(detectors.values(), seconds, strict=True):
            start = time.perf_counter()
            detector.detect(frame_bgr)
            if run >= 10:
                taken.append(time.perf_counter() - start)
    table = {}
    for name, taken in zip(detectors, seconds, strict=True):
        ratios = [own / first for first, own in zip(seconds[0], taken, strict=True)]
        table[name] = {
            "ms": round(1000 * statistics.median(taken), 3),
            "times_the_first": round(statistics.median(ratios), 2),
        }
    return table


def read_photos(expw: Path, faces: Path, split: str) -> list[LabelledPhoto]:
    """Read the photos of a split that have boxes drawn by people."""
    return [
        LabelledPhoto(photo.name, frame, labels, yunet_boxes, _tilts(labels, yunet_boxes, photo.eyes))
        for photo, frame, labels, yunet_boxes in read_labelled(expw, faces, split)
    ]


def best_scores(detections: list[list[Detection]], photos: list[LabelledPhoto]) -> Floats:
    """Return the best score of the detections that overlap each labelled face; 0 if there is none."""
    scores_of_faces: list[float] = []
    for photo, found in zip(photos, detections, strict=True):
        boxes, scores = to_arrays(found)
        hits = overlaps(photo.boxes, boxes) >= MIN_IOU
        scores_of_faces += [float(scores[row].max(initial=0)) for row in hits]
    return np.array(scores_of_faces, np.float32)


def compare_paired(before: Floats, after: Floats, threshold: float) -> dict[str, Any]:
    """Compare two detectors on the same faces."""
    found_before, found_after = before >= threshold, after >= threshold
    return {
        "faces": len(found_before),
        "recall_before": round(float(found_before.mean()), 4),
        "recall_after": round(float(found_after.mean()), 4),
        "lost": int((found_before & ~found_after).sum()),
        "gained": int((found_after & ~found_before).sum()),
    }


def main(
    expw: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    faces: Annotated[Path, typer.Option(help="Folder with faces.csv and pictures/.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics, curve and contact sheet.")],
    num_runs: Annotated[int, typer.Option(min=0, help="Timed runs of each detector; 0: none.")] = 200,
) -> None:
    """Compare the bundled detectors with the same network in OpenCV, and with Haar."""
    cv2.setNumThreads(1)
    make_folder(out)
    photos, others = read_photos(expw, faces, "valid"), read_photos(expw, faces, "train")
    threshold = YuNet().threshold
    detectors: dict[str, Detector] = {
        f"{recipe} at {side}": YuNet(path, MIN_SCORE, side=side)
        for recipe, path in BUNDLED_DETECTORS.items()
        for side in SIDES
    }
    detectors |= {f"opencv at {side}": OpenCvYuNet(MIN_SCORE, side) for side in (SIDE, 480)}
    if hasattr(cv2, "CascadeClassifier"):
        detectors["haar"] = Haar()
    points = dict.fromkeys(detectors, threshold) | {"haar": 1.0}
    curves, table, detections = {}, {}, {}
    for name, detector in detectors.items():
        curves[name], detections[name] = evaluate(detector, photos)
        recall, false = curves[name].at_threshold(points[name])
        table[name] = {
            "threshold": round(points[name], 4),
            "recall": round(recall, 4),
            "false_per_photo": round(false, 4),
            f"recall_at_{FALSE_PER_PHOTO:g}_false": round(curves[name].at_false(FALSE_PER_PHOTO)[0], 4),
            "by": recall_by_group(photos, detections[name], points[name]),
        }
    draw_sheet(out / "sheet.png", photos, detections[f"int8 at {SIDE}"], threshold)
    curve, others_int8 = evaluate(detectors[f"int8 at {SIDE}"], others)
    _, others_float = evaluate(detectors[f"float16 at {SIDE}"], others)
    all_int8, all_float = (
        np.concatenate([best_scores(detections[f"{recipe} at {SIDE}"], photos), best_scores(rest, others)])
        for recipe, rest in (("int8", others_int8), ("float16", others_float))
    )
    frames = list(photo_grids(photos, 2))
    report: dict[str, Any] = {
        "machine": describe(),
        "photos": len(photos),
        "labelled": sum(len(photo.boxes) for photo in photos),
        "detectors": table,
        "threshold": {
            "photos": len(others),
            "labelled": sum(len(photo.boxes) for photo in others),
            "at": {f"{score:.2f}": [round(value, 4) for value in curve.at_threshold(score)] for score in THRESHOLDS},
        },
        "four_photos_in_a_vga_frame": {
            f"int8 at {side}": recall_by_size(YuNet(BUNDLED_DETECTORS["int8"], side=side), frames) for side in SIDES
        },
        "float16_to_int8": compare_paired(all_float, all_int8, threshold),
    }
    if num_runs:
        vga = cast(Pixels, cv2.resize(photos[0].frame_bgr, (640, 480), interpolation=cv2.INTER_LINEAR))
        timed: dict[str, Detector] = {"opencv at 320": OpenCvYuNet()}
        timed |= {
            f"{recipe} at {side}": YuNet(path, side=side)
            for recipe, path in BUNDLED_DETECTORS.items()
            for side in SIDES
        }
        report["time"] = measure_latency(timed, vga, num_runs)
    plotted = [name for name in curves if name.endswith(f" at {SIDE}") or name == "haar"]
    draw_curves(out / "curves.png", {name: curves[name] for name in plotted}, points)
    write_json(out / "detectors.json", report)
    print_json(json.loads((out / "detectors.json").read_text()))
    console.print(f"wrote {out}; sheet.png shows real people: do not publish it")


if __name__ == "__main__":
    typer.run(main)
