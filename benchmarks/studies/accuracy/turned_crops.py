"""Does it help to turn the crop until the eyes are level? Accuracy on rolled pictures, and flicker on a film.

python -m studies.accuracy.turned_crops --muxspace muxspace --expw expw --film runs/clip/clip.mp4

Pictures are rolled about their centre, the border repeated; every one is looked at by the bundled detector, and the
face that overlaps the labelled one (a ready crop: the best) is cut out by the crop rule, upright and turned with the
eyes. Of muxspace only testing people, divided with seed
0. `film` is what `studies.accuracy.tracking_clip` leaves: how often the answer for a followed face changes.
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
"""Share of a picture's side that is added on each side before it is rolled: a tight crop's corners would be lost."""


def rolled(picture: Pixels, degrees: float) -> tuple[Pixels, Any]:
    """Turn a picture about its centre; also the (2, 3) matrix that leads from its pixels to the result's."""
    height, width = picture.shape[:2]
    wider = round(MARGIN * width), round(MARGIN * height)
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0))
    matrix[:, 2] += wider
    size_wh = (width + 2 * wider[0], height + 2 * wider[1])
    return cast(Pixels, cv2.warpAffine(picture, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)), matrix


def answers(classifier: Classifier, frame: Pixels, face: Detection) -> tuple[str, str]:
    """What the model says of the face as it is, and of the face turned."""
    contract = classifier.contract
    crops = [
        crop_face(frame, face.box, contract.size, contract.crop_scale, contract.colour, roll)
        for roll in (0.0, face.roll)
    ]
    upright, level = classifier.network.logits(np.stack(crops)).argmax(axis=1)
    return contract.labels[upright], contract.labels[level]


def labelled(root: Path) -> Iterator[tuple[Pixels, str, Box | None]]:
    """Go through the testing faces of a data set that is divided by person, or through all that have a box."""
    settings = DataSettings(group="person")
    table = read_table(root, settings)
    has_boxes = bool(table.rows["x"].notna().any())
    if not has_boxes:
        table = table.keep(assign(table.rows, settings) == "testing")
    with progress() as bar:
        for row in bar.track(list(table.rows.to_dict("records")), description=root.name):
            box = Box(row["x"], row["y"], row["w"], row["h"]) if has_boxes else None
            yield read_picture(table.root / row["picture"]), row["label"], box


def judged(root: Path, classifier: Classifier, detector: YuNet) -> dict[str, Any]:
    """Accuracy with and without turning, for each roll."""
    right: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for picture, label, box in labelled(root):
        for degrees in ROLLS:
            frame, matrix = rolled(picture, degrees)
            found = detector.detect(frame)
            if box is not None:
                x, y = matrix @ (box.x + box.w / 2, box.y + box.h / 2, 1)
                there = Box(x - box.w / 2, y - box.h / 2, box.w, box.h)
                found = [one for one in found if overlap(one.box, there) >= 0.4]
            if found:
                right[degrees].append(
                    cast(tuple[bool, bool], tuple(np.equal(answers(classifier, frame, found[0]), label)))
                )
    return {
        f"{degrees} degrees": {
            "faces": len(pairs),
            "as_it_is": round(float(np.mean([upright for upright, _ in pairs])), 4),
            "turned": round(float(np.mean([level for _, level in pairs])), 4),
        }
        for degrees, pairs in right.items()
    }


def flicker(film: Path, classifier: Classifier, detector: YuNet) -> dict[str, Any]:
    """How often the answer for a followed face differs from that of the frame before, both ways."""
    follower = FaceTracker(detector, detect_every=3)
    seen: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for frame in open_source(str(film)):
        for one in follower.step(frame.bgr, frame.t):
            seen[one.id].append(answers(classifier, frame.bgr, one.detection))
    pairs = [pair for told in seen.values() for pair in pairwise(told)]
    return {
        "pairs": len(pairs),
        "as_it_is": round(sum(before[0] != now[0] for before, now in pairs) / len(pairs), 4),
        "turned": round(sum(before[1] != now[1] for before, now in pairs) / len(pairs), 4),
    }


def main(
    muxspace: Annotated[Path, typer.Option(help="Folder of ready crops, named by person.")],
    expw: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    film: Annotated[Path | None, typer.Option(help="Film of benchmarks/studies/accuracy/tracking_clip.py.")] = None,
) -> None:
    """Print the accuracies and the flicker as JSON."""
    cv2.setNumThreads(1)
    classifier, detector = Classifier(), YuNet()
    report = {root.name: judged(root, classifier, detector) for root in (muxspace, expw)}
    if film:
        report["film: share of frames whose answer changes"] = flicker(film, classifier, detector)
    print_json(report)


if __name__ == "__main__":
    typer.run(main)
