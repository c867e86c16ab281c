"""Choose the faces by which int8 ranges are set: training faces only, every class among them, the same for one seed."""

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet, drawing_order

LEAST = 32
"""Fewer faces leave the ranges to chance."""
FLAT = 8.0
"""Grey levels: where all pixels of all faces spread by less (standard deviation), there is nothing to see."""


def choose(faces: FaceSet, samples: int, seed: int) -> FaceSet:
    """Choose `samples` training faces, stratified by class; all of them where there are fewer.

    The rule: a quarter of the samples is divided equally between the classes (or all that a class has), the rest in
    proportion to their faces. So the ranges fit what is common, and a rare expression's activations are within them.

    Args:
        faces: Any set; only its training part is looked at.
        samples: How many faces; at least one for each class that has any.
        seed: The same seed chooses the same faces.

    Raises:
        DataError: The set has no training face.
        UsageError: Fewer samples than classes.
    """
    training = faces.part("training")
    if len(training) == 0:
        raise DataError(
            "no training face in the set, and held-out ones must not calibrate; give others: --data SET.npz"
        )
    counts = np.bincount(training.labels, minlength=len(training.classes))
    wanted = shares(counts, samples)
    order = drawing_order(training.names.tolist(), seed)
    labels = training.labels[order]
    rows = [order[labels == label][:count] for label, count in enumerate(wanted)]
    return training.take(np.sort(np.concatenate(rows)))


def shares(counts: npt.NDArray[np.int64], samples: int) -> npt.NDArray[np.int64]:
    """Divide `samples` among classes that have `counts` faces, by the rule of `choose`.

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
        judged: Faces that are to show what quantisation cost: none of them may set a range.
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
    if (spread := float(calibration.faces.std())) < FLAT:
        lines.append(
            f"the calibration faces are nearly blank (their grey values spread by {spread:.1f} of 255); "
            "give faces like those it will see: --data SET.npz"
        )
    if both := len(different & {face.tobytes() for face in judged.faces}):
        lines.append(f"{both} calibration faces are among those that judge, byte for byte; the figures may flatter")
    return lines
