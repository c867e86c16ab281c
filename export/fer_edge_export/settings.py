"""What decides an export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.faceset import Protocol
from fer_edge.versions import RUNTIME
from fer_edge_export.gate import Rule
from fer_edge_export.recipes import RecipeName

Weights = Literal["best", "last"]
PACKAGES = ("tensorflow", "keras", *RUNTIME)
"""Packages whose versions an export records."""


@dataclass(frozen=True)
class ExportSettings:
    """Everything that decides an export; the report holds the same fields."""

    data: Path | None = None
    """A prepared set (.npz) to calibrate and judge with, in place of the run's own."""
    calib_samples: int = 500
    recipe: RecipeName | None = "int8"
    """What to make of the network; None walks down the ladder until the gate holds."""
    max_drop: float = 0.01
    """Accuracy, 0 to 1, that quantisation may lose."""
    gate: Rule = "point"
    """Whether the drop itself is judged, or the upper end of its 95 % interval."""
    seed: int = 0
    """Chooses the calibration faces."""
    use_weights: Weights = "best"
    protocol: Protocol = "majority"
    """Which held-out faces count (FER+)."""
    size_wh: tuple[int, int] | None = None
    """Width and height of a face detector's input in pixels; None for the size that it was trained at."""
    c_array: bool = False
    """Write the model as a C header, too."""
