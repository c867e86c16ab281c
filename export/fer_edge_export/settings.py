"""Settings of an export: defaults, limits, help and flags."""

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
"""Colour of the network's training faces, with the order of three channels."""
PACKAGES = ("tensorflow", "keras", *RUNTIME)
"""Packages whose versions are recorded."""


def canonical(name: str) -> str:
    """fer-edge's name of a class, or `name` if it has none."""
    return fold(name) or name


def parse_labels(text: str) -> tuple[str, ...]:
    """Parse comma-separated class names.

    >>> parse_labels("angry, happy,neutral")
    ('angry', 'happy', 'neutral')

    Raises:
        UsageError: A name is empty or not printable, or two names mean the same class.
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or not all(name and name.isprintable() for name in names):
        raise UsageError(f"--labels {text!r}: give comma-separated names, such as angry,happy,neutral")
    for row, name in enumerate(names):
        same = [other for other in names[:row] if canonical(other) == canonical(name)]
        if same:
            raise UsageError(f"--labels names one class twice: {same[0]} and {name}; give one name per output")
    return names


@dataclass(frozen=True)
class ForeignNetworkSettings:
    """Facts about a network that fer-edge did not train."""

    labels: Annotated[
        tuple[str, ...] | None,
        Option(help="Class names in output order: angry,happy,neutral.", metavar="NAMES", parse=parse_labels),
    ] = None
    pixels: Annotated[
        PixelRange | None,
        Option(help="Pixel range of its training; torch, caffe: modes of keras.applications."),
    ] = None
    """None: detected from the network."""
    colour: Annotated[Order | None, Option(help="Colour of its training; default: grey or rgb, by its channels.")] = (
        None
    )
    """A network with three channels may have been trained on grey images."""
    crop_scale: Annotated[
        float, Option(0.1, 10, help="Side of its training crops, relative to the longer side of the face box.")
    ] = 1.0


@dataclass(frozen=True)
class ExportSettings:
    """All settings of an export."""

    data: Annotated[
        Path | None, Option(help="Prepared set (.npz) for calibration and evaluation, instead of the run's faces.")
    ] = None
    recipe: Annotated[
        RecipeName | None, Option(help="Quantisation recipe; dynamic: int8 weights, float activations.")
    ] = "int8"
    """None: try recipes until one passes the gate."""
    calib_samples: Annotated[
        int | None, Option(1, help="Number of calibration faces for int8; default: selected from 100, 500 and 1000.")
    ] = None
    calib_rule: Annotated[
        Literal["minmax", "percentile"] | None,
        Option(help="int8 ranges from all values, or without the outermost 1 in 10,000; default: selected."),
    ] = None
    qat_epochs: Annotated[
        int, Option(0, help="Epochs of quantisation-aware training of weights and ranges (int8).")
    ] = 0
    max_drop: Annotated[float, Option(0, 1, help="Maximum accuracy drop; a larger one exits with 3.")] = 0.01
    gate: Annotated[
        Literal["point", "bound"], Option(help="Check the measured drop, or the upper limit of its 95 % interval.")
    ] = "point"
    seed: Annotated[int, Option(0, 2**32 - 1, help="Random seed of the calibration faces.")] = 0
    use_weights: Annotated[Weights, Option(help="Weights of the run.")] = "best"
    protocol: Annotated[Literal["majority", "all"], Option(help="FER+ protocol: which faces count.")] = "majority"
    c_array: Annotated[bool, Option(help="Also write a C header for TensorFlow Lite Micro (int8).")] = False
    stated: Annotated[ForeignNetworkSettings, Option(panel="Third-party networks")] = ForeignNetworkSettings()
