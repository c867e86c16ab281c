from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import GateError
from fer_edge_export.compare import compare
from fer_edge_export.gate import check, passes, remedies

CLASSES = ("a", "b", "c")


def logits(answers: list[int]) -> np.ndarray:
    """Logits that answer so."""
    return np.eye(3, dtype=np.float32)[answers] * 10


def test_comparison_counts_drop_agreement_and_change_per_class() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    float_answers = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]  # 8 of 10 right
    int8_answers = [0, 0, 0, 1, 1, 1, 1, 1, 1, 2]  # 8 of 10 right, three answers differ

    result = compare(logits(float_answers), logits(int8_answers), truth, CLASSES)

    assert result["n"] == 10
    assert result["drop"] == 0.0
    assert result["agreement"] == 0.7
    assert result["per_class"] == {
        "a": {"n": 4, "float32": 1.0, "int8": 0.75, "change": -0.25},
        "b": {"n": 6, "float32": 0.666667, "int8": 0.833333, "change": 0.166666},
        "c": {"n": 0, "float32": None, "int8": None, "change": None},
    }
    assert result["float32"]["balanced_accuracy"] == 0.833333


def test_a_drop_is_float_minus_int8() -> None:
    truth = np.array([0, 1, 2, 2])

    worse = compare(logits([0, 1, 2, 2]), logits([0, 1, 2, 1]), truth, CLASSES)
    better = compare(logits([0, 1, 2, 1]), logits([0, 1, 2, 2]), truth, CLASSES)

    assert (worse["drop"], better["drop"]) == (0.25, -0.25)


def test_temperature_changes_the_calibration_error_and_nothing_else() -> None:
    truth = np.array([0, 1, 2, 2])
    answers = logits([0, 1, 2, 1]) / 10

    cold, warm = (compare(answers, answers, truth, CLASSES, temperature) for temperature in (0.1, 10.0))

    assert cold["float32"]["calibration_error"] != warm["float32"]["calibration_error"]
    assert cold["float32"]["accuracy"] == warm["float32"]["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("drop", "max_drop", "expected"),
    [
        (0.0, 0.0, True),
        (0.01, 0.01, True),  # exactly what is allowed
        (0.010001, 0.01, False),
        (-0.02, 0.0, True),  # int8 is better
    ],
)
def test_gate_at_its_edges(drop: float, max_drop: float, expected: bool) -> None:
    assert passes(drop, max_drop) is expected


def test_failed_gate_says_what_was_lost_and_what_to_try() -> None:
    comparison = {"drop": 0.0312, "n": 3191, "float32": {"accuracy": 0.862}, "int8": {"accuracy": 0.8308}}
    report = {
        "gate": {"max_drop": 0.01, "passed": False},
        "comparison": comparison,
        "calibration": {"faces": 1},
    }

    with pytest.raises(GateError) as refusal:
        check(report, Path("out"))

    assert refusal.value.exit_code == 3
    assert str(refusal.value).startswith(
        "int8 lost 0.0312 of accuracy (0.8620 -> 0.8308, n=3191); allowed is 0.01. The files are in out. "
        "Try: more calibration faces than 1: --calib-samples 500, or a --data SET.npz that has them; "
    )


def test_more_calibration_faces_are_not_advised_where_there_are_many() -> None:
    assert remedies(500)[0].startswith("other calibration faces: --seed 1")
