import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import GateError
from fer_edge_export.accuracy.compare import compare, matched_change
from fer_edge_export.accuracy.gate import Rule, can_learn, check, collapses, evaluate_gate, passes, remedies
from fer_edge_export.results import (
    Baseline,
    CalibrationReport,
    ClassChange,
    Comparison,
    ExportReport,
    HeldOut,
    Learning,
    NetworkFacts,
    Origin,
    as_json,
)

CLASSES = ("a", "b", "c")


def logits(predictions: list[int]) -> np.ndarray:
    """Logits with these predictions."""
    return np.eye(3, dtype=np.float32)[predictions] * 10


def test_comparison_counts_drop_agreement_and_change_per_class() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    float_predictions = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]  # 8 of 10 right
    int8_predictions = [0, 0, 0, 1, 1, 1, 1, 1, 1, 2]  # 8 of 10 right, three predictions differ

    result = compare(logits(float_predictions), logits(int8_predictions), truth, CLASSES)

    assert (result.n, result.drop, result.agreement) == (10, 0.0, 0.7)
    assert (result.lost, result.gained, result.mcnemar_p) == (1, 1, 1.0)
    a, b, c = (result.per_class[name] for name in CLASSES)
    assert (a.n, a.float32, a.quantised, a.change) == (4, 1.0, 0.75, -0.25)
    assert (b.n, b.float32, b.quantised, b.change) == (6, 0.666667, 0.833333, 0.166667)
    assert [(row.lost, row.gained) for row in (a, b, c)] == [(1, 0), (0, 1), (0, 0)]
    assert (c.n, c.float32, c.quantised, c.change, c.interval) == (0, None, None, None, None)
    assert result.float32.balanced_accuracy == 0.833333


def test_a_drop_is_float_minus_int8() -> None:
    truth = np.array([0, 1, 2, 2])

    worse = compare(logits([0, 1, 2, 2]), logits([0, 1, 2, 1]), truth, CLASSES)
    better = compare(logits([0, 1, 2, 1]), logits([0, 1, 2, 2]), truth, CLASSES)

    assert (worse.drop, better.drop) == (0.25, -0.25)


def test_temperature_changes_the_calibration_error_and_nothing_else() -> None:
    truth = np.array([0, 1, 2, 2])
    answers = logits([0, 1, 2, 1]) / 10

    cold, warm = (compare(answers, answers, truth, CLASSES, temperature) for temperature in (0.1, 10.0))

    assert cold.float32.calibration_error != warm.float32.calibration_error
    assert cold.float32.accuracy == warm.float32.accuracy == 0.75


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


def test_the_interval_of_a_change_is_agresti_and_mins() -> None:
    change = matched_change(lost=16, gained=9, n=100)

    assert change is not None
    # by hand: half a face in each cell, so 9.5 - 16.5 = -7 of 102; 1.96 sqrt(26 - 49 / 102) / 102 on either side
    assert [round(value, 4) for value in change] == [-0.07, -0.1657, 0.0284]


def test_the_interval_of_equal_predictions_narrows_with_more_faces() -> None:
    few, many = (matched_change(0, 0, n) for n in (30, 3000))

    assert few is not None
    assert many is not None
    assert (round(few.high, 4), round(many.high, 5)) == (0.0612, 0.00065)


def compared(n: int, lost: int, gained: int = 0, of_class: int = 0) -> Comparison:
    """A comparison of n faces of alternating classes a and b, all correct in float32 except `gained` of `of_class`."""
    truth = np.arange(n) % 2
    before, after = truth.copy(), truth.copy()
    rows = np.flatnonzero(truth == of_class)
    after[rows[:lost]] = 2
    before[rows[lost : lost + gained]] = 2
    return compare(logits(before.tolist()), logits(after.tolist()), truth, CLASSES)


def test_point_checks_the_measured_drop_and_reports_the_bound() -> None:
    comparison = compared(1000, lost=12, gained=4)  # 0.8 points, at most 1.6

    point, bound = (evaluate_gate(comparison, "int8", rule, 0.01) for rule in ("point", "bound"))

    assert (point.passed, point.failures) == (True, ())
    [finding] = point.findings
    line = "int8 lost 0.80 points of accuracy (99.60% -> 98.80%, n=1000), and may lose up to 1.60 (95 % interval); "
    assert finding == line + "allowed: 1 point"
    assert (bound.passed, bound.failures, bound.findings) == (False, (finding,), ())


@pytest.mark.parametrize("rule", ["point", "bound"])
def test_a_drop_beyond_the_limit_fails_by_either_rule(rule: Rule) -> None:
    gate = evaluate_gate(compared(1000, lost=11), "int8", rule, 0.01)

    assert not gate.passed
    assert gate.failures == ("int8 lost 1.10 points of accuracy (100.00% -> 98.90%, n=1000); allowed: 1 point",)


def test_a_class_that_collapses_fails_though_the_mean_holds() -> None:
    truth = np.array([0] * 5000 + [1] * 20)
    before, after = truth.copy(), truth.copy()
    after[5000:5010] = 0  # half of the rare class, 0.2 points of all

    gate = evaluate_gate(
        compare(logits(before.tolist()), logits(after.tolist()), truth, CLASSES), "int8", "point", 0.01
    )

    assert not gate.passed
    assert gate.failures == ("b collapsed: recall 100.00% -> 50.00%, n=20",)


@pytest.mark.parametrize(
    ("n", "lost", "gained", "after", "expected"),
    [
        (20, 5, 0, 0.75, True),  # chance 1 in 32
        (20, 4, 0, 0.8, False),  # chance 1 in 16
        (20, 8, 4, 0.6, False),  # as much came as went, nearly
        (100, 10, 0, 0.9, False),  # exactly what is allowed
        (16, 3, 0, 0.0, True),  # none left
        (16, 2, 0, 0.0, False),
        (0, 0, 0, None, False),
    ],
)
def test_when_a_class_counts_as_collapsed(n: int, lost: int, gained: int, after: float | None, expected: bool) -> None:
    change = None if after is None else (gained - lost) / n

    assert collapses(ClassChange(n, None, after, change, None, lost, gained)) is expected


def test_too_few_faces_are_a_finding() -> None:
    [finding] = evaluate_gate(compared(100, lost=0), "int8", "point", 0.01).findings[1:]

    assert finding == (
        "100 faces are too few to show a drop within 1 point: without any changed prediction, it may still be 1.92; "
        "194 are enough"
    )


CALIBRATION = CalibrationReport(500, seed=0, rule="minmax", per_class={}, doubts=(), source={})


def exported(lost: int, calibration: CalibrationReport, *advice: str) -> ExportReport:
    """Report of 1,000 faces, `lost` of them by int8."""
    comparison = compared(1000, lost)
    return ExportReport(
        run="run",
        weights="best.keras",
        network=NetworkFacts("stripes", 29, 3534),
        recipe="int8",
        origin=Origin("2026-12-01T12:00:00+00:00", "ferplus", "fer-edge export run"),
        heldout=HeldOut("testing", "majority"),
        baseline=Baseline("a", 0.5),
        calibration=calibration,
        temperature=1.0,
        uncertain_below=0.4,
        gate=evaluate_gate(comparison, "int8", "point", max_drop=0.002),
        remedies=tuple(remedies(calibration, advice, can_learn("int8", comparison))),
        comparison=comparison,
        disagreements=(),
        ladder=(),
        layers=(),
        worst_layer=None,
        advice=advice,
        made_with={},
        files={},
    )


def test_failed_gate_reports_the_drop_and_what_to_try() -> None:
    with pytest.raises(GateError) as refusal:
        check(exported(31, replace(CALIBRATION, faces=1), "conv2d: too wide."), Path("out"))

    assert refusal.value.exit_code == 3
    assert str(refusal.value).startswith(
        "int8 lost 3.10 points of accuracy (100.00% -> 96.90%, n=1000); allowed: 0.2 points. The files are in out. "
        "Try: conv2d: too wide; quantisation-aware training: --qat-epochs 5; "
        "more calibration faces than 1: --calib-samples 500, or a larger --data SET.npz; "
        "the next recipe that passes: --auto; "
    )


def test_the_json_report_uses_the_name_of_the_recipe() -> None:
    document = as_json(exported(31, CALIBRATION), "int8")

    assert document["comparison"]["int8"]["accuracy"] == 0.969
    assert document["comparison"]["per_class"]["a"]["int8"] == 0.938
    assert "quantised" not in json.dumps(document)


def test_a_failed_gate_suggests_fine_tuning_first_where_it_may_help() -> None:
    learned = replace(CALIBRATION, learning=Learning(5, 1, 1e-4, 0, 500, 50, (0.1, 0.01)))

    with pytest.raises(GateError, match="Try: quantisation-aware training: --qat-epochs 5; "):
        check(exported(4, CALIBRATION), Path())
    for report in (exported(3, CALIBRATION), exported(4, learned)):
        with pytest.raises(GateError, match="Try: other calibration faces: --seed 1"):
            check(report, Path())


def test_bad_calibration_faces_are_the_first_suggestion() -> None:
    doubt = "every calibration face is happy; give faces of each class"

    suggestions = remedies(replace(CALIBRATION, doubts=(doubt,)), ["conv2d: too wide."], fine_tune=True)

    assert suggestions[:3] == [doubt, "conv2d: too wide", "the next recipe that passes: --auto"]


def test_many_changed_predictions_fail_the_gate_at_equal_accuracy() -> None:
    """60 of 200 predictions changed from one wrong class to the other."""
    truth = np.array([0] * 140 + [2] * 60)
    before = logits([0] * 140 + [0] * 60)
    after = logits([0] * 140 + [1] * 60)

    gate = evaluate_gate(compare(before, after, truth, CLASSES), "int8", "point", 0.01)

    assert gate.failures == ("int8 and float32 agree on only 70.0% of the faces; the equal accuracy is chance",)
    assert evaluate_gate(compare(before, after, truth, CLASSES), "int8", "point", 0.31).passed


def test_other_calibration_faces_are_not_suggested_for_a_recipe_without_calibration() -> None:
    assert remedies(None, [])[0] == "the next recipe that passes: --auto"
