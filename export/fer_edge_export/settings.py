"""What decides an export: defaults, limits and help of its settings and flags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fer_edge.errors import UsageError
from fer_edge.labels import fold
from fer_edge.options import Option
from fer_edge.versions import RUNTIME
from fer_edge_export.recipes import RecipeName

Weights = Literal["best", "last"]
PixelRange = Literal["0..1", "0..255", "-1..1", "torch", "caffe"]
Order = Literal["grey", "rgb", "bgr"]
"""What a network sees, and in which order its three channels are."""
PACKAGES = ("tensorflow", "keras", *RUNTIME)
"""Packages whose versions an export records."""


def canonical(name: str) -> str:
    """Give a class the name that fer-edge has for it; its own where it has none."""
    return fold(name) or name


def parse_labels(text: str) -> tuple[str, ...]:
    """Read class names between commas.

    >>> parse_labels("angry, happy,neutral")
    ('angry', 'happy', 'neutral')

    Raises:
        UsageError: A name is empty or cannot be printed, or one class has two.
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or not all(name and name.isprintable() for name in names):
        raise UsageError(f"--labels {text!r}: give names between commas, such as angry,happy,neutral")
    for row, name in enumerate(names):
        twice = [other for other in names[:row] if canonical(other) == canonical(name)]
        if twice:
            raise UsageError(f"--labels names one class twice: {twice[0]} and {name}; each output has its own")
    return names


@dataclass(frozen=True)
class ForeignNetworkSettings:
    """What is said on the command line of a network that fer-edge did not train."""

    labels: Annotated[
        tuple[str, ...] | None,
        Option(help="Its classes in output order: angry,happy,neutral.", metavar="NAMES", parse=parse_labels),
    ] = None
    pixels: Annotated[
        PixelRange | None,
        Option(help="Pixels that it was trained on; torch, caffe: as keras.applications prepares them."),
    ] = None
    """None where the range is read off the network."""
    colour: Annotated[
        Order | None, Option(help="Colour that it was trained on; default: by its channels, grey or rgb.")
    ] = None
    """A network with three channels may have been trained on grey pictures."""
    crop_scale: Annotated[
        float, Option(0.1, 10, help="Side of the crops that it was trained on, over the face box's longer side.")
    ] = 1.0


@dataclass(frozen=True)
class ExportSettings:
    """Everything that decides an export; the report holds the same fields."""

    data: Annotated[
        Path | None, Option(help="Prepared set (.npz) to calibrate and judge with, in place of the run's own.")
    ] = None
    recipe: Annotated[
        RecipeName | None, Option(help="What to make of the network; dynamic: int8 weights, float activations.")
    ] = "int8"
    """None walks down the ladder until the gate holds."""
    calib_samples: Annotated[
        int | None, Option(1, help="Training faces that set the int8 ranges; default: chosen among a few sizes.")
    ] = None
    calib_rule: Annotated[
        Literal["minmax", "percentile"] | None,
        Option(help="Ranges take in all values, or leave out 1 in 10,000; default: chosen."),
    ] = None
    qat_epochs: Annotated[
        int, Option(0, help="Epochs of fine-tuning weights and ranges with int8's rounding in between.")
    ] = 0
    max_drop: Annotated[float, Option(0, 1, help="Accuracy that may be lost; more exits with 3.")] = 0.01
    gate: Annotated[
        Literal["point", "bound"], Option(help="Judge the drop as measured, or the upper end of its 95 % interval.")
    ] = "point"
    seed: Annotated[int, Option(0, 2**32 - 1, help="Chooses the calibration faces.")] = 0
    use_weights: Annotated[Weights, Option(help="Weights of the run.")] = "best"
    protocol: Annotated[
        Literal["majority", "all"], Option(help="Held-out faces that count, where people voted (FER+).")
    ] = "majority"
    c_array: Annotated[bool, Option(help="Write a C header for TensorFlow Lite Micro, too (int8).")] = False
    stated: Annotated[ForeignNetworkSettings, Option(panel="Networks of others")] = ForeignNetworkSettings()
