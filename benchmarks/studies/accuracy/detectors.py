"""How well and how fast detectors find the faces of held-out photos, side by side: figures, curve and contact sheet.

python -m studies.accuracy.detectors --expw expw --faces faces --yunet yunet.onnx --out runs/detectors

The photos are those of `faces.csv` that no training saw (split valid), where ExpW's `label.lst` has people's own boxes.
A found box is a hit if it overlaps a labelled one by `detection_metrics.ENOUGH`; what lies on a face that YuNet marked
in `faces.csv` counts neither way; everything else is a false alarm. So YuNet has hardly any by definition.
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
from studies.accuracy.detection_metrics import ENOUGH, FALSE_PER_PHOTO, LEAST_SCORE, Curve, curve, judge
from studies.accuracy.detector_plots import Labelled, arrays_of, draw_curves, draw_sheet
from studies.accuracy.marked_photos import read_labelled
from studies.accuracy.opencv_yunet import OpenCvYuNet

HAAR_SIDE = 416
THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
"""Scores whose recall and false alarms per photo are told, of the photos that choose the threshold."""
SIZES = (0, 24, 48, 96, 1000)
"""Longer side of a labelled box, in pixels of a 320x240 input."""
VGA_SIZES = (0, 16, 24, 48, 160, 1000)
"""Likewise, in pixels of a VGA frame."""
GREYS = (0, 60, 100, 140, 256)
"""Mean grey of a labelled box."""
TILTS = (0, 10, 25, 90)
"""Degrees that the line through both eyes is off level, by YuNet's landmarks."""


class Haar(Detector):
    """OpenCV's Haar cascade for frontal faces, as long as OpenCV 4 still has it."""

    name = "haar"

    def __init__(self) -> None:
        opencv: Any = cv2
        self._cascade = opencv.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        """Find the faces in a (height, width, 3) uint8 BGR frame."""
        scale = min(HAAR_SIDE / max(frame_bgr.shape), 2.0)
        small = cv2.resize(to_grey(frame_bgr), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        squares = self._cascade.detectMultiScale(small, scaleFactor=1.1, minNeighbors=3, minSize=(32, 32))
        return [Detection(Box(*(float(value) / scale for value in square)), 1.0) for square in squares]


def _tilts(labels: Floats, marked: Floats, eyes: Floats) -> Floats:
    tilts = np.full(len(labels), np.nan, np.float32)
    if len(marked):
        shares = overlaps(labels, marked)
        way = eyes[:, 2:] - eyes[:, :2]
        angles = np.abs(np.degrees(np.arctan2(way[:, 1], way[:, 0])))
        near = shares.max(axis=1) >= ENOUGH
        tilts[near] = angles[shares.argmax(axis=1)[near]]
    return tilts


def judged(detector: Detector, photos: list[Labelled]) -> tuple[Curve, list[list[Detection]]]:
    """Hold what a detector finds against people's boxes."""
    answers, rows = [], []
    with progress() as bar:
        for photo in bar.track(photos, description=detector.name):
            found = detector.detect(photo.frame_bgr)
            boxes, scores = arrays_of(found)
            answers.append(found)
            rows.append(judge(boxes, scores, photo.boxes, photo.marked))
    return curve(rows), answers


def groups(photos: list[Labelled], answers: list[list[Detection]], threshold: float) -> dict[str, Any]:
    """Recall by size, darkness and tilt of the labelled faces, for what was found from `threshold` on."""
    facts: dict[str, list[tuple[float, bool]]] = {"size": [], "grey": [], "tilt": []}
    for photo, found in zip(photos, answers, strict=True):
        boxes, _ = arrays_of([face for face in found if face.score >= threshold])
        height, width = photo.frame_bgr.shape[:2]
        fit = min(320 / width, 240 / height)
        grey = to_grey(photo.frame_bgr)
        for label, tilt in zip(photo.boxes, photo.tilts, strict=True):
            hit = bool(len(boxes) and overlaps(label[None], boxes).max() >= ENOUGH)
            x, y, w, h = (int(value) for value in np.maximum(label, 0))
            facts["size"].append((fit * max(label[2:]), hit))
            facts["grey"].append((float(grey[y : y + h + 1, x : x + w + 1].mean()), hit))
            facts["tilt"].append((float(tilt), hit))
    edges = {"size": SIZES, "grey": GREYS, "tilt": TILTS}
    return {name: _binned(facts[name], edges[name]) for name in facts}


def _binned(facts: list[tuple[float, bool]], edges: tuple[int, ...]) -> dict[str, Any]:
    table = {}
    for low, high in pairwise(edges):
        hits = [hit for value, hit in facts if low <= value < high]
        table[f"{low} to {high}"] = {"n": len(hits), "recall": round(sum(hits) / len(hits), 4) if hits else None}
    return table


def crowd(photos: list[Labelled], across: int) -> Iterator[tuple[Pixels, Floats]]:
    """Put photos side by side into VGA frames, `across` in each row and column: tiny faces, and many of them.

    Yields:
        (480, 640, 3) uint8 BGR, and people's boxes in it, (n, 4).
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
    """Recall by the longer side of a face in pixels of a VGA frame."""
    facts = []
    for frame, labels in frames:
        boxes, _ = arrays_of(detector.detect(frame))
        hits = overlaps(labels, boxes).max(axis=1, initial=0) >= ENOUGH
        facts += list(zip(labels[:, 2:].max(axis=1).tolist(), hits.tolist(), strict=True))
    return _binned(facts, VGA_SIZES) | {"all": round(statistics.mean(hit for _, hit in facts), 4)}


def timed(detectors: dict[str, Detector], frame_bgr: Pixels, runs: int) -> dict[str, Any]:
    """Milliseconds of each detector on one frame, in turns; and how many times the first one's time each takes."""
    seconds: list[list[float]] = [[] for _ in detectors]
    for turn in range(runs + 10):
        for detector, taken in zip(detectors.values(), seconds, strict=True):
            begun = time.perf_counter()
            detector.detect(frame_bgr)
            if turn >= 10:
                taken.append(time.perf_counter() - begun)
    table = {}
    for name, taken in zip(detectors, seconds, strict=True):
        ratios = [there / here for here, there in zip(seconds[0], taken, strict=True)]
        table[name] = {
            "ms": round(1000 * statistics.median(taken), 3),
            "times_the_first": round(statistics.median(ratios), 2),
        }
    return table


def read(expw: Path, faces: Path, split: str) -> list[Labelled]:
    """Read the photos of a split in which people drew boxes."""
    return [
        Labelled(photo.name, frame, labels, marked, _tilts(labels, marked, photo.eyes))
        for photo, frame, labels, marked in read_labelled(expw, faces, split)
    ]


def found_scores(answers: list[list[Detection]], photos: list[Labelled]) -> Floats:
    """Best score of what overlaps each labelled face; 0 where nothing does."""
    best: list[float] = []
    for photo, found in zip(photos, answers, strict=True):
        boxes, scores = arrays_of(found)
        hits = overlaps(photo.boxes, boxes) >= ENOUGH
        best += [float(scores[row].max(initial=0)) for row in hits]
    return np.array(best, np.float32)


def paired(before: Floats, after: Floats, threshold: float) -> dict[str, Any]:
    """Hold two detectors against each other on the same faces."""
    was, now = before >= threshold, after >= threshold
    return {
        "faces": len(was),
        "recall_before": round(float(was.mean()), 4),
        "recall_after": round(float(now.mean()), 4),
        "lost": int((was & ~now).sum()),
        "gained": int((now & ~was).sum()),
    }


def main(
    expw: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    faces: Annotated[Path, typer.Option(help="Folder with faces.csv and pictures/.")],
    out: Annotated[Path, typer.Option(help="Folder for figures, curve and contact sheet.")],
    num_runs: Annotated[int, typer.Option(min=0, help="Timed runs of each detector; 0: none.")] = 200,
) -> None:
    """Judge the bundled detectors beside the same network in OpenCV, and Haar."""
    cv2.setNumThreads(1)
    make_folder(out)
    photos, others = read(expw, faces, "valid"), read(expw, faces, "train")
    threshold = YuNet().threshold
    detectors: dict[str, Detector] = {
        f"{recipe} at {side}": YuNet(path, LEAST_SCORE, side=side)
        for recipe, path in BUNDLED_DETECTORS.items()
        for side in SIDES
    }
    detectors |= {f"opencv at {side}": OpenCvYuNet(LEAST_SCORE, side) for side in (SIDE, 480)}
    if hasattr(cv2, "CascadeClassifier"):
        detectors["haar"] = Haar()
    points = dict.fromkeys(detectors, threshold) | {"haar": 1.0}
    curves, table, everything = {}, {}, {}
    for name, detector in detectors.items():
        curves[name], answers = judged(detector, photos)
        recall, false = curves[name].at_threshold(points[name])
        table[name] = {
            "threshold": round(points[name], 4),
            "recall": round(recall, 4),
            "false_per_photo": round(false, 4),
            f"recall_at_{FALSE_PER_PHOTO:g}_false": round(curves[name].at_false(FALSE_PER_PHOTO)[0], 4),
            "by": groups(photos, answers, points[name]),
        }
        everything[name] = answers
    draw_sheet(out / "sheet.png", photos, everything[f"int8 at {SIDE}"], threshold)
    chosen, others_int8 = judged(detectors[f"int8 at {SIDE}"], others)
    _, others_float = judged(detectors[f"float16 at {SIDE}"], others)
    all_int8, all_float = (
        np.concatenate([found_scores(everything[f"{recipe} at {SIDE}"], photos), found_scores(rest, others)])
        for recipe, rest in (("int8", others_int8), ("float16", others_float))
    )
    frames = list(crowd(photos, 2))
    report: dict[str, Any] = {
        "machine": describe(),
        "photos": len(photos),
        "labelled": sum(len(photo.boxes) for photo in photos),
        "detectors": table,
        "threshold": {
            "photos": len(others),
            "labelled": sum(len(photo.boxes) for photo in others),
            "at": {f"{score:.2f}": [round(value, 4) for value in chosen.at_threshold(score)] for score in THRESHOLDS},
        },
        "four_photos_in_a_vga_frame": {
            f"int8 at {side}": recall_by_size(YuNet(BUNDLED_DETECTORS["int8"], side=side), frames) for side in SIDES
        },
        "float16_to_int8": paired(all_float, all_int8, threshold),
    }
    if num_runs:
        vga = cast(Pixels, cv2.resize(photos[0].frame_bgr, (640, 480), interpolation=cv2.INTER_LINEAR))
        in_use: dict[str, Detector] = {"opencv at 320": OpenCvYuNet()}
        in_use |= {
            f"{recipe} at {side}": YuNet(path, side=side)
            for recipe, path in BUNDLED_DETECTORS.items()
            for side in SIDES
        }
        report["time"] = timed(in_use, vga, num_runs)
    shown = [name for name in curves if name.endswith(f" at {SIDE}") or name == "haar"]
    draw_curves(out / "curves.png", {name: curves[name] for name in shown}, points)
    write_json(out / "detectors.json", report)
    print_json(json.loads((out / "detectors.json").read_text()))
    console.print(f"wrote {out}; sheet.png shows real people: keep it to yourself")


if __name__ == "__main__":
    typer.run(main)
