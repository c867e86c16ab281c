"""Pixel scaling to [0, 1], and quantisation arithmetic."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.imaging.images import Pixels, with_channels

Floats = npt.NDArray[np.float32]


class Quantization(NamedTuple):
    """TFLite's quantisation parameters: real = scale * (integer - zero_point)."""

    scale: float
    """Quantisation step; 0 if the tensor is not quantised, as in the runtimes."""
    zero_point: int


PIXELS = Quantization(float(np.float32(1 / 255)), 0)
"""Of a uint8 input whose quantised values are pixel values: byte b represents b / 255."""


def to_unit(pixels: Pixels, out: Floats | None = None) -> Floats:
    """Scale uint8 pixels of any shape from 0..255 to float32 in [0, 1], optionally into `out`.

    >>> to_unit(np.array([0, 51, 255], np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    return np.asarray(np.divide(pixels, np.float32(255), out=out, dtype=np.float32))


def to_input(faces: Pixels) -> Floats:
    """Convert (n, size, size) uint8 grey or (n, size, size, 3) RGB to (n, size, size, 1 or 3) float32 in [0, 1]."""
    return to_unit(with_channels(faces))


def quantize(reals: Floats, quantization: Quantization, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Quantise `reals` of any shape to integers of `dtype`, clipped to its limits.

    >>> quantize(np.array([-9, 0, 0.26], np.float32), Quantization(0.1, 3), np.int8)
    array([-87,   3,   6], dtype=int8)
    """
    limits = np.iinfo(np.dtype(dtype))
    steps = np.round(reals / np.float32(quantization.scale)) + quantization.zero_point
    return np.asarray(np.clip(steps, limits.min, limits.max), dtype)


def dequantize(integers: npt.NDArray[Any], quantization: Quantization) -> Floats:
    """Convert quantised `integers` of any shape and dtype to float32.

    >>> dequantize(np.array([-87, 3, 6], np.int8), Quantization(0.1, 3))
    array([-9. ,  0. ,  0.3], dtype=float32)
    """
    reals = (integers.astype(np.float32) - np.float32(quantization.zero_point)) * np.float32(quantization.scale)
    return np.asarray(reals, np.float32)
