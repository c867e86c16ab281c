"""Faces to batches: shuffled and augmented by (seed, epoch, batch) alone, so that a resumed run sees the same ones."""

import keras
import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.faceset import FaceSet
from fer_edge.images import Pixels
from fer_edge_train.augment import augment
from fer_edge_train.settings import Augmentation, Labels

Floats = npt.NDArray[np.float32]


def targets(faces: FaceSet, labels: Labels) -> tuple[FaceSet, Floats]:
    """Choose the faces to learn from and what to learn of each.

    soft: the shares of the votes; a single vote against others is dropped as noise (FER+'s rule, Barsoum et al. 2016).
    majority: one-hot, and only faces that count under the majority protocol.

    Returns:
        The faces kept, and (n, classes) float32 targets whose rows sum to 1.

    Raises:
        DataError: No face is left.
    """
    if labels == "majority":
        kept = faces.under("majority")
        chosen = np.eye(len(faces.classes), dtype=np.float32)[kept.labels]
    else:
        single_label = faces.votes.sum(axis=1, keepdims=True) <= 1
        cleaned = np.where((faces.votes > 1) | single_label, faces.votes, 0)
        rows = cleaned.sum(axis=1) > 0
        kept = faces.take(rows)
        chosen = (cleaned[rows] / cleaned[rows].sum(axis=1, keepdims=True)).astype(np.float32)
    if len(kept) == 0:
        raise DataError(f"no training face is left with --labels {labels}; try the other one")
    return kept, chosen


def class_weights(chosen: Floats) -> Floats:
    """Weight of each face so that every class weighs the same in all: (n,) float32 with mean 1.

    Args:
        chosen: (n, classes) targets; a soft one takes the mean of its classes' weights.
    """
    mass = chosen.sum(axis=0)
    per_class = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
    weights = chosen @ per_class
    return np.asarray(weights / weights.mean(), np.float32)


def to_input(faces: Pixels) -> Floats:
    """Turn (n, size, size) uint8 grey into the network's (n, size, size, 1) float32 in [0, 1]."""
    return np.asarray(faces[..., None] / np.float32(255), np.float32)


class Batches(keras.utils.PyDataset):
    """Training batches of (faces, targets, weights); the next are made while the network learns."""

    unit = "faces"

    def __init__(
        self, faces: Pixels, chosen: Floats, weights: Floats, batch: int, seed: int, augmentation: Augmentation
    ) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._faces, self._chosen, self._weights = faces, chosen, weights
        self._seed, self._augmentation = seed, augmentation
        self.batch = min(batch, len(faces))
        """Faces in each batch."""
        self.start(0)

    def start(self, epoch: int) -> None:
        """Shuffle for `epoch`, counted from 0."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._faces))

    def __len__(self) -> int:
        return len(self._faces) // self.batch  # the rest comes in other epochs: a tiny batch upsets the norms

    def __getitem__(self, index: int) -> tuple[Floats, Floats, Floats]:
        rows = self._order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng([self._seed, self._epoch, index])
        faces = augment(self._faces[rows], self._augmentation, rng)
        return to_input(faces), self._chosen[rows], self._weights[rows]
