"""What a training learns from: the faces of one data set or several, and what teachers say of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet, Protocol
from fer_edge.data.provenance import UsedPictures
from fer_edge.errors import DAMAGE, DataError
from fer_edge.files import replacing
from fer_edge.imaging.images import Pixels
from fer_edge_train.data.leaks import leak_warning
from fer_edge_train.data.split import doubts_of
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import ABSENT, Batches, Floats, class_weights, targets
from fer_edge_train.training.class_union import asked_for, joined
from fer_edge_train.training.distillation import answers, load_teachers, load_unlabelled


@dataclass(frozen=True)
class TrainingSet:
    """Faces to learn from and to be judged on."""

    faces: FaceSet
    """Of all data sets; the source says where from."""
    asked: npt.NDArray[np.bool_]
    """(n, classes): whether the data set of each face asked people for the class."""
    weights: Floats
    """(n,): how much each face counts in training."""
    unlabelled: FaceSet | None = None
    """Faces that only teachers say something of."""

    @property
    def seen(self) -> UsedPictures | None:
        """The pictures that are trained and chosen on."""
        seen = UsedPictures.of(self.faces)
        if seen is None or self.unlabelled is None:
            return seen
        return UsedPictures(np.union1d(seen.training, self.unlabelled.photos), seen.validation)


def read_training_set(settings: TrainSettings) -> TrainingSet:
    """Read every data set that the settings name.

    Raises:
        FerEdgeError: One cannot be used.
    """
    sets = [load_faces(Path(data), size=settings.imgsz, settings=settings.reading) for data in settings.data]
    faces, sizes = joined(sets), [len(one) for one in sets]
    if "training" not in faces.split:
        splits = " and ".join(sorted(set(faces.split.tolist())))
        raise DataError(
            f"{' '.join(settings.data)} has no training face, only {splits} ones; give class folders without splits, "
            "which are divided for you: fer-edge train --data DIR"
        )
    weights = np.array(settings.data_weight or [1.0] * len(sets), np.float32)
    training_set = TrainingSet(faces, np.repeat(asked_for(sets), sizes, axis=0), np.repeat(weights, sizes))
    for one, data in zip(sets, settings.data, strict=True):
        for doubt in doubts_of(one):
            warn(doubt if len(sets) == 1 else f"{data}: {doubt}")
    if leaks := leak_warning(faces, settings.data):
        warn(leaks)
    return _with_unlabelled(training_set, settings) if settings.unlabelled else training_set


def _with_unlabelled(training_set: TrainingSet, settings: TrainSettings) -> TrainingSet:
    """Add faces for the teachers, without those that the network will be judged on."""
    unlabelled = load_unlabelled(Path(settings.unlabelled), settings.imgsz, settings.reading)
    held_out = training_set.faces.take(training_set.faces.split != "training")
    met = np.isin(unlabelled.photos, held_out.photos)
    if met.any():
        console.print(f"{met.sum():,} faces of {settings.unlabelled} are held out by the data; they are left out")
    source = {**training_set.faces.source, "unlabelled": unlabelled.source}
    faces = replace(training_set.faces, source=source)
    return replace(training_set, faces=faces, unlabelled=unlabelled.take(~met))


def training_batches(training_set: TrainingSet, settings: TrainSettings, said: Floats | None) -> Batches:
    """Make the batches of a training.

    Args:
        training_set: As read.
        settings: Of the training.
        said: What the teachers say (`ask_teachers`), or None without teachers.

    Raises:
        DataError: No training face is left to learn from.
    """
    faces, chosen, weights = _to_learn(training_set, settings)
    if settings.class_weights:
        weights = weights * class_weights(chosen)
    if said is not None:
        chosen = np.stack([chosen, said], axis=1)
    return Batches(faces, chosen, weights, settings)


def _to_learn(training_set: TrainingSet, settings: TrainSettings) -> tuple[Pixels, Floats, Floats]:
    """Faces, what people say of them, and weights; those that nobody has labelled stand last."""
    training = training_set.faces.split == "training"
    kept, chosen = targets(training_set.faces.take(training), settings.label_mode)
    rows = np.flatnonzero(training)[kept]
    chosen = np.where(training_set.asked[rows], chosen, np.float32(ABSENT))
    faces, weights = training_set.faces.faces[rows], training_set.weights[rows]
    if training_set.unlabelled:
        n = len(training_set.unlabelled)
        faces = np.concatenate([faces, training_set.unlabelled.faces])
        chosen = np.concatenate([chosen, np.full((n, chosen.shape[1]), ABSENT, np.float32)])
        weights = np.concatenate([weights, np.ones(n, np.float32)])
    return faces, chosen, weights


def ask_teachers(training_set: TrainingSet, settings: TrainSettings) -> Floats | None:
    """Ask the teachers what they think of every training face: (n, classes), or None where there are none.

    Raises:
        FerEdgeError: A teacher cannot be used.
    """
    if not settings.teacher:
        return None
    classes = training_set.faces.classes
    teachers = load_teachers(settings.teacher, classes)
    return answers(teachers, _to_learn(training_set, settings)[0], classes, settings.teacher_temperature)


def validation(training_set: TrainingSet, protocol: Protocol, data: Sequence[str]) -> tuple[FaceSet, Floats]:
    """Choose the faces that choose the best epoch.

    Args:
        training_set: As read.
        protocol: FER+'s, where votes differ.
        data: What to name where there are none.

    Returns:
        The faces, and (n, classes) one-hot targets with `ABSENT` where a class was not asked for.

    Raises:
        DataError: There is none.
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
    return faces, np.where(training_set.asked[rows], one_hot, np.float32(ABSENT))


def save_answers(path: Path, said: Floats | None) -> None:
    """Keep what the teachers said, so that a run goes on even where they are gone; removes an older file."""
    if said is None:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, said=said)


def load_answers(path: Path) -> Floats:
    """Read what `save_answers` kept.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as columns:
            return np.asarray(columns["said"], np.float32)
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{path} is missing or damaged; start a new run without --resume") from error
