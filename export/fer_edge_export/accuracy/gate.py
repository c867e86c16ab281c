"""The accuracy gate: fails an export whose quantised model lost too much accuracy."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fer_edge.data.metrics import Z
from fer_edge.errors import GateError
from fer_edge_export.accuracy.compare import matched_change, sign_test
from fer_edge_export.results import CalibrationReport, ClassChange, Comparison, ExportReport, GateResult

Rule = Literal["point", "bound"]

MANY_CALIBRATION_FACES = 300
"""With fewer, more are suggested first; beyond about 500, outliers widen the ranges again."""
COLLAPSE = 0.1
"""A class collapses if its recall falls significantly by more than this, or if all of `COLLAPSE_LEAST` or more correct
float32 predictions are lost."""
COLLAPSE_LEAST = 3
CHANCE = 0.05
DISAGREEMENT = 0.1
"""Share of changed predictions that fails the gate at any accuracy: a weak network would hide the damage. Our networks
change 1 to 3 % of theirs, badly quantised ones 20 to 70 %."""

LEARN = 0.003
"""Minimum accuracy drop at which fine-tuning is suggested."""


def passes(drop: float, max_drop: float) -> bool:
    """Whether a drop in accuracy (float32 minus int8, 0 to 1) is allowed; exactly `max_drop` is.

    >>> passes(0.01, 0.01), passes(0.0101, 0.01), passes(-0.002, 0.0)
    (True, False, True)
    """
    return drop <= max_drop


def evaluate_gate(comparison: Comparison, recipe: str, rule: Rule, max_drop: float) -> GateResult:
    """Apply the gate to a model.

    Args:
        comparison: Result of `fer_edge_export.accuracy.compare.compare`.
        recipe: Name of the model's recipe.
        rule: point checks the measured drop, bound the upper limit of its 95 % interval.
        max_drop: Maximum accuracy drop, 0 to 1.
    """
    drop, bound = comparison.drop, comparison.drop_interval[1]
    before, after = comparison.float32.accuracy, comparison.quantised.accuracy
    failures: list[str] = []
    findings: list[str] = []
    allowed = f"allowed: {points(max_drop)}"
    change = f"lost {100 * drop:.2f} points of accuracy" if drop > 0 else "lost no accuracy"
    lost = f"{recipe} {change} ({before:.2%} -> {after:.2%}, n={comparison.n})"
    if not passes(drop, max_drop):
        failures.append(f"{lost}; {allowed}")
    elif not passes(bound, max_drop):
        possible = f"{lost}, and may lose up to {100 * bound:.2f} (95 % interval); {allowed}"
        (failures if rule == "bound" else findings).append(possible)
    for name, row in comparison.per_class.items():
        if collapses(row):
            failures.append(f"{name} collapsed: recall {row.float32:.2%} -> {row.quantised:.2%}, n={row.n}")
    if not failures and 1 - comparison.agreement > max(DISAGREEMENT, max_drop):
        failures.append(
            f"{recipe} and float32 agree on only {comparison.agreement:.1%} of the faces; the equal accuracy is chance"
        )
    if comparison.n < (enough := faces_needed(max_drop)):
        least = matched_change(0, 0, comparison.n)
        spread = least.high if least else 1.0
        findings.append(
            f"{comparison.n} face{'s are' if comparison.n != 1 else ' is'} too few "
            f"to show a drop within {points(max_drop)}: without any changed "
            f"prediction, it may still be {100 * spread:.2f}; {enough:,} are enough"
        )
    return GateResult(rule, max_drop, not failures, tuple(failures), tuple(findings))


def collapses(row: ClassChange) -> bool:
    """Whether the recall of a class collapsed."""
    if row.change is None or -row.change <= COLLAPSE:
        return False
    all_lost = row.quantised == 0 and row.lost >= COLLAPSE_LEAST
    return all_lost or sign_test(row.lost, row.gained) < CHANCE


def faces_needed(max_drop: float) -> int:
    """Number of faces needed to show a drop within `max_drop` when no prediction changes.

    >>> faces_needed(0.01)
    194
    """
    return math.ceil(Z / max_drop) - 2 if max_drop > 0 else 0


def check(report: ExportReport, folder: Path) -> None:
    """Raise an error if the gate of `report` failed; the files in `folder` are kept.

    Raises:
        GateError: The model lost more than allowed.
    """
    if report.gate.passed:
        return
    raise GateError(f"{'; '.join(report.gate.failures)}. The files are in {folder}. Try: {'; '.join(report.remedies)}")


def points(share: float) -> str:
    """Format a difference of shares.

    >>> points(0.01), points(0.002)
    ('1 point', '0.2 points')
    """
    return f"{100 * share:g} point{'s' * (round(100 * share, 6) != 1)}"


def can_learn(recipe: str, comparison: Comparison) -> bool:
    """Whether fine-tuning is worth a try."""
    return recipe == "int8" and comparison.drop > LEARN


def remedies(calibration: CalibrationReport | None, advice: Sequence[str], fine_tune: bool = False) -> list[str]:
    """Suggestions after a failed gate, most promising first.

    Args:
        calibration: None if the recipe needs none.
        advice: Advice from the layer errors.
        fine_tune: Whether to suggest fine-tuning; not with bad calibration faces.
    """
    lines = [line.rstrip(".") for line in [*(calibration.doubts[:1] if calibration else ()), *advice[:1]]]
    if calibration and not calibration.doubts:
        if fine_tune and not calibration.learning:
            lines.append("quantisation-aware training: --qat-epochs 5")
        if calibration.faces < MANY_CALIBRATION_FACES:
            more = "--calib-samples 500, or a larger --data SET.npz"
            lines.append(f"more calibration faces than {calibration.faces}: {more}")
        else:
            lines.append("other calibration faces: --seed 1, or --data SET.npz with typical faces")
    lines.append("the next recipe that passes: --auto")
    lines.append("a network with BatchNorm and ReLU6 after every convolution: fer-edge train --network edge")
    return [*lines, "or accept the drop: --max-drop"]
