"""Classification metrics of `evaluate`, `export` and `benchmark`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

Z = 1.959964
"""Two-sided 95 % quantile of the standard normal distribution."""


def confusion(truth: Ints, predicted: Ints, classes: int) -> npt.NDArray[np.int64]:
    """Return the (classes, classes) confusion matrix: rows are true classes, columns predicted ones."""
    counts = np.bincount(truth * classes + predicted, minlength=classes**2)
    return np.asarray(counts.reshape(classes, classes), np.int64)


def recalls(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the recall per class, (classes,); NaN for a class without faces."""
    n = matrix.sum(axis=1)
    return np.asarray(np.divide(matrix.diagonal(), n, out=np.full(len(matrix), np.nan), where=n > 0))


def f1_scores(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the F1 score per class, (classes,); NaN for a class without faces."""
    total = matrix.sum(axis=1) + matrix.sum(axis=0)
    present = matrix.sum(axis=1) > 0
    return np.asarray(np.divide(2 * matrix.diagonal(), total, out=np.full(len(matrix), np.nan), where=present))


def proportion_interval(found: float, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of the proportion `found` / `n`, 0 to 1 (Wilson 1927).

    >>> [round(end, 2) for end in proportion_interval(1, 1)], [round(end, 2) for end in proportion_interval(50, 100)]
    ([0.21, 1.0], [0.4, 0.6])
    """
    if n == 0:
        return 0.0, 1.0
    share = found / n
    middle = share + Z**2 / (2 * n)
    half = Z * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5
    return max(0.0, (middle - half) / (1 + Z**2 / n)), min(1.0, (middle + half) / (1 + Z**2 / n))


def baseline(faces_per_class: Mapping[str, int]) -> tuple[str, float]:
    """Return the largest class, the first of several, and the accuracy of always predicting it.

    >>> baseline({"calm": 3, "happy": 6, "sad": 1})
    ('happy', 0.6)
    """
    label = max(faces_per_class, key=lambda name: faces_per_class[name])
    return label, round(faces_per_class[label] / max(1, sum(faces_per_class.values())), 6)


def calibration_error(probabilities: Floats, truth: Ints, bins: int = 15) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy over equal bins (Guo et al. 2017).

    Args:
        probabilities: (n, classes), rows sum to 1.
        truth: (n,) class indices.
        bins: Number of confidence bins.
    """
    if len(truth) == 0:
        return float("nan")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(index, confidence, bins) - np.bincount(index, right, bins))
    return float(gaps.sum() / len(truth))


def softmax(logits: Floats, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Convert (n, classes) logits to probabilities, with temperature scaling (Guo et al. 2017)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def fit_temperature(logits: Floats, truth: Ints) -> float:
    """Fit the temperature that minimises the negative log-likelihood of `truth`, by golden-section search in 0.25 to 8.

    Args:
        logits: (n, classes).
        truth: (n,) class indices; of validation faces, never of test faces.
    """
    if len(truth) == 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        probabilities = softmax(logits, float(np.exp(log_temperature)))
        return -float(np.mean(np.log(probabilities[np.arange(len(truth)), truth] + 1e-12)))

    low, high = np.log(0.25), np.log(8.0)
    ratio = (np.sqrt(5.0) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def summary(logits: Floats, truth: Ints, classes: tuple[str, ...], temperature: float = 1.0) -> dict[str, Any]:
    """Return all metrics of an evaluation as a JSON object; classes without faces are excluded from means.

    Args:
        logits: (n, classes).
        truth: (n,) class indices.
        classes: Class names in output order.
        temperature: Divides the logits before the softmax; affects the calibration error only.
    """
    matrix = confusion(truth, logits.argmax(axis=1), len(classes))
    recall = recalls(matrix)
    present = ~np.isnan(recall)
    return {
        "n": len(truth),
        "accuracy": round(float(matrix.trace() / max(len(truth), 1)), 6),
        "balanced_accuracy": round(float(recall[present].mean()), 6) if present.any() else None,
        "macro_f1": round(float(f1_scores(matrix)[present].mean()), 6) if present.any() else None,
        "calibration_error": round(calibration_error(softmax(logits, temperature), truth), 6) if len(truth) else None,
        "per_class": {
            name: {"n": int(n), "recall": round(float(r), 6) if n else None}
            for name, n, r in zip(classes, matrix.sum(axis=1), recall, strict=True)
        },
        "confusion": matrix.tolist(),
    }
