"""The accuracy gate: a quantised model that lost too much is not passed on unseen."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fer_edge.data.metrics import Z
from fer_edge.errors import GateError
from fer_edge_export.accuracy.compare import chance_to_lose, matched_change
from fer_edge_export.results import CalibrationReport, ClassChange, Comparison, ExportReport, GateResult

Rule = Literal["point", "bound"]

MANY_CALIBRATION_FACES = 300
"""With fewer, the first thing to try is more; beyond some 500, outliers widen the ranges again."""
COLLAPSE = 0.1
"""A class collapses where its recall falls by more than this and chance alone would hardly do that, or where none of
`COLLAPSE_LEAST` faces or more that float32 answered right is answered right any more."""
COLLAPSE_LEAST = 3
CHANCE = 0.05
DISAGREEMENT = 0.1
"""Share of changed answers that fails the gate whatever the accuracy: a weak network hides any damage. Our own networks
change 1 to 3 % of theirs, badly quantised ones 20 to 70 %."""

LEARN = 0.003
"""Drop in accuracy from which on learning the ranges is worth its minutes."""


def passes(drop: float, max_drop: float) -> bool:
    """Tell whether a drop in accuracy (float32 minus int8, 0 to 1) is allowed; exactly `max_drop` is.

    >>> passes(0.01, 0.01), passes(0.0101, 0.01), passes(-0.002, 0.0)
    (True, False, True)
    """
    return drop <= max_drop


def judge(comparison: Comparison, recipe: str, rule: Rule, max_drop: float) -> GateResult:
    """Judge a model.

    Args:
        comparison: What `fer_edge_export.accuracy.compare.compare` found.
        recipe: What the model is called.
        rule: point judges the drop as measured, bound the upper end of its 95 % interval: what it may be.
        max_drop: Accuracy, 0 to 1, that may be lost.
    """
    drop, bound = comparison.drop, comparison.drop_interval[1]
    before, after = comparison.float32.accuracy, comparison.quantised.accuracy
    failures: list[str] = []
    findings: list[str] = []
    told = f"lost {drop:.4f} of accuracy" if drop > 0 else "lost no accuracy"
    lost = f"{recipe} {told} ({before:.4f} -> {after:.4f}, n={comparison.n})"
    if not passes(drop, max_drop):
        failures.append(f"{lost}; allowed is {max_drop:g}")
    elif not passes(bound, max_drop):
        sure = f"{lost}, and may lose up to {bound:.4f} (95 % interval); allowed is {max_drop:g}"
        (failures if rule == "bound" else findings).append(sure)
    for name, row in comparison.per_class.items():
        if collapses(row):
            failures.append(f"{name} collapsed: recall {row.float32:.4f} -> {row.quantised:.4f}, n={row.n}")
    if not failures and 1 - comparison.agreement > max(DISAGREEMENT, max_drop):
        failures.append(
            f"{recipe} and float32 agree on {comparison.agreement:.1%} of the faces only; that accuracy held is luck"
        )
    if comparison.n < (enough := faces_needed(max_drop)):
        least = matched_change(0, 0, comparison.n)
        spread = least.high if least else 1.0
        findings.append(
            f"{comparison.n} faces are too few to show a drop within {max_drop:g}: where not one answer changes, it "
            f"may still be {spread:.4f}; {enough:,} would do"
        )
    return GateResult(rule, max_drop, not failures, tuple(failures), tuple(findings))


def collapses(row: ClassChange) -> bool:
    """Tell whether a class is no longer found as it was."""
    if row.change is None or -row.change <= COLLAPSE:
        return False
    gone = row.quantised == 0 and row.lost >= COLLAPSE_LEAST
    return gone or chance_to_lose(row.lost, row.gained) < CHANCE


def faces_needed(max_drop: float) -> int:
    """How many faces show that a model whose every answer stayed the same drops no more than `max_drop`.

    >>> faces_needed(0.01)
    194
    """
    return math.ceil(Z / max_drop) - 2 if max_drop > 0 else 0


def check(report: ExportReport, folder: Path) -> None:
    """Refuse the export that `report` describes if its gate failed; the files in `folder` stay.

    Raises:
        GateError: The model lost more than allowed.
    """
    if report.gate.passed:
        return
    can_learn = report.recipe == "int8" and report.comparison.drop > LEARN
    ways = remedies(report.calibration, report.advice, can_learn)
    raise GateError(f"{'; '.join(report.gate.failures)}. The files are in {folder}. Try: {'; '.join(ways)}")


def remedies(calibration: CalibrationReport | None, advice: Sequence[str], can_learn: bool = False) -> list[str]:
    """What to try after a failed gate, the likeliest first.

    Args:
        calibration: None where the recipe needs none.
        advice: What the layers' errors tell.
        can_learn: Whether fine-tuning may gain what was lost; from broken calibration faces it would learn the wrong.
    """
    ways = [line.rstrip(".") for line in [*(calibration.doubts[:1] if calibration else ()), *advice[:1]]]
    if calibration and not calibration.doubts:
        if can_learn and not calibration.learning:
            ways.append("learned ranges: --qat-epochs 5")
        if calibration.faces < MANY_CALIBRATION_FACES:
            more = "--calib-samples 500, or a --data SET.npz that has them"
            ways.append(f"more calibration faces than {calibration.faces}: {more}")
        else:
            ways.append("other calibration faces: --seed 1, or --data SET.npz with faces like those it will see")
    ways.append("the next recipe that holds: --auto")
    ways.append("a network with BatchNorm and ReLU6 behind every convolution: fer-edge train --network edge")
    return [*ways, "or accept the drop: --max-drop"]
