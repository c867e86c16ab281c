"""What decides an export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.faceset import Protocol
from fer_edge.versions import RUNTIME

Weights = Literal["best", "last"]
PACKAGES = ("tensorflow", "keras", *RUNTIME)
"""Packages whose versions an export records."""


@dataclass(frozen=True)
class ExportSettings:
    """Everything that decides an export; the report holds the same fields."""

    data: Path | None = None
    """A prepared set (.npz) to calibrate and judge with, in place of the run's own."""
    calib_samples: int = 500
    max_drop: float = 0.01
    """Accuracy, 0 to 1, that int8 may lose."""
    seed: int = 0
    """Chooses the calibration faces."""
    use_weights: Weights = "best"
    protocol: Protocol = "majority"
    """Which held-out faces count (FER+)."""
    size_wh: tuple[int, int] | None = None
    """Width and height of a face detector's input in pixels; None for the size that it was trained at."""
