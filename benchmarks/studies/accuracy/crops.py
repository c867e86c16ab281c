"""Accuracy of the expression model on face crops that are cropped again by a detector's box.

python -m studies.accuracy.crops --data muxspace

Every picture is classified unchanged, and cropped to the best detection of each detector; accuracies are compared on
the pictures in which all detectors find a face. Only testing faces are used, split by person with seed 0.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from fer_edge.console import print_json, progress
from fer_edge.detection.detector import BUNDLED_DETECTORS, Detector, YuNet
from fer_edge.imaging.crop import crop_face, whole_frame
from fer_edge.imaging.images import read_picture
from fer_edge.recognition.classifier import Classifier
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import assign
from studies.accuracy.opencv_yunet import OpenCvYuNet


def main(
    data: Annotated[Path, typer.Option(help="Folder of face crops, in any layout of fer-edge prepare.")],
) -> None:
    """Print the number of pictures, of pictures with a detection, and the accuracies, as JSON."""
    cv2.setNumThreads(1)
    settings = DataSettings(group="person")
    table = read_table(data, settings)
    table = table.keep(assign(table.rows, settings) == "testing")
    classifier = Classifier()
    contract = classifier.contract
    detectors: dict[str, Detector] = {recipe: YuNet(path) for recipe, path in BUNDLED_DETECTORS.items()}
    detectors["opencv"] = OpenCvYuNet()
    correct: dict[str, list[bool]] = {"as it comes": [], **{name: [] for name in detectors}}
    found: dict[str, list[bool]] = {name: [] for name in detectors}
    rows = list(zip(table.rows["picture"], table.rows["label"], strict=True))
    with progress() as bar:
        for picture, label in bar.track(rows, description="cropping"):
            frame = read_picture(table.root / picture)
            boxes = {"as it comes": whole_frame(frame)}
            for name, detector in detectors.items():
                faces = detector.detect(frame)
                found[name].append(bool(faces))
                boxes[name] = faces[0].box if faces else whole_frame(frame)
            crops = [
                crop_face(frame, box, contract.size, contract.crop_scale, contract.colour) for box in boxes.values()
            ]
            classes = classifier.network.logits(np.stack(crops)).argmax(axis=1)
            for name, index in zip(boxes, classes, strict=True):
                correct[name].append(contract.labels[index] == label)
    found_by_all = np.logical_and.reduce([found[name] for name in found])
    print_json(
        {
            "pictures": len(rows),
            "found": {name: sum(hits) for name, hits in found.items()},
            "found_by_all": int(found_by_all.sum()),
            "accuracy_where_all_find": {
                name: round(float(np.array(hits)[found_by_all].mean()), 4) for name, hits in correct.items()
            },
            "accuracy_on_all": {name: round(float(np.mean(hits)), 4) for name, hits in correct.items()},
        }
    )


if __name__ == "__main__":
    typer.run(main)
