"""The contract of a face detector: what it promises, what it asks for, and how a frame becomes its input."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, cast

import cv2
import numpy as np

from fer_edge.centre_points import STRIDE, Floats
from fer_edge.errors import DAMAGE, ModelError
from fer_edge.images import Pixels, to_grey
from fer_edge.model_file import (
    Arrays,
    Packed,
    array,
    damaged,
    facts,
    number,
    pictures,
    read_packed,
    text,
    whole,
    write_packed,
)

FIT_RULE = "grey BT.601, scaled to fit, area down, linear up by 2 at most, at the top left, the rest black"
DECODING = "centre points: heat logits and geometry per cell (fer_edge.centre_points)"
LARGEST_SIDE = 8192
"""Pixels of the input's side."""
MAX_ENLARGED = 2.0
"""Small pictures are enlarged by no more than this: beyond it there is nothing new to see."""
SHORTEST_SIDE = 64
"""Pixels of the side of an input of any size."""
SHORTER = 3 / 4
"""Shorter side of the box that frames of any shape are fitted into, over its longer side: a VGA frame's."""


@dataclass(frozen=True)
class DetectorContract:
    """What a face detector promises and what it asks for; `metadata.json` is this, field by field."""

    width: int
    """Of the input in pixels; the input is (1, height, width, 1) grey."""
    height: int
    recipe: str
    """int8: uint8 pixels in at scale 1/255, int8 maps out. float32: grey in [0, 1] in, float maps out."""
    threshold: float
    """Score, 0 to 1, from which on something counts as a face."""
    stride: int = STRIDE
    """Pixels between neighbouring cells of the maps."""
    multiple: int = 0
    """Pixels of which both sides of the input may be any multiple; 0 where it has the one size."""
    network: dict[str, Any] = field(default_factory=dict)
    """Name, parameters, multiply-accumulates."""
    data: dict[str, Any] = field(default_factory=dict)
    """Data set with digest, terms, teacher, split and seed, and the calibration photos."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures of the float and the int8 model on the held-out photos, and what the gate said."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made the file."""


@dataclass(frozen=True)
class DetectorGolden:
    """Rendered frames and what the workstation made of them, stage by stage."""

    frames: Pixels
    """(n, height, width, 3) uint8 BGR."""
    pixels: Pixels
    """(n, height, width) uint8: the network's input."""
    heat: Floats
    """(n, rows, columns, 1): the outputs."""
    geometry: Floats
    """(n, rows, columns, 8)."""
    boxes: Floats
    """(m, 5): number of the frame, then x, y, w, h of each face decoded from those, in pixels of the input."""


@dataclass(frozen=True)
class DetectorFile:
    """A face detector with its contract, read and checked."""

    path: Path
    flatbuffer: bytes
    contract: DetectorContract
    golden: DetectorGolden


def fitted(frame: Pixels, width: int, height: int) -> tuple[Pixels, tuple[float, float]]:
    """Bring a frame to a detector's input; the rule is `FIT_RULE`.

    Args:
        frame: (height, width, 3) uint8 BGR, or (height, width) grey.
        width: Of the input, in pixels.
        height: Likewise.

    Returns:
        (height, width) uint8 grey, and the factors (x, y) that lead from its pixels back to the frame's.
    """
    rows, columns = frame.shape[:2]
    return _placed(frame, min(width / columns, height / rows, MAX_ENLARGED), width, height)


def fitted_freely(frame: Pixels, side: int, multiple: int) -> tuple[Pixels, tuple[float, float]]:
    """Bring a frame to an input of a detector that takes many sizes: the smallest that holds it.

    The frame is scaled to fit into `side` by three quarters of `side` pixels, lying or standing, so that a face that
    fills a frame of whatever shape is no larger than those which the detector learned.

    >>> [fitted_freely(np.zeros((*shape, 3), np.uint8), 320, 32)[0].shape for shape in ((480, 640), (960, 540))]
    [(256, 320), (320, 192)]

    Args:
        frame: (height, width, 3) uint8 BGR, or (height, width) grey.
        side: Longer side in pixels.
        multiple: The contract's.

    Returns:
        As `fitted`.
    """
    rows, columns = frame.shape[:2]
    scale = min(side / max(rows, columns), SHORTER * side / min(rows, columns), MAX_ENLARGED)
    width, height = (
        max(SHORTEST_SIDE, multiple * math.ceil(round(length * scale) / multiple)) for length in (columns, rows)
    )
    return _placed(frame, scale, width, height)


def _placed(frame: Pixels, scale: float, width: int, height: int) -> tuple[Pixels, tuple[float, float]]:
    """Scale a frame and put it at the top left of an input."""
    grey = to_grey(frame) if frame.ndim == 3 else frame
    rows, columns = grey.shape
    size_wh = min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR_EXACT  # as `fer_edge.crop` enlarges
    small = cast(Pixels, cv2.resize(grey, size_wh, interpolation=method))
    back_xy = columns / size_wh[0], rows / size_wh[1]
    if size_wh == (width, height):
        return small, back_xy
    picture = np.zeros((height, width), np.uint8)
    picture[: size_wh[1], : size_wh[0]] = small
    return picture, back_xy


def write_detector(path: Path, flatbuffer: bytes, contract: DetectorContract, golden: DetectorGolden) -> None:
    """Write one file that can be moved alone to a device (`fer_edge.model_file`)."""
    document = {"output": DECODING, "fit_rule": FIT_RULE, **asdict(contract)}
    arrays: Arrays = {name: getattr(golden, name) for name in ("frames", "pixels", "heat", "geometry", "boxes")}
    write_packed(path, flatbuffer, "faces", document, arrays)


def read_detector(path: Path) -> DetectorFile:
    """Read a face detector and check that it is whole.

    Raises:
        ModelError: Missing, no TFLite file, without contract, of a newer version, damaged, or an expression model.
    """
    return as_detector(read_packed(path))


def as_detector(packed: Packed) -> DetectorFile:
    """Read the contract of a face detector.

    Raises:
        ModelError: It is damaged, or an expression model's.
    """
    path, document, golden = packed.path, packed.document, packed.golden
    if packed.task != "faces":
        raise ModelError(f"{path}: names expressions and finds no faces; give it as --model {quote(str(path))}")
    try:
        contract = DetectorContract(
            width=whole(document, "width", STRIDE, LARGEST_SIDE),
            height=whole(document, "height", STRIDE, LARGEST_SIDE),
            recipe=text(document, "recipe"),
            threshold=number(document, "threshold", 0, 1),
            stride=whole(document, "stride", 1, LARGEST_SIDE),
            multiple=whole(document, "multiple", 0, LARGEST_SIDE) if "multiple" in document else 0,
            network=facts(document, "network"),
            data=facts(document, "data"),
            metrics=facts(document, "metrics"),
            made_with=facts(document, "made_with"),
        )
        if contract.stride != STRIDE:
            raise ValueError(f"stride {contract.stride} instead of {STRIDE}")
        if contract.multiple and any(side % contract.multiple for side in (contract.width, contract.height)):
            raise ValueError(f"{contract.width}x{contract.height} are no multiples of {contract.multiple}")
        if contract.multiple % STRIDE:
            raise ValueError(f"multiples of {contract.multiple} with a stride of {STRIDE}")
        vectors = DetectorGolden(
            pictures(golden),
            array(golden, "pixels", np.uint8, 3),
            array(golden, "heat", np.float32, 4),
            array(golden, "geometry", np.float32, 4),
            array(golden, "boxes", np.float32, 2),
        )
    except DAMAGE as error:
        raise damaged(path, error) from error
    return DetectorFile(path, packed.flatbuffer, contract, vectors)
