"""The accuracy gate: an int8 model that lost too much is not passed on unseen."""

from pathlib import Path
from typing import Any

from fer_edge.errors import GateError

MANY_CALIBRATION_FACES = 300
"""With fewer, the first thing to try is more; beyond some 500, outliers widen the ranges again."""


def passes(drop: float, max_drop: float) -> bool:
    """Tell whether a drop in accuracy (float32 minus int8, 0 to 1) is allowed; exactly `max_drop` is.

    >>> passes(0.01, 0.01), passes(0.0101, 0.01), passes(-0.002, 0.0)
    (True, False, True)
    """
    return drop <= max_drop


def check(report: dict[str, Any], folder: Path) -> None:
    """Refuse the export that `report` describes if its gate failed; the files in `folder` stay.

    Raises:
        GateError: int8 lost more accuracy than allowed.
    """
    gate, comparison = report["gate"], report["comparison"]
    if gate["passed"]:
        return
    accuracies = [comparison[recipe]["accuracy"] for recipe in ("float32", "int8")]
    raise GateError(
        f"int8 lost {comparison['drop']:.4f} of accuracy ({accuracies[0]:.4f} -> {accuracies[1]:.4f}, "
        f"n={comparison['n']}); allowed is {gate['max_drop']:g}. The files are in {folder}. "
        f"Try: {'; '.join(remedies(report['calibration']['faces']))}"
    )


def remedies(calibration_faces: int) -> list[str]:
    """What to try after a failed gate, the likeliest first."""
    if calibration_faces < MANY_CALIBRATION_FACES:
        faces = (
            f"more calibration faces than {calibration_faces}: --calib-samples 500, or a --data SET.npz that has them"
        )
    else:
        faces = "other calibration faces: --seed 1, or --data SET.npz with faces like those it will see"
    network = "a network with BatchNorm and ReLU6 behind every convolution: fer-edge train --network edge"
    return [faces, network, "or accept the drop: --max-drop"]
