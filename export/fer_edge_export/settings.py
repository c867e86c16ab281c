"""What decides an export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.data.faceset import Protocol
from fer_edge.versions import RUNTIME
from fer_edge_export.accuracy.gate import Rule
from fer_edge_export.quantize.calibrate import RangeRule
from fer_edge_export.recipes import RecipeName

Weights = Literal["best", "last"]
PixelRange = Literal["0..1", "0..255", "-1..1", "torch", "caffe"]
Order = Literal["grey", "rgb", "bgr"]
"""What a network sees, and in which order its three channels are."""
PACKAGES = ("tensorflow", "keras", *RUNTIME)
"""Packages whose versions an export records."""


@dataclass(frozen=True)
class Stated:
    """What is said on the command line of a network that fer-edge did not train."""

    labels: tuple[str, ...] | None = None
    """Names of its classes in the order of its outputs."""
    pixels: PixelRange | None = None
    """Range of its pixels in training; None where it is read off the network."""
    colour: Order | None = None
    """None: grey for one channel, RGB for three. A network with three may have been trained on grey pictures."""
    crop_scale: float = 1.0
    """Side of its training crops over the longer side of the face box."""


@dataclass(frozen=True)
class ExportSettings:
    """Everything that decides an export; the report holds the same fields."""

    data: Path | None = None
    """A prepared set (.npz) to calibrate and judge with, in place of the run's own."""
    calib_samples: int | None = None
    """Training faces that set the int8 ranges; None chooses among a few sizes."""
    calib_rule: RangeRule | None = None
    """How they set them; None chooses."""
    qat_epochs: int = 0
    """Epochs of fine-tuning with int8's rounding in between; 0 for none."""
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
    c_array: bool = False
    """Write the model as a C header, too."""
    stated: Stated = Stated()
    """The contract of a network that fer-edge did not train."""
