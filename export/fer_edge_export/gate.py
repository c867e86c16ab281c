"""The accuracy gate: an int8 model that lost too much is not passed on unseen."""

from pathlib import Path
from typing import Any

from fer_edge.errors import GateError

MANY_CALIBRATION_FACES = 300
"""With fewer, the first thing to try is more; beyond some 500, outliers widen the ranges again."""


ACCEPT = "or accept the drop: --max-drop"


def passes(drop: float, max_drop: float) -> bool:
    """Tell whether a drop in accuracy (float32 minus int8, 0 to 1) is allowed; exactly `max_drop` is.

    >>> passes(0.01, 0.01), passes(0.0101, 0.01), passes(-0.002, 0.0)
    (True, False, True)
    """
    return drop <= max_drop


def check(report: dict[str, Any], folder: Path) -> None:
    """Refuse the export that `report` describes if its gate failed; the files in `folder` stay.

    Raises:
        GateError: int8 lost more accuracy, or recall, than allowed.
    """
    gate, comparison = report["gate"], report["comparison"]
    if gate["passed"]:
        return
    if report.get("task") == "faces":
        measure, n, ways = "recall", comparison["faces"], detector_remedies()
    else:
        measure, n, ways = "accuracy", comparison["n"], remedies(report["calibration"]["faces"])
    before, after = (comparison[recipe][measure] for recipe in ("float32", "int8"))
    raise GateError(
        f"int8 lost {comparison['drop']:.4f} of {measure} ({before:.4f} -> {after:.4f}, n={n}); allowed is "
        f"{gate['max_drop']:g}. The files are in {folder}. Try: {'; '.join(ways)}"
    )


def remedies(calibration_faces: int) -> list[str]:
    """What to try after a failed gate of an expression model, the likeliest first."""
    if calibration_faces < MANY_CALIBRATION_FACES:
        faces = (
            f"more calibration faces than {calibration_faces}: --calib-samples 500, or a --data SET.npz that has them"
        )
    else:
        faces = "other calibration faces: --seed 1, or --data SET.npz with faces like those it will see"
    network = "a network with BatchNorm and ReLU6 behind every convolution: fer-edge train --network edge"
    return [faces, network, ACCEPT]


def detector_remedies() -> list[str]:
    """What to try after a failed gate of a face detector, the likeliest first."""
    return ["other calibration photos: --seed 1", "a longer training: fer-edge train --task detect", ACCEPT]
