"""Sample calibration faces for int8: training faces only, stratified by class, reproducible by seed."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet, drawing_order
from fer_edge.errors import DataError, UsageError
from fer_edge.imaging.images import Pixels

Rows = npt.NDArray[np.int64]
RangeRule = Literal["minmax", "percentile"]
"""Range of a tensor: all of its values, or all but the tails beyond `PERCENTILE`."""

SAMPLES = 500
"""Default number of calibration faces; more bring more outliers."""
LEAST = 32
"""Minimum number of faces for reliable ranges."""
OTHER_LIGHT = 40.0
"""Difference in mean grey level between two sets: FER+, muxspace and ExpW differ by 15, parts of each by 4."""
NOISE = 0.3
"""Correlation of neighbouring pixels: faces have 0.91 to 0.94, synthetic ones 0.88, noise none."""
FLAT = 8.0
"""Standard deviation of all pixels in grey levels: faces below it are blank."""


def calibration_subsets(faces: FaceSet, samples: int, seed: int) -> tuple[FaceSet, FaceSet]:
    """Sample two disjoint sets of `samples` training faces, stratified by class.

    A quarter of the samples is divided equally between the classes (or all faces of a class), the rest in proportion to
    their faces. So the ranges fit common faces, and include the activations of rare expressions.

    Each set is drawn from one half of every class. With too few training faces, the first is drawn from all of them,
    and the second gets the rest; it may be empty.

    Args:
        faces: Any set; only its training split is used.
        samples: Size of each set; at least one for each class with faces.
        seed: Random seed.

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
        first, second = (_sample(training, half, samples, seed) for half in halves)
    else:
        first = _sample(training, everything, samples, seed)
        second = np.setdiff1d(everything, first)
    return training.take(first), training.take(second)


def _training(faces: FaceSet) -> FaceSet:
    training = faces.part("training")
    if len(training) == 0:
        raise DataError(
            "no training face in the set, and held-out faces must not calibrate; give another set: --data SET.npz"
        )
    return training


def _sample(training: FaceSet, among: Rows, samples: int, seed: int) -> Rows:
    """Sample rows of `training` from `among`, in order."""
    labels = training.labels[among]
    per_class = shares(np.bincount(labels, minlength=len(training.classes)), samples)
    order = drawing_order(training.names[among].tolist(), seed)
    rows = [order[labels[order] == label][:count] for label, count in enumerate(per_class)]
    return np.sort(among[np.concatenate(rows)])


def shares(counts: npt.NDArray[np.int64], samples: int) -> npt.NDArray[np.int64]:
    """Divide `samples` among classes with `counts` faces, by the rule of `calibration_subsets`.

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


def calibration_warnings(calibration: FaceSet, heldout: FaceSet) -> list[str]:
    """List problems of the calibration faces, one line each.

    Args:
        calibration: The calibration faces.
        heldout: The faces for the evaluation.
    """
    n = len(calibration)
    unique = {face.tobytes() for face in calibration.faces}
    lines = []
    if n < LEAST:
        lines.append(
            f"only {n} calibration face{'s' * (n != 1)}, the minimum is {LEAST}; give a larger set: --data SET.npz"
        )
    if n > 1 and len(unique) <= n // 2:
        lines.append(f"of {n} calibration faces only {len(unique)} are unique; give others: --data SET.npz")
    present = [name for name, count in calibration.counts().items() if count]
    known = [name for name, count in heldout.counts().items() if count]
    if len(present) == 1 < len(known):
        lines.append(f"every calibration face is {present[0]}; give faces of each class: --data SET.npz")
    if (spread := float(calibration.grey.std())) < FLAT:
        lines.append(
            f"the calibration faces are nearly blank (standard deviation {spread:.1f} of 255); "
            "give typical faces: --data SET.npz"
        )
    light = [float(faces.grey.mean()) if len(faces) else 0.0 for faces in (calibration, heldout)]
    if abs(light[0] - light[1]) > OTHER_LIGHT:
        lines.append(
            f"the calibration faces have another mean brightness ({light[0]:.0f} of 255) than the held-out ones "
            f"({light[1]:.0f}); give typical faces: --data SET.npz"
        )
    if spread >= FLAT and (correlation := pixel_correlation(calibration.grey)) < NOISE:
        lines.append(
            f"the calibration faces look like noise (neighbouring pixels correlate by {correlation:.2f}, in faces by "
            "0.9); give faces: --data SET.npz"
        )
    return lines


def pixel_correlation(grey: Pixels) -> float:
    """Correlation, -1 to 1, of horizontally adjacent pixels of (n, size, size) uint8 images."""
    left, right = grey[:, :, :-1].ravel(), grey[:, :, 1:].ravel()
    return float(np.corrcoef(left, right)[0, 1])


def without_duplicates(training: FaceSet, heldout: FaceSet) -> FaceSet:
    """Remove training faces that are byte-identical to held-out ones; data sets contain such pairs."""
    contents = {face.tobytes() for face in heldout.faces}
    return training.take(np.array([face.tobytes() not in contents for face in training.faces], bool))
