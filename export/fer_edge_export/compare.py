"""Float against int8 on the same faces: what quantisation cost, in all and per class."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.metrics import summary

Logits = npt.NDArray[np.float32]


def compare(
    float_logits: Logits,
    int8_logits: Logits,
    truth: npt.NDArray[np.int64],
    classes: tuple[str, ...],
    temperature: float = 1.0,
) -> dict[str, Any]:
    """All figures of both models and their differences, ready for JSON.

    Args:
        float_logits: (n, classes) of the float32 model.
        int8_logits: (n, classes) of the int8 model, on the same faces.
        truth: (n,) class indices.
        classes: Class names in output order.
        temperature: Divides both models' logits before the softmax.

    Returns:
        float32 and int8: as `fer_edge.metrics.summary`; drop: accuracy of float32 minus that of int8; agreement: share
        of faces that both answer alike; per_class: n, both recalls and the change (int8 minus float32) of each class.
    """
    answers = float_logits.argmax(axis=1), int8_logits.argmax(axis=1)
    right = [int((answer == truth).sum()) for answer in answers]
    figures = [summary(logits, truth, classes, temperature) for logits in (float_logits, int8_logits)]
    return {
        "n": len(truth),
        "drop": round((right[0] - right[1]) / len(truth), 6),
        "agreement": round(float((answers[0] == answers[1]).mean()), 6),
        "per_class": {name: _change(*(figure["per_class"][name] for figure in figures)) for name in classes},
        "float32": figures[0],
        "int8": figures[1],
    }


def _change(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    change = round(after["recall"] - before["recall"], 6) if before["n"] else None
    return {"n": before["n"], "float32": before["recall"], "int8": after["recall"], "change": change}
