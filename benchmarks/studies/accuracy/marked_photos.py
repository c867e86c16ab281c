"""Readers of photos with annotated faces: boxes by YuNet (`faces.csv`) and by people (ExpW)."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.imaging.boxes import Floats
from fer_edge.imaging.images import Pixels, read_picture

COLUMNS = ("x", "y", "w", "h", "right_eye_x", "right_eye_y", "left_eye_x", "left_eye_y", "score")
CONFIDENT_SCORE = 0.6
"""A detection with a lower score may not be a face."""


@dataclass(frozen=True)
class Photo:
    """A photo and YuNet's detections in it."""

    name: str
    size_wh: tuple[int, int]
    boxes: Floats
    """(n, 4): x, y, w, h in pixels; may extend beyond the picture."""
    eyes: Floats
    """(n, 4): right eye x, y, left eye x, y in pixels."""
    confident: npt.NDArray[np.bool_]
    """(n,): whether the score is at least `CONFIDENT_SCORE`."""


def read_photos(root: Path, split: str) -> Iterator[Photo]:
    """Read the photos of a split of `faces.csv`, which has a row per face, and one for a photo without faces.

    Args:
        root: Folder with faces.csv and pictures/.
        split: train or valid.
    """
    rows: dict[str, list[list[float]]] = defaultdict(list)
    with (root / "faces.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            if row["split"] == split:
                rows[row["picture"]] += [[float(row[name]) for name in COLUMNS]] if row["w"] else []
    for name in sorted(rows):
        height, width = read_picture(root / "pictures" / name).shape[:2]
        values = np.array(rows[name], np.float32).reshape(-1, len(COLUMNS))
        yield Photo(name, (width, height), values[:, :4], values[:, 4:8], values[:, 8] >= CONFIDENT_SCORE)


def read_labelled(expw: Path, faces: Path, split: str = "valid") -> Iterator[tuple[Photo, Pixels, Floats, Floats]]:
    """Read the photos of a split that have boxes drawn by people.

    A line of ExpW's `label.lst` is name, id, top, left, right, bottom and two more.

    Args:
        expw: Folder with label.lst and origin/.
        faces: As `read_photos` takes it.
        split: valid to evaluate, train to choose a threshold.

    Yields:
        YuNet's detections; the original photo, (height, width, 3) uint8 BGR; people's boxes and YuNet's boxes, (n, 4)
        x, y, w, h in pixels of the original.
    """
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for line in (expw / "label.lst").read_text().splitlines():
        name, _, top, left, right, bottom, *_ = line.split()
        boxes[name].append([float(left), float(top), float(right) - float(left), float(bottom) - float(top)])
    for photo in read_photos(faces, split):
        if photo.name in boxes:
            frame = read_picture(expw / "origin" / photo.name)
            yunet_boxes = photo.boxes * np.float32(frame.shape[1] / photo.size_wh[0])
            yield photo, frame, np.array(boxes[photo.name], np.float32), yunet_boxes
