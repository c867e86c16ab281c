"""Paired comparison of the float and the quantised model: change of accuracy and recalls with confidence intervals."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import Z, calibration_error, softmax, summary
from fer_edge_export.results import ClassChange, ClassRecall, Comparison, Disagreement, Figures, Prediction

Logits = npt.NDArray[np.float32]
SHOWN = 20
"""Disagreements shown in the report."""


class Change(NamedTuple):
    """Change of a share of faces between two models on the same faces; above 0 is a gain."""

    change: float
    low: float
    high: float
    """Limits of its 95 % interval."""


def compare(
    float_logits: Logits,
    logits: Logits,
    truth: npt.NDArray[np.int64],
    classes: tuple[str, ...],
    temperature: float = 1.0,
) -> Comparison:
    """Compute all metrics of both models and their differences.

    Args:
        float_logits: (n, classes) of the float32 model.
        logits: (n, classes) of the quantised model, on the same faces.
        truth: (n,) class indices.
        classes: Class names in output order.
        temperature: Divides both models' logits before the softmax.
    """
    predictions = float_logits.argmax(axis=1), logits.argmax(axis=1)
    correct = [prediction == truth for prediction in predictions]
    lost, gained = correct[0] & ~correct[1], correct[1] & ~correct[0]
    float32, quantised = (_figures(one, truth, classes, temperature) for one in (float_logits, logits))
    counts = int(lost.sum()), int(gained.sum())
    change = matched_change(*counts, len(truth)) or Change(0.0, -1.0, 1.0)
    probabilities = softmax(float_logits, temperature), softmax(logits, temperature)
    per_class = {}
    for index, name in enumerate(classes):
        of_class = truth == index
        recalls = float32.per_class[name].recall, quantised.per_class[name].recall
        n, *moved = (int(which.sum()) for which in (of_class, lost[of_class], gained[of_class]))
        per_class[name] = _class_change(n, recalls, moved[0], moved[1])
    return Comparison(
        n=len(truth),
        drop=round(0.0 - change.change, 6),
        drop_interval=(round(-change.high, 6), round(-change.low, 6)),
        lost=counts[0],
        gained=counts[1],
        mcnemar_p=mcnemar(*counts),
        agreement=round(float((predictions[0] == predictions[1]).mean()), 6),
        kl_divergence=round(float(np.mean(divergences(*probabilities))), 6),
        per_class=per_class,
        float32=float32,
        quantised=quantised,
    )


def _figures(logits: Logits, truth: npt.NDArray[np.int64], classes: tuple[str, ...], temperature: float) -> Figures:
    found = summary(logits, truth, classes, temperature)
    per_class = {name: ClassRecall(**row) for name, row in found["per_class"].items()}
    before = round(calibration_error(softmax(logits), truth), 6)
    return Figures(**{**found, "per_class": per_class}, calibration_error_before=before)


def _class_change(n: int, recalls: tuple[float | None, float | None], lost: int, gained: int) -> ClassChange:
    found = matched_change(lost, gained, n)
    if found is None:
        return ClassChange(n, *recalls, change=None, interval=None, lost=lost, gained=gained)
    interval = round(found.low, 6), round(found.high, 6)
    return ClassChange(n, *recalls, change=round(found.change, 6), interval=interval, lost=lost, gained=gained)


def matched_change(lost: int, gained: int, n: int) -> Change | None:
    """Change of a share of `n` faces with `lost` and `gained` ones, with its 95 % interval for matched pairs.

    The interval is Wald's with half a face added to each of the four cells (Agresti and Min 2005, Statistics in
    Medicine 24), valid for few faces, too; None for no face.

    >>> [round(value, 4) for value in matched_change(8, 2, 100) or ()]
    [-0.06, -0.1215, 0.0039]
    """
    if n == 0:
        return None
    total, one, other = n + 2, lost + 0.5, gained + 0.5
    middle = (other - one) / total
    half = Z * math.sqrt((one + other) - (other - one) ** 2 / total) / total
    return Change((gained - lost) / n, max(-1.0, middle - half), min(1.0, middle + half))


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided p-value of McNemar's exact test.

    >>> mcnemar(5, 5), mcnemar(8, 1), mcnemar(0, 0)
    (1.0, 0.0390625, 1.0)
    """
    return min(1.0, 2 * sign_test(max(lost, gained), min(lost, gained)))


def sign_test(lost: int, gained: int) -> float:
    """One-sided p-value of the sign test: `lost` or more of `lost` + `gained` at equal probability.

    >>> sign_test(3, 0), sign_test(0, 3)
    (0.125, 1.0)
    """
    both = lost + gained
    count = sum(math.comb(both, fewer) for fewer in range(gained + 1))
    return float(count / 2**both)


def divergences(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Kullback-Leibler divergence in nats, (n,), of probabilities (n, classes) `after` from those `before`.

    >>> divergences(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4)
    array([0.1438])
    """
    ratio = np.log(np.maximum(before, 1e-12)) - np.log(np.maximum(after, 1e-12))
    return np.asarray(np.sum(before * ratio, axis=1))


def disagreements(
    float_logits: Logits, logits: Logits, faces: FaceSet, temperature: float, count: int = SHOWN
) -> tuple[Disagreement, ...]:
    """Find the faces on which both models disagree most: changed predictions first, then the largest divergence.

    Args:
        float_logits: (n, classes) of the float32 model.
        logits: (n, classes) of the quantised model.
        faces: The n faces.
        temperature: Divides both models' logits before the softmax.
        count: Number of faces.
    """
    before, after = softmax(float_logits, temperature), softmax(logits, temperature)
    found = divergences(before, after)

    def prediction(probabilities: npt.NDArray[np.float64]) -> Prediction:
        best = int(probabilities.argmax())
        return Prediction(faces.classes[best], round(float(probabilities[best]), 4))

    return tuple(
        Disagreement(
            row=int(row),
            picture=str(faces.names[row]),
            truth=faces.classes[faces.labels[row]],
            float32=prediction(before[row]),
            quantised=prediction(after[row]),
            kl_divergence=round(float(found[row]), 4),
        )
        for row in np.lexsort((-found, before.argmax(axis=1) == after.argmax(axis=1)))[:count]
    )
