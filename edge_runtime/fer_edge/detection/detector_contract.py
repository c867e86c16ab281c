"""The contract of a face detector: inputs, outputs and preprocessing."""

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
"""Decoding of the output maps (`fer_edge.detection.yunet`), the only one supported."""
LARGEST_SIDE = 8192
"""Upper limit of an input side in pixels."""
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-4, 1e4
"""Limits of the output scales, and of the offsets' magnitude."""
MAX_ENLARGED = 2.0
"""Maximum enlargement of small images; more adds no detail."""
SHORTEST_SIDE = 64
"""Lower limit of an input side in pixels."""
MAP_NAMES = tuple(f"map{stride}" for stride in STRIDES)
"""Names of the outputs in the golden vectors."""


@dataclass(frozen=True)
class DetectorContract:
    """A face detector's contract; `metadata.json` holds these fields."""

    width: int
    """Default input width in pixels; the input is (1, height, width, 3) BGR, and can be resized to multiples of 32."""
    height: int
    recipe: str
    """int8: uint8 pixels in at scale 1/255, int8 maps out. float16: BGR in [0, 1] in, float maps out."""
    threshold: float
    """Minimum score of a face, 0 to 1."""
    scale: tuple[tuple[float, ...], ...]
    """(3, 16): factor of each channel of each output that gives a map of `detection.yunet`; above 0."""
    offset: tuple[tuple[float, ...], ...]
    """(3, 16): offset that is added then."""
    decoding: str = DECODING
    network: dict[str, Any] = field(default_factory=dict)
    """Name, parameters, multiply-accumulates."""
    data: dict[str, Any] = field(default_factory=dict)
    """Origin of the weights, with digest and terms, and the calibration data."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that wrote the file."""

    @property
    def scale_and_offset(self) -> tuple[Floats, Floats]:
        """Both as arrays, for `fer_edge.detection.yunet.decode`."""
        return np.array(self.scale, np.float32), np.array(self.offset, np.float32)


@dataclass(frozen=True)
class DetectorGolden:
    """Golden vectors: rendered frames and their reference output of each stage."""

    frames: Pixels
    """(n, height, width, 3) uint8 BGR."""
    pixels: Pixels
    """(n, height, width, 3) uint8 BGR: the network's input."""
    maps: tuple[Floats, ...]
    """(n, rows, columns, 16) for each stride: the network's outputs."""
    faces: Floats
    """(m, 15): frame number, then x, y, w, h and landmarks of each decoded face, in pixels of the input."""


@dataclass(frozen=True)
class DetectorModel:
    """A face detector's network with its contract."""

    path: Path
    """Its path, also before it is written; used in messages."""
    flatbuffer: bytes
    contract: DetectorContract


@dataclass(frozen=True)
class DetectorFile(DetectorModel):
    """A validated face detector file."""

    golden: DetectorGolden


def map_shapes(width: int, height: int) -> list[tuple[int, int, int]]:
    """Return the shapes of a detector's maps for an input size in pixels."""
    return [(height // stride, width // stride, CHANNELS) for stride in STRIDES]


def fitted(frame_bgr: Pixels, side: int, canvas: Pixels | None = None) -> tuple[Pixels, tuple[float, float]]:
    """Scale a frame to the smallest detector input that contains it, by `FIT_RULE`.

    >>> [fitted(np.zeros((*shape, 3), np.uint8), 320)[0].shape for shape in ((480, 640), (960, 540))]
    [(256, 320, 3), (320, 192, 3)]

    Args:
        frame_bgr: (height, width, 3) uint8 BGR.
        side: Longer side after scaling, in pixels; a small frame is enlarged by at most `MAX_ENLARGED`.
        canvas: Result of an earlier call, which is reused if the size matches: allocating memory takes longer than
            scaling.

    Returns:
        (height, width, 3) uint8 BGR, both sides multiples of 32, and the factors (x, y) from its pixels to the
        frame's.
    """
    rows, columns = frame_bgr.shape[:2]
    scale = min(side / max(rows, columns), MAX_ENLARGED)
    small_wh = wide, high = max(1, round(columns * scale)), max(1, round(rows * scale))
    width, height = (max(SHORTEST_SIDE, MULTIPLE * math.ceil(length / MULTIPLE)) for length in small_wh)
    if canvas is None or canvas.shape != (height, width, 3):
        canvas = np.empty((height, width, 3), np.uint8)
    canvas[high:] = 0
    canvas[:high, wide:] = 0
    # Halving is fast; INTER_AREA to any other size takes as long as half the network. Not INTER_LINEAR, whose Arm code
    # differs from x86 by up to 4 levels.
    half = frame_bgr
    while half.shape[0] >= 2 * high and half.shape[1] >= 2 * wide:
        half_wh = half.shape[1] // 2, half.shape[0] // 2
        half = cast(Pixels, cv2.resize(half, half_wh, interpolation=cv2.INTER_AREA))
    cv2.resize(half, small_wh, dst=canvas[:high, :wide], interpolation=cv2.INTER_LINEAR_EXACT)
    return canvas, (columns / wide, rows / high)


def write_detector(path: Path, flatbuffer: bytes, contract: DetectorContract, golden: DetectorGolden) -> None:
    """Write a self-contained model file (`fer_edge.model.package`)."""
    document = {"fit_rule": FIT_RULE, **asdict(contract)}
    arrays: Arrays = {"frames": golden.frames, "pixels": golden.pixels, "faces": golden.faces}
    arrays |= dict(zip(MAP_NAMES, golden.maps, strict=True))
    write_packed(path, flatbuffer, "faces", document, arrays)


def read_detector(path: Path) -> DetectorFile:
    """Read and validate a face detector.

    Raises:
        ModelError: Missing, not a TFLite file, without contract, of a newer version, damaged, or an expression model.
    """
    return as_detector(read_packed(path))


def as_detector(packed: Packed) -> DetectorFile:
    """Return a packed file as a face detector.

    Raises:
        ModelError: Its contract is damaged or not supported, or it is an expression model.
    """
    path, document, golden = packed.path, packed.document, packed.golden
    if packed.task != "faces":
        raise ModelError(f"{path}: an expression model, not a face detector; type: --model {quote(str(path))}")
    if document.get("decoding") != DECODING:
        raise ModelError(
            f"{path}: a face detector of another fer-edge version; remove --detector-model to use the bundled one"
        )
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
    """Get an input side from metadata.json."""
    side = integer(document, name, SHORTEST_SIDE, LARGEST_SIDE)
    if side % MULTIPLE:
        raise ValueError(f"{name} {side} is not a multiple of {MULTIPLE}")
    return side


def _factors(document: dict[str, Any], name: str, least: float) -> tuple[tuple[float, ...], ...]:
    """Get a number for each channel of each map from metadata.json."""
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
