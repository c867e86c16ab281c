"""Effect of aligning crops by the eyes: accuracy on rotated pictures, and label changes on a video.

python -m studies.accuracy.turned_crops --muxspace muxspace --expw expw --video runs/clip/clip.mp4

Pictures are rotated about their centre with replicated borders. The bundled detector finds the faces, and the one that
overlaps the labelled box (for pictures without boxes: the best one) is cropped upright and aligned with the eyes. Of
muxspace only testing people are used, split with seed 0. The video is that of `studies.accuracy.tracking_clip`; counted
is how often the label of a tracked face changes.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, cast

import cv2
import numpy as np
import typer

from fer_edge.console import print_json, progress
from fer_edge.detection.detector import Detection, YuNet
from fer_edge.imaging.crop import Box, crop_face, overlap
from fer_edge.imaging.images import Pixels, read_picture
from fer_edge.recognition.classifier import Classifier
from fer_edge.sources import open_source
from fer_edge.tracking.tracker import FaceTracker
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import assign

ROLLS = (0, 15, 30)
"""Degrees."""
MARGIN = 0.5
"""Border added on each side before rotation, as a share of the side; else a tight crop would lose its corners."""


def rotated(picture: Pixels, degrees: float) -> tuple[Pixels, Any]:
    """Rotate a picture about its centre; also return the (2, 3) matrix from its pixels to the result's."""
    height, width = picture.shape[:2]
    border = round(MARGIN * width), round(MARGIN * height)
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0))
    matrix[:, 2] += border
    size_wh = (width + 2 * border[0], height + 2 * border[1])
    return cast(Pixels, cv2.warpAffine(picture, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)), matrix


def classify_both(classifier: Classifier, frame: Pixels, face: Detection) -> tuple[str, str]:
    """Return the labels of the upright crop and of the aligned crop."""
    contract = classifier.contract
    crops = [
        crop_face(frame, face.box, contract.size, contract.crop_scale, contract.colour, roll)
        for roll in (0.0, face.roll)
    ]
    upright, aligned = classifier.network.logits(np.stack(crops)).argmax(axis=1)
    return contract.labels[upright], contract.labels[aligned]


def labelled(root: Path) -> Iterator[tuple[Pixels, str, Box | None]]:
    """Read the faces of a data set that have a box, or without boxes its testing faces, split by person."""
    settings = DataSettings(group="person")
    table = read_table(root, settings)
    has_boxes = bool(table.rows["x"].notna().any())
    if not has_boxes:
        table = table.keep(assign(table.rows, settings) == "testing")
    with progress() as bar:
        for row in bar.track(list(table.rows.to_dict("records")), description=root.name):
            box = Box(row["x"], row["y"], row["w"], row["h"]) if has_boxes else None
            yield read_picture(table.root / row["picture"]), row["label"], box


def accuracy(root: Path, classifier: Classifier, detector: YuNet) -> dict[str, Any]:
    """Return accuracy with and without alignment for each rotation."""
    correct: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for picture, label, box in labelled(root):
        for degrees in ROLLS:
            frame, matrix = rotated(picture, degrees)
            found = detector.detect(frame)
            if box is not None:
                x, y = matrix @ (box.x + box.w / 2, box.y + box.h / 2, 1)
                target = Box(x - box.w / 2, y - box.h / 2, box.w, box.h)
                found = [one for one in found if overlap(one.box, target) >= 0.4]
            if found:
                correct[degrees].append(
                    cast(tuple[bool, bool], tuple(np.equal(classify_both(classifier, frame, found[0]), label)))
                )
    return {
        f"{degrees} degrees": {
            "faces": len(pairs),
            "as_it_is": round(float(np.mean([upright for upright, _ in pairs])), 4),
            "turned": round(float(np.mean([aligned for _, aligned in pairs])), 4),
        }
        for degrees, pairs in correct.items()
    }


def label_changes(video: Path, classifier: Classifier, detector: YuNet) -> dict[str, Any]:
    """Return how often the label of a tracked face differs from the previous frame's, for both crops."""
    tracker = FaceTracker(detector, detect_every=3)
    labels: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for frame in open_source(str(video)):
        for one in tracker.step(frame.bgr, frame.t):
            labels[one.id].append(classify_both(classifier, frame.bgr, one.detection))
    pairs = [pair for track in labels.values() for pair in pairwise(track)]
    return {
        "pairs": len(pairs),
        "as_it_is": round(sum(before[0] != now[0] for before, now in pairs) / len(pairs), 4),
        "turned": round(sum(before[1] != now[1] for before, now in pairs) / len(pairs), 4),
    }


def main(
    muxspace: Annotated[Path, typer.Option(help="Folder of face crops, named by person.")],
    expw: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    video: Annotated[Path | None, typer.Option(help="Video of studies.accuracy.tracking_clip.")] = None,
) -> None:
    """Print accuracies and label changes as JSON."""
    cv2.setNumThreads(1)
    classifier, detector = Classifier(), YuNet()
    report = {root.name: accuracy(root, classifier, detector) for root in (muxspace, expw)}
    if video:
        report["video: share of frames whose answer changes"] = label_changes(video, classifier, detector)
    print_json(report)


if __name__ == "__main__":
    typer.run(main)
