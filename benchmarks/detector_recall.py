"""Share of ExpW's labelled faces that a detector finds, through the same code as `fer-edge run`.

python benchmarks/detector_recall.py --data expw --detector yunet
"""

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from fer_edge.console import print_json, progress
from fer_edge.crop import Box, overlap
from fer_edge.detect import CONFIDENCE, make_detector
from fer_edge.images import read_picture

OVERLAP = 0.4
"""A found box counts if its intersection over union with the labelled one is at least this."""


def read_labels(path: Path) -> dict[str, list[Box]]:
    """Read `label.lst`: photo -> boxes of its labelled faces; a line is name, id, top, left, right, bottom, ..."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    for line in path.read_text().splitlines():
        name, _, top, left, right, bottom, *_ = line.split()
        boxes[name].append(Box(int(left), int(top), int(right) - int(left), int(bottom) - int(top)))
    return boxes


def main(
    data: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    detector: str = "yunet",
    detector_model: Path | None = None,
    conf: float = CONFIDENCE,
) -> None:
    """Print recall, labelled faces and boxes found as JSON."""
    cv2.setNumThreads(1)
    choice: Any = detector  # make_detector refuses what it does not know
    finder = make_detector(choice, detector_model, conf)
    labelled = found = hits = 0
    labels = read_labels(data / "label.lst")
    with progress() as bar:
        for name, boxes in bar.track(labels.items(), description=detector):
            answers = [answer.box for answer in finder.detect(read_picture(data / "origin" / name))]
            found += len(answers)
            labelled += len(boxes)
            hits += sum(any(overlap(box, answer) >= OVERLAP for answer in answers) for box in boxes)
    print_json(
        {
            "detector": finder.name,
            "photos": len(labels),
            "labelled": labelled,
            "found": found,
            "hits": hits,
            "recall": round(hits / labelled, 4),
        }
    )


if __name__ == "__main__":
    typer.run(main)
