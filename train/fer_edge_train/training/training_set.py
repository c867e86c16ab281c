"""The training set: the faces of one or several data sets, and teacher targets for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet, Protocol, must_have_two_classes
from fer_edge.data.provenance import UsedPictures
from fer_edge.errors import DAMAGE, DataError
from fer_edge.files import replacing
from fer_edge.imaging.images import Pixels
from fer_edge_train.data.leaks import leak_warning
from fer_edge_train.data.split import face_set_warnings
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import ABSENT, Batches, Floats, class_weights, targets
from fer_edge_train.training.class_union import annotated_classes, joined
from fer_edge_train.training.distillation import load_teachers, load_unlabelled, teacher_probabilities


@dataclass(frozen=True)
class TrainingSet:
    """Faces for training and evaluation."""

    faces: FaceSet
    """Of all data sets."""
    annotated: npt.NDArray[np.bool_]
    """(n, classes): whether the data set of each face annotates the class."""
    weights: Floats
    """(n,): training weight of each face."""
    unlabelled: FaceSet | None = None
    """Faces with teacher targets only."""

    @property
    def used(self) -> UsedPictures | None:
        """Pictures used for training and for choosing the best epoch."""
        used = UsedPictures.of(self.faces)
        if used is None or self.unlabelled is None:
            return used
        return UsedPictures(np.union1d(used.training, self.unlabelled.photos), used.validation)


def read_training_set(settings: TrainSettings, known: tuple[str, ...] = ()) -> TrainingSet:
    """Load every data set of the settings; `known` are the classes of a run to resume.

    Raises:
        FerEdgeError: One cannot be used.
    """
    sets = [
        load_faces(Path(data), size=settings.imgsz, settings=settings.reading, known=known) for data in settings.data
    ]
    faces, sizes = joined(sets, known), [len(one) for one in sets]
    if "training" not in faces.split:
        splits = " and ".join(sorted(set(faces.split.tolist())))
        raise DataError(
            f"{' '.join(settings.data)} has no training face, only {splits} ones; give class folders without splits, "
            "which train splits itself: fer-edge train --data DIR"
        )
    must_have_two_classes(faces.part("training"), " ".join(settings.data))
    weights = np.array(settings.data_weight or [1.0] * len(sets), np.float32)
    training_set = TrainingSet(
        faces, np.repeat(annotated_classes(sets, faces.classes), sizes, axis=0), np.repeat(weights, sizes)
    )
    for one, data in zip(sets, settings.data, strict=True):
        for warning in face_set_warnings(one):
            warn(warning if len(sets) == 1 else f"{data}: {warning}")
    if leaks := leak_warning(faces, settings.data):
        warn(leaks)
    return _with_unlabelled(training_set, settings) if settings.unlabelled else training_set


def _with_unlabelled(training_set: TrainingSet, settings: TrainSettings) -> TrainingSet:
    """Add unlabelled faces, except held-out ones."""
    unlabelled = load_unlabelled(Path(settings.unlabelled), settings.imgsz, settings.reading)
    held_out = training_set.faces.take(training_set.faces.split != "training")
    excluded = np.isin(unlabelled.photos, held_out.photos)
    if excluded.any():
        console.print(f"skipped {excluded.sum():,} faces of {settings.unlabelled} that are held out for evaluation")
    source = {**training_set.faces.source, "unlabelled": unlabelled.source}
    faces = replace(training_set.faces, source=source)
    return replace(training_set, faces=faces, unlabelled=unlabelled.take(~excluded))


def training_batches(training_set: TrainingSet, settings: TrainSettings, teacher_targets: Floats | None) -> Batches:
    """Make the training batches.

    Args:
        training_set: The training set.
        settings: Training settings.
        teacher_targets: Result of `predict_teachers`, or None without teachers.

    Raises:
        DataError: No training face is left.
    """
    faces, chosen, weights = _training_rows(training_set, settings)
    if settings.class_weights:
        weights = weights * class_weights(chosen)
    if teacher_targets is not None:
        chosen = np.stack([chosen, teacher_targets], axis=1)
    return Batches(faces, chosen, weights, settings)


def _training_rows(training_set: TrainingSet, settings: TrainSettings) -> tuple[Pixels, Floats, Floats]:
    """Training faces, label targets and weights; unlabelled faces come last."""
    training = training_set.faces.split == "training"
    kept, chosen = targets(training_set.faces.take(training), settings.label_mode)
    rows = np.flatnonzero(training)[kept]
    chosen = np.where(training_set.annotated[rows], chosen, np.float32(ABSENT))
    faces, weights = training_set.faces.faces[rows], training_set.weights[rows]
    if training_set.unlabelled:
        n = len(training_set.unlabelled)
        faces = np.concatenate([faces, training_set.unlabelled.faces])
        chosen = np.concatenate([chosen, np.full((n, chosen.shape[1]), ABSENT, np.float32)])
        weights = np.concatenate([weights, np.ones(n, np.float32)])
    return faces, chosen, weights


def predict_teachers(training_set: TrainingSet, settings: TrainSettings) -> Floats | None:
    """Run the teachers on every training face: (n, classes) probabilities, or None without teachers.

    Raises:
        FerEdgeError: A teacher cannot be used.
    """
    if not settings.teacher:
        return None
    classes = training_set.faces.classes
    teachers = load_teachers(settings.teacher, classes)
    return teacher_probabilities(
        teachers, _training_rows(training_set, settings)[0], classes, settings.teacher_temperature
    )


def validation(training_set: TrainingSet, protocol: Protocol, data: Sequence[str]) -> tuple[FaceSet, Floats]:
    """Select the validation faces, which choose the best epoch.

    Args:
        training_set: The training set.
        protocol: FER+ protocol.
        data: Paths for the error message.

    Returns:
        The faces, and (n, classes) one-hot targets with `ABSENT` for classes that are not annotated.

    Raises:
        DataError: No validation face.
    """
    rows = training_set.faces.split == "validation"
    if protocol == "majority":
        rows &= training_set.faces.agreed
    faces = training_set.faces.take(rows)
    if len(faces) == 0:
        raise DataError(
            f"{' '.join(data)} has no validation face; make another: fer-edge prepare --data DIR --out SET.npz"
        )
    one_hot = np.eye(len(faces.classes), dtype=np.float32)[faces.labels]
    return faces, np.where(training_set.annotated[rows], one_hot, np.float32(ABSENT))


def save_teacher_targets(path: Path, teacher_targets: Floats | None) -> None:
    """Keep teacher targets, so that a run goes on even where they are gone; removes an older file."""
    if teacher_targets is None:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, said=teacher_targets)


def load_teacher_targets(path: Path) -> Floats:
    """Read the file of `save_teacher_targets`.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as columns:
            return np.asarray(columns["said"], np.float32)
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{path} is missing or damaged; start a new run without --resume") from error
