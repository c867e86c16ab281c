"""Training batches: shuffled and augmented by (seed, epoch, batch) alone, so a resumed run sees the same ones."""

import keras
import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels
from fer_edge.model.quantization import to_input
from fer_edge_train.settings import LabelMode, TrainSettings
from fer_edge_train.training.augment import augment

Floats = npt.NDArray[np.float32]


ABSENT = -1.0
"""Target value of a class that the data set does not annotate: the loss masks the class."""


def targets(faces: FaceSet, labels: LabelMode) -> tuple[npt.NDArray[np.int64], Floats]:
    """Select the training faces and compute their targets.

    soft: vote shares; a single vote against others is dropped as noise (FER+'s rule, Barsoum et al. 2016).
    majority: one-hot, and only faces that count under the majority protocol.

    Returns:
        The rows kept, and their (n, classes) float32 targets, whose rows sum to 1.

    Raises:
        DataError: No face is left.
    """
    if labels == "majority":
        rows = np.flatnonzero(faces.agreed)
        chosen = np.eye(len(faces.classes), dtype=np.float32)[faces.labels[rows]]
    else:
        single_label = faces.votes.sum(axis=1, keepdims=True) <= 1
        cleaned = np.where((faces.votes > 1) | single_label, faces.votes, 0)
        rows = np.flatnonzero(cleaned.sum(axis=1) > 0)
        chosen = (cleaned[rows] / cleaned[rows].sum(axis=1, keepdims=True)).astype(np.float32)
    if len(rows) == 0:
        raise DataError(f"no training face is left with --label-mode {labels}; try the other one")
    return rows, chosen


def shares(chosen: Floats) -> Floats:
    """Label shares in (n, classes) targets or, with teacher targets, (n, 2, classes); 0 for `ABSENT`."""
    return np.maximum(chosen if chosen.ndim == 2 else chosen[:, 0], 0)


def class_weights(chosen: Floats) -> Floats:
    """Weight of each face that gives every class the same total weight: (n,) float32 with mean 1.

    Args:
        chosen: Targets; a soft one takes the mean of its classes' weights, an unlabelled one the mean of all.
    """
    labels = shares(chosen)
    mass = labels.sum(axis=0)
    weights = labels @ np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
    labelled = labels.any(axis=1)
    weights[~labelled] = weights[labelled].mean()
    return np.asarray(weights / weights.mean(), np.float32)


def smooth_labels(chosen: Floats, share: float) -> Floats:
    """Label smoothing: spread `share` of each label evenly over its annotated classes."""
    labels = chosen if chosen.ndim == 2 else chosen[:, 0]
    annotated = labels >= 0
    spread = annotated / np.maximum(annotated.sum(axis=1, keepdims=True), 1)
    changed = np.where(annotated, (1 - share) * labels + share * spread, ABSENT).astype(np.float32)
    return changed if chosen.ndim == 2 else np.stack([changed, chosen[:, 1]], axis=1)


def shuffled_indices(n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Shuffle `n` rows reproducibly: numpy keeps its bit generators stable across versions, not `permutation`.

    >>> shuffled_indices(5, np.random.default_rng(0)).tolist()
    [3, 2, 1, 0, 4]
    """
    return np.argsort(rng.bit_generator.random_raw(n), kind="stable")


def balanced_sample(weights: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Sample n of n faces, each as often as its share of `weights`, rounded up or down, and shuffle them.

    Args:
        weights: (n,); those of `class_weights` balance the classes.
        rng: Source of all randomness.

    Returns:
        (n,) indices.
    """
    n = len(weights)
    shuffled = shuffled_indices(n, rng)  # otherwise neighbours would always be drawn together
    last = np.cumsum(weights[shuffled], dtype=np.float64)
    picked = np.searchsorted(last / last[-1], (np.arange(n) + rng.random()) / n, side="right")
    return shuffled[np.minimum(picked, n - 1)][shuffled_indices(n, rng)]


def mixup(
    faces: Floats, chosen: Floats, weights: Floats, alpha: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Blend each face with another one of the batch, by a share drawn from Beta(alpha, alpha) (Zhang et al. 2018).

    The loss of a mixed face is the weighted loss of its two targets, by the same share.

    Args:
        faces: (n, size, size, 1).
        chosen: Targets; a class annotated for one of the two counts as annotated for the mixed face.
        weights: (n,), none of them below 0.
        alpha: Above 0; the larger, the closer to equal shares.
        rng: Source of all randomness.
    """
    other, drawn = shuffled_indices(len(faces), rng), rng.beta(alpha, alpha, len(faces)).astype(np.float32)
    kept = weights * drawn
    blended = weights[other] * (1 - drawn)
    both = kept + blended
    first = np.divide(kept, both, out=np.ones_like(both), where=both > 0)
    first = first.reshape(-1, *[1] * (chosen.ndim - 1))
    mixed = first * np.maximum(chosen, 0) + (1 - first) * np.maximum(chosen[other], 0)
    mixed[(chosen < 0) & (chosen[other] < 0)] = ABSENT
    drawn = drawn[:, None, None, None]
    return drawn * faces + (1 - drawn) * faces[other], mixed, both


class Batches(keras.utils.PyDataset):
    """Training batches of (faces, targets, weights), prefetched in a worker."""

    def __init__(self, faces: Pixels, chosen: Floats, weights: Floats, settings: TrainSettings) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._faces, self._weights, self._settings = faces, weights, settings
        self._chosen = smooth_labels(chosen, settings.label_smoothing)
        self._drawn = class_weights(chosen) if settings.balanced_sampling else None
        self.batch = min(settings.batch, len(faces))
        """Faces in each batch."""
        mass = shares(chosen).sum(axis=0)
        self.priors: Floats = mass / mass.sum()
        """(classes,) share of each class in the labels."""
        self.start(0)

    def start(self, epoch: int) -> None:
        """Shuffle for `epoch`, counted from 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._settings.seed, epoch])
        self._order = (
            shuffled_indices(len(self._faces), rng) if self._drawn is None else balanced_sample(self._drawn, rng)
        )

    def __len__(self) -> int:
        return len(self._faces) // self.batch  # no partial batch: it would distort batch normalisation

    def __getitem__(self, index: int) -> tuple[Floats, Floats, Floats]:
        rows = self._order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng([self._settings.seed, self._epoch, index])
        faces = to_input(augment(self._faces[rows], self._settings.augmentation, rng))
        chosen, weights = self._chosen[rows], self._weights[rows]
        if self._settings.mixup:
            return mixup(faces, chosen, weights, self._settings.mixup, rng)
        return faces, chosen, weights
