"""The contract of a face detector: what it promises, what it asks for, and how a frame becomes its input."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, cast

import cv2
import numpy as np

from fer_edge.detection.yunet import CHANNELS, MULTIPLE, STRIDES
from fer_edge.errors import DAMAGE, ModelError
from fer_edge.imaging.boxes import Floats
from fer_edge.imaging.images import Pixels
from fer_edge.model.package import (
    Arrays,
    Packed,
    array,
    damaged,
    facts,
    integer,
    number,
    pictures,
    read_packed,
    text,
    write_packed,
)

FIT_RULE = "BGR, scaled to fit: halved by area, then linear, up by 2 at most; at the top left, the rest black"
DECODING = "yunet"
"""How the maps of a detector are read (`fer_edge.detection.yunet`); any other value belongs to another fer-edge."""
LARGEST_SIDE = 8192
"""Pixels of the input's side."""
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-4, 1e4
"""No output is scaled by less or more, nor moved by more."""
MAX_ENLARGED = 2.0
"""Small pictures are enlarged by no more than this: beyond it there is nothing new to see."""
SHORTEST_SIDE = 64
"""Pixels of the side of an input."""
MAP_NAMES = tuple(f"map{stride}" for stride in STRIDES)
"""Golden arrays of the network's outputs."""


@dataclass(frozen=True)
class DetectorContract:
    """What a face detector promises and what it asks for; `metadata.json` is this, field by field."""

    width: int
    """Of the input that the file is made for, in pixels; the input is (1, height, width, 3) BGR, and may be resized to
    any multiple of 32."""
    height: int
    recipe: str
    """int8: uint8 pixels in at scale 1/255, int8 maps out. float16: BGR in [0, 1] in, float maps out."""
    threshold: float
    """Score, 0 to 1, from which on something counts as a face."""
    scale: tuple[tuple[float, ...], ...]
    """(3, 16): by what each channel of each output is multiplied to give a map of `detection.yunet`; above 0."""
    offset: tuple[tuple[float, ...], ...]
    """(3, 16): what is added then."""
    decoding: str = DECODING
    network: dict[str, Any] = field(default_factory=dict)
    """Name, parameters, multiply-accumulates."""
    data: dict[str, Any] = field(default_factory=dict)
    """Where the weights come from, with digest and terms, and what it was calibrated with."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made the file."""

    @property
    def scale_and_offset(self) -> tuple[Floats, Floats]:
        """Both, as `fer_edge.detection.yunet.decode` takes them."""
        return np.array(self.scale, np.float32), np.array(self.offset, np.float32)


@dataclass(frozen=True)
class DetectorGolden:
    """Rendered frames and what the workstation made of them, stage by stage."""

    frames: Pixels
    """(n, height, width, 3) uint8 BGR."""
    pixels: Pixels
    """(n, height, width, 3) uint8 BGR: the network's input."""
    maps: tuple[Floats, ...]
    """(n, rows, columns, 16) for each stride: the network's outputs."""
    faces: Floats
    """(m, 15): number of the frame, then x, y, w, h and the landmarks of each face decoded from those, in pixels of the
    input."""


@dataclass(frozen=True)
class DetectorModel:
    """A face detector's network with its contract."""

    path: Path
    """Where it lies, or will lie; stands for it in messages."""
    flatbuffer: bytes
    contract: DetectorContract


@dataclass(frozen=True)
class DetectorFile(DetectorModel):
    """A face detector as its file holds it, read and checked."""

    golden: DetectorGolden


def map_shapes(width: int, height: int) -> list[tuple[int, int, int]]:
    """Shapes of a detector's maps for an input of so many pixels."""
    return [(height // stride, width // stride, CHANNELS) for stride in STRIDES]


def fitted(frame_bgr: Pixels, side: int, canvas: Pixels | None = None) -> tuple[Pixels, tuple[float, float]]:
    """Bring a frame to the smallest input of a detector that holds it; the rule is `FIT_RULE`.

    >>> [fitted(np.zeros((*shape, 3), np.uint8), 320)[0].shape for shape in ((480, 640), (960, 540))]
    [(256, 320, 3), (320, 192, 3)]

    Args:
        frame_bgr: (height, width, 3) uint8 BGR.
        side: What its longer side becomes, in pixels; a small frame is enlarged by `MAX_ENLARGED` only.
        canvas: What an earlier call gave, to be written over if it has the right size: fresh memory takes longer than
            the scaling.

    Returns:
        (height, width, 3) uint8 BGR, both sides multiples of 32, and the factors (x, y) that lead from its pixels back
        to the frame's.
    """
    rows, columns = frame_bgr.shape[:2]
    scale = min(side / max(rows, columns), MAX_ENLARGED)
    small_wh = wide, high = max(1, round(columns * scale)), max(1, round(rows * scale))
    width, height = (max(SHORTEST_SIDE, MULTIPLE * math.ceil(length / MULTIPLE)) for length in small_wh)
    if canvas is None or canvas.shape != (height, width, 3):
        canvas = np.empty((height, width, 3), np.uint8)
    canvas[high:] = 0
    canvas[:high, wide:] = 0
    # Halving is quick; INTER_AREA to any other size takes as long as half the network. Not INTER_LINEAR, whose code for
    # Arm was seen 4 levels away from that for x86.
    half = frame_bgr
    while half.shape[0] >= 2 * high and half.shape[1] >= 2 * wide:
        half_wh = half.shape[1] // 2, half.shape[0] // 2
        half = cast(Pixels, cv2.resize(half, half_wh, interpolation=cv2.INTER_AREA))
    cv2.resize(half, small_wh, dst=canvas[:high, :wide], interpolation=cv2.INTER_LINEAR_EXACT)
    return canvas, (columns / wide, rows / high)


def write_detector(path: Path, flatbuffer: bytes, contract: DetectorContract, golden: DetectorGolden) -> None:
    """Write one file that can be moved alone to a device (`fer_edge.model.package`)."""
    document = {"fit_rule": FIT_RULE, **asdict(contract)}
    arrays: Arrays = {"frames": golden.frames, "pixels": golden.pixels, "faces": golden.faces}
    arrays |= dict(zip(MAP_NAMES, golden.maps, strict=True))
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
        ModelError: It is damaged, an expression model's, or a detector's that this fer-edge cannot read.
    """
    path, document, golden = packed.path, packed.document, packed.golden
    if packed.task != "faces":
        raise ModelError(f"{path}: names expressions and finds no faces; give it as --model {quote(str(path))}")
    if document.get("decoding") != DECODING:
        raise ModelError(f"{path}: a face detector of another fer-edge; leave it out to use the bundled one")
    try:
        contract = DetectorContract(
            width=_side(document, "width"),
            height=_side(document, "height"),
            recipe=text(document, "recipe"),
            threshold=number(document, "threshold", 0, 1),
            scale=_factors(document, "scale", SMALLEST_FACTOR),
            offset=_factors(document, "offset", -LARGEST_FACTOR),
            network=facts(document, "network"),
            data=facts(document, "data"),
            made_with=facts(document, "made_with"),
        )
        vectors = DetectorGolden(
            pictures(golden),
            array(golden, "pixels", np.uint8, 4),
            tuple(array(golden, name, np.float32, 4) for name in MAP_NAMES),
            array(golden, "faces", np.float32, 2),
        )
    except DAMAGE as error:
        raise damaged(path, error) from error
    return DetectorFile(path, packed.flatbuffer, contract, vectors)


def _side(document: dict[str, Any], name: str) -> int:
    """Take a side of the input out of metadata.json."""
    side = integer(document, name, SHORTEST_SIDE, LARGEST_SIDE)
    if side % MULTIPLE:
        raise ValueError(f"{name} {side} is no multiple of {MULTIPLE}")
    return side


def _factors(document: dict[str, Any], name: str, least: float) -> tuple[tuple[float, ...], ...]:
    """Take a number for each channel of each map out of metadata.json."""
    rows = document.get(name)
    if not isinstance(rows, list) or len(rows) != len(STRIDES):
        raise ValueError(f"{name} is not one list for each of {len(STRIDES)} maps")
    return tuple(_row(row, name, least) for row in rows)


def _row(values: Any, name: str, least: float) -> tuple[float, ...]:
    numbered = dict(enumerate(values)) if isinstance(values, list) else {}
    if len(numbered) != CHANNELS:
        raise ValueError(f"{name} is not one number for each of {CHANNELS} channels")
    row = {f"{name} of channel {channel}": value for channel, value in numbered.items()}
    return tuple(number(row, key, least, LARGEST_FACTOR) for key in row)
