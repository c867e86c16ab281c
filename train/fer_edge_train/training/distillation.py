"""Knowledge distillation: soft targets of teacher networks for labelled and unlabelled training faces."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_edge.console import progress, warn
from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import softmax
from fer_edge.errors import DataError, UsageError
from fer_edge.imaging.crop import resize_face
from fer_edge.imaging.images import Pixels, is_picture
from fer_edge.labels import match
from fer_edge_train.data.readers import layout_of
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.table import Table, licence_in, make_rows
from fer_edge_train.evaluation.evaluate import EvaluatedModel, load_model
from fer_edge_train.prepare.face_set import crop_faces
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.training.batches import Floats

FACE = "face"
"""The one class of unlabelled faces."""
NAME = "name a folder of face pictures, or a prepared set .npz"
BLOCK = 4096
"""Faces per call of a teacher, to bound memory."""


def load_teachers(paths: Sequence[str], classes: tuple[str, ...]) -> list[EvaluatedModel]:
    """Load run folders, `.keras` or `.tflite` files.

    Raises:
        FerEdgeError: One cannot be used.
        UsageError: One takes colour input, or has other classes than the student.
    """
    teachers = [load_model(Path(path)) for path in paths]
    for teacher in teachers:
        if teacher.colour != "grey":
            raise UsageError(f"--teacher {teacher.path} takes RGB faces; networks are trained on grey ones")
        if {match(name, classes) for name in teacher.classes} != set(classes):
            raise UsageError(
                f"--teacher {teacher.path} has classes {', '.join(teacher.classes)}; the data has {', '.join(classes)}"
            )
    return teachers


def teacher_probabilities(
    teachers: Sequence[EvaluatedModel], faces: Pixels, classes: tuple[str, ...], temperature: float
) -> Floats:
    """Predict with the teachers: the mean of their probabilities at `temperature`, as in Hinton et al. 2015.

    Faces are not augmented: each teacher runs once, not in every epoch.

    Args:
        teachers: At least one.
        faces: (n, size, size) uint8 grey.
        classes: In output order.
        temperature: Divides each teacher's logits; the higher, the softer the probabilities.

    Returns:
        (n, classes) float32; rows sum to 1.
    """
    total = np.zeros((len(faces), len(classes)))
    with progress() as bar:
        starts = [(teacher, start) for teacher in teachers for start in range(0, len(faces), BLOCK)]
        for teacher, start in bar.track(starts, description="running the teachers"):
            block = faces[start : start + BLOCK]
            columns = [teacher.classes.index(match(name, teacher.classes) or name) for name in classes]
            total[start : start + BLOCK] += softmax(teacher.logits(_resized(block, teacher.size)), temperature)[
                :, columns
            ]
    return np.asarray(total / len(teachers), np.float32)


def _resized(faces: Pixels, size: int) -> Pixels:
    return faces if faces.shape[1] == size else np.stack([resize_face(face, size) for face in faces])


def load_unlabelled(data: Path, size: int, settings: DataSettings) -> FaceSet:
    """Load unlabelled faces; labels of a data set are ignored, and its own held-out splits are skipped.

    Args:
        data: A folder of face pictures at any depth, a data set of any layout, or a prepared set (.npz).
        size: Side of a face in pixels.
        settings: How to read a data set.

    Raises:
        DataError: The folder does not exist, or holds no face.
    """
    unsplit = replace(settings, test_split=0.0, validation_split=0.0)
    if data.suffix == ".npz" or layout_of(data):
        faces = load_faces(data, size=size, settings=unsplit).part("training")
    else:
        faces, skipped = crop_faces(_table_of_pictures(data), size, unsplit)
        if skipped:
            first = f"{skipped[0].origin}: {skipped[0].reason}"
            warn(f"{len(skipped):,} pictures of {data} skipped, the first is {first}")
    if len(faces) == 0:
        raise DataError(f"--unlabelled {data}: no training face; {NAME}")
    return faces


def _table_of_pictures(root: Path) -> Table:
    """Every picture below `root`, as a data set of one class."""
    if not root.is_dir():
        raise DataError(f"--unlabelled {root}: no such folder; {NAME}")
    pictures = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if is_picture(path))
    if not pictures:
        raise DataError(
            f"--unlabelled {root}: no picture in it; name a folder of face pictures, or a prepared set .npz"
        )
    rows, _ = make_rows([{"picture": path, "label": FACE, "group": path, "origin": path} for path in pictures])
    return Table(root, "pictures", rows, (FACE,), (), licence=licence_in(root))
