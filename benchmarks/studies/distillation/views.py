"""Augmented views of each training face, and a teacher's logits for the same pixels, stored once.

python -m studies.distillation.views --faces faces.npz --teacher large/model_float32.tflite --out views

View 0 is the face itself. A view that is complete is skipped: after a kill, the same command goes on.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from fer_edge.console import progress
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import UsageError
from fer_edge.files import make_folder, replacing
from fer_edge.imaging.images import Pixels
from fer_edge.recognition.classifier import Classifier
from fer_edge_train.settings import Augmentation
from fer_edge_train.training.augment import augment

VIEWS = 8
AUGMENTATION = Augmentation(
    flip=False, shift=0.08, rotation=15, zoom=0.2, brightness=0.25, erasing=0.15, low_resolution=0.1,
    gaussian_blur=0.05, jpeg=0.1,
)  # fmt: skip
"""Flips are left to the student: a face and its mirror have the same expression."""
BLOCK = 1024
"""Faces per random generator and call of the teacher."""


def view_of(faces: Pixels, view: int, block: int) -> Pixels:
    """Return view number `view` of the faces of block number `block`, always the same; (n, size, size) uint8."""
    return faces if view == 0 else augment(faces, AUGMENTATION, np.random.default_rng((view, block)))


def main(
    faces: Annotated[Path, typer.Option(help="Prepared set of studies.distillation.faces.")],
    teacher: Annotated[Path, typer.Option(help="A .tflite of fer-edge export.")],
    out: Annotated[Path, typer.Option(help="Folder of the views.")],
) -> None:
    """Store the views and the teacher's logits as `view0.npy`, `logits0.npy`, ..."""
    cv2.setNumThreads(1)
    training, network = FaceSet.load(faces).part("training"), Classifier(teacher)
    size = network.contract.size
    if network.contract.labels != training.classes:
        raise UsageError(
            f"{teacher} has classes {', '.join(network.contract.labels)}; {faces} has others, or in another order"
        )
    make_folder(out)
    with progress() as bar:
        for view in range(VIEWS):
            if (out / f"logits{view}.npy").exists():
                continue
            pixels, logits = np.empty_like(training.faces), np.empty((len(training), len(training.classes)), np.float16)
            for start in bar.track(range(0, len(training), BLOCK), description=f"view {view}"):
                rows = slice(start, start + BLOCK)
                pixels[rows] = view_of(training.faces[rows], view, start // BLOCK)
                enlarged = [cv2.resize(face, (size, size), interpolation=cv2.INTER_LINEAR) for face in pixels[rows]]
                logits[rows] = network.network.logits(np.asarray(enlarged, np.uint8))
            for name, array in ((f"view{view}.npy", pixels), (f"logits{view}.npy", logits)):  # the logits last
                with replacing(out / name) as temporary, temporary.open("wb") as stream:
                    np.save(stream, array)


if __name__ == "__main__":
    typer.run(main)
