"""Choose the faces by which int8 ranges are set: training faces only, every class among them, the same for one seed."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet, drawing_order
from fer_edge.errors import DataError, UsageError
from fer_edge.imaging.images import Pixels

Rows = npt.NDArray[np.int64]
RangeRule = Literal["minmax", "percentile"]
"""How a tensor's values make its range: all of them, or all but the `PERCENTILE` tails."""

SAMPLES = 500
"""Calibration faces unless told, or found, otherwise: more bring more outliers."""
LEAST = 32
"""Fewer faces leave the ranges to chance."""
OTHER_LIGHT = 40.0
"""Grey levels between the means of two sets: FER+, muxspace and ExpW differ by 15, each from its own parts by 4."""
NOISE = 0.3
"""Correlation of neighbouring pixels: faces have 0.91 to 0.94, drawn ones 0.88, noise none."""
FLAT = 8.0
"""Grey levels: where all pixels of all faces spread by less (standard deviation), there is nothing to see."""


def choose_two(faces: FaceSet, samples: int, seed: int) -> tuple[FaceSet, FaceSet]:
    """Choose two sets of `samples` training faces, stratified by class, that share no face.

    The rule: a quarter of the samples is divided equally between the classes (or all that a class has), the rest in
    proportion to their faces. So the ranges fit what is common, and a rare expression's activations are within them.

    Either set is drawn from one half of every class. Where the training faces do not suffice for that, the first is
    drawn from them all, and the second has what is left; it may be empty.

    Args:
        faces: Any set; only its training part is looked at.
        samples: How many faces each set is to have; at least one for each class that has any.
        seed: The same seed chooses the same faces.

    Raises:
        DataError: The set has no training face.
        UsageError: Fewer samples than classes.
    """
    training = _training(faces)
    everything = np.arange(len(training))
    if 2 * samples <= len(training):
        order = drawing_order(training.names.tolist(), seed)
        of_class = [order[training.labels[order] == label] for label in range(len(training.classes))]
        halves = [np.concatenate([rows[start::2] for rows in of_class]) for start in (0, 1)]
        first, second = (_drawn(training, half, samples, seed) for half in halves)
    else:
        first = _drawn(training, everything, samples, seed)
        second = np.setdiff1d(everything, first)
    return training.take(first), training.take(second)


def _training(faces: FaceSet) -> FaceSet:
    training = faces.part("training")
    if len(training) == 0:
        raise DataError(
            "no training face in the set, and held-out ones must not calibrate; give others: --data SET.npz"
        )
    return training


def _drawn(training: FaceSet, among: Rows, samples: int, seed: int) -> Rows:
    """Rows of `training`, of those `among`, in their order."""
    labels = training.labels[among]
    wanted = shares(np.bincount(labels, minlength=len(training.classes)), samples)
    order = drawing_order(training.names[among].tolist(), seed)
    rows = [order[labels[order] == label][:count] for label, count in enumerate(wanted)]
    return np.sort(among[np.concatenate(rows)])


def shares(counts: npt.NDArray[np.int64], samples: int) -> npt.NDArray[np.int64]:
    """Divide `samples` among classes that have `counts` faces, by the rule of `choose_two`.

    >>> shares(np.array([900, 90, 10, 0]), 100)
    array([78, 14,  8,  0])
    >>> shares(np.array([3, 2]), 100)
    array([3, 2])

    Raises:
        UsageError: Fewer samples than classes with a face.
    """
    present = int((counts > 0).sum())
    if samples < present:
        raise UsageError(f"--calib-samples {samples}: fewer than the {present} classes; give 500")
    if samples >= counts.sum():
        return counts
    least = np.minimum(counts, max(1, samples // (4 * present)))
    exact = (samples - least.sum()) * (counts - least) / (counts - least).sum()
    result = least + exact.astype(np.int64)
    remainder = np.argsort(-(exact % 1), kind="stable")[: samples - result.sum()]
    result[remainder] += 1
    return np.asarray(result, np.int64)


def doubts(calibration: FaceSet, judged: FaceSet) -> list[str]:
    """Say, in a line each, what is wrong with the faces that set the ranges.

    Args:
        calibration: The faces, in all.
        judged: Faces that are to show what quantisation cost.
    """
    n = len(calibration)
    different = {face.tobytes() for face in calibration.faces}
    lines = []
    if n < LEAST:
        lines.append(
            f"only {n} calibration face{'s' * (n != 1)}, {LEAST} are the least; give a set with more: --data SET.npz"
        )
    if n > 1 and len(different) <= n // 2:
        lines.append(f"of {n} calibration faces only {len(different)} differ; give others: --data SET.npz")
    present = [name for name, count in calibration.counts().items() if count]
    known = [name for name, count in judged.counts().items() if count]
    if len(present) == 1 < len(known):
        lines.append(f"every calibration face is {present[0]}; give faces of each class: --data SET.npz")
    if (spread := float(calibration.grey.std())) < FLAT:
        lines.append(
            f"the calibration faces are nearly blank (their grey values spread by {spread:.1f} of 255); "
            "give faces like those it will see: --data SET.npz"
        )
    light = [float(faces.grey.mean()) if len(faces) else 0.0 for faces in (calibration, judged)]
    if abs(light[0] - light[1]) > OTHER_LIGHT:
        lines.append(
            f"the calibration faces are of another brightness ({light[0]:.0f} of 255 in the mean) than those that "
            f"judge ({light[1]:.0f}); give faces like those it will see: --data SET.npz"
        )
    if spread >= FLAT and (alike := neighbours(calibration.grey)) < NOISE:
        lines.append(
            f"the calibration faces look like noise (neighbouring pixels correlate by {alike:.2f}, in faces by 0.9); "
            "give faces: --data SET.npz"
        )
    return lines


def neighbours(grey: Pixels) -> float:
    """Correlation, -1 to 1, of the pixels of (n, size, size) uint8 pictures with those right of them."""
    left, right = grey[:, :, :-1].ravel(), grey[:, :, 1:].ravel()
    return float(np.corrcoef(left, right)[0, 1])


def apart_from(training: FaceSet, judged: FaceSet) -> FaceSet:
    """Leave out the training faces that are, byte for byte, among those that judge: data sets bring such pairs."""
    judges = {face.tobytes() for face in judged.faces}
    return training.take(np.array([face.tobytes() not in judges for face in training.faces], bool))
