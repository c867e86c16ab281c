"""Faces to batches: shuffled and augmented by (seed, epoch, batch) alone, so that a resumed run sees the same ones."""

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
"""Stands in a target where nobody was asked for the class: the loss then leaves the class out of account."""


def targets(faces: FaceSet, labels: LabelMode) -> tuple[npt.NDArray[np.int64], Floats]:
    """Choose the faces to learn from and what to learn of each.

    soft: the shares of the votes; a single vote against others is dropped as noise (FER+'s rule, Barsoum et al. 2016).
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
    """What people said in (n, classes) or, with what teachers said, (n, 2, classes) targets; 0 for `ABSENT`."""
    return np.maximum(chosen if chosen.ndim == 2 else chosen[:, 0], 0)


def class_weights(chosen: Floats) -> Floats:
    """Weight of each face so that every class weighs the same in all: (n,) float32 with mean 1.

    Args:
        chosen: Targets; a soft one takes the mean of its classes' weights, one without a label the mean of all.
    """
    said = shares(chosen)
    mass = said.sum(axis=0)
    weights = said @ np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
    labelled = said.any(axis=1)
    weights[~labelled] = weights[labelled].mean()
    return np.asarray(weights / weights.mean(), np.float32)


def smoothed(chosen: Floats, share: float) -> Floats:
    """Spread `share` of what people said of each face over all classes that they were asked for alike."""
    labels = chosen if chosen.ndim == 2 else chosen[:, 0]
    asked = labels >= 0
    spread = asked / np.maximum(asked.sum(axis=1, keepdims=True), 1)
    changed = np.where(asked, (1 - share) * labels + share * spread, ABSENT).astype(np.float32)
    return changed if chosen.ndim == 2 else np.stack([changed, chosen[:, 1]], axis=1)


def any_order(n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Shuffle `n` rows in a way that stays: numpy promises that of its bit generators, and not of `permutation`.

    >>> any_order(5, np.random.default_rng(0)).tolist()
    [3, 2, 1, 0, 4]
    """
    return np.argsort(rng.bit_generator.random_raw(n), kind="stable")


def balanced_rows(weights: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw as many faces as there are, each as often as its share of `weights`, rounded up or down; in any order.

    Args:
        weights: (n,) such as `class_weights` gives, for as many faces of every class.
        rng: Draws everything.

    Returns:
        (n,) indices.
    """
    n = len(weights)
    shuffled = any_order(n, rng)  # else neighbours would always come together
    last = np.cumsum(weights[shuffled], dtype=np.float64)
    picked = np.searchsorted(last / last[-1], (np.arange(n) + rng.random()) / n, side="right")
    return shuffled[np.minimum(picked, n - 1)][any_order(n, rng)]


def mixed_up(
    faces: Floats, chosen: Floats, weights: Floats, alpha: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Lay over each face another one of the batch, by a share that Beta(alpha, alpha) draws (Zhang et al. 2018).

    The loss of a mixed face is that of its two targets, each with its own weight, by the same share.

    Args:
        faces: (n, size, size, 1).
        chosen: Targets; what one of the two was asked for, the mixed face was.
        weights: (n,), none of them below 0.
        alpha: Above 0; the larger, the nearer to half and half.
        rng: Draws everything.
    """
    other, drawn = any_order(len(faces), rng), rng.beta(alpha, alpha, len(faces)).astype(np.float32)
    kept = weights * drawn
    laid_over = weights[other] * (1 - drawn)
    both = kept + laid_over
    first = np.divide(kept, both, out=np.ones_like(both), where=both > 0)
    first = first.reshape(-1, *[1] * (chosen.ndim - 1))
    mixed = first * np.maximum(chosen, 0) + (1 - first) * np.maximum(chosen[other], 0)
    mixed[(chosen < 0) & (chosen[other] < 0)] = ABSENT
    drawn = drawn[:, None, None, None]
    return drawn * faces + (1 - drawn) * faces[other], mixed, both


class Batches(keras.utils.PyDataset):
    """Training batches of (faces, targets, weights); the next are made while the network learns."""

    def __init__(self, faces: Pixels, chosen: Floats, weights: Floats, settings: TrainSettings) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._faces, self._weights, self._settings = faces, weights, settings
        self._chosen = smoothed(chosen, settings.label_smoothing)
        self._drawn = class_weights(chosen) if settings.balanced_sampling else None
        self.batch = min(settings.batch, len(faces))
        """Faces in each batch."""
        said = shares(chosen).sum(axis=0)
        self.priors: Floats = said / said.sum()
        """(classes,) share of each class in what people said."""
        self.start(0)

    def start(self, epoch: int) -> None:
        """Shuffle for `epoch`, counted from 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._settings.seed, epoch])
        self._order = any_order(len(self._faces), rng) if self._drawn is None else balanced_rows(self._drawn, rng)

    def __len__(self) -> int:
        return len(self._faces) // self.batch  # the rest comes in other epochs: a tiny batch upsets the norms

    def __getitem__(self, index: int) -> tuple[Floats, Floats, Floats]:
        rows = self._order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng([self._settings.seed, self._epoch, index])
        faces = to_input(augment(self._faces[rows], self._settings.augmentation, rng))
        chosen, weights = self._chosen[rows], self._weights[rows]
        if self._settings.mixup:
            return mixed_up(faces, chosen, weights, self._settings.mixup, rng)
        return faces, chosen, weights
