"""Prepare YuNet for int8: equal channel ranges in each tensor, and maps limited to relevant values.

The outputs of the float network do not change. A tensor has one scale for all channels, so a channel whose range is a
hundredth of the largest one would get two or three of 256 quantisation steps. There is no activation between the two
convolutions of a pair, so their channels can be equalised (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", without its step across ReLU, which gained nothing). A map has logits and box offsets
in one tensor: each channel is normalised to -1..1, and values beyond are clipped.

Imports Keras; import this module inside a function.
"""

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels
from fer_edge.model.quantization import to_unit
from fer_edge_export.detector.network import make_network
from fer_edge_export.detector.weights import HEADS, Floats, Weights

LOGITS = 2
"""The first channels of a map are the logits of the score."""
LEAST_LOGIT = -6.0
"""A cell with such a logit has a score below 0.05, whatever the other one; lower ones are clipped."""
RELEVANT = 0.03
"""Minimum score of the cells that define a map's range: far below any threshold in use."""
HEADROOM = 0.1
"""Margin on each side of the measured range of a map, as a share of it."""
DIGITS = 4
"""Decimals of scale and offset."""
SMALLEST = 1e-3
"""Minimum range of a channel, relative to the largest one."""


def equalised(weights: Weights, frames: Pixels) -> Weights:
    """Equalise the channel ranges between the two convolutions of each pair.

    Args:
        weights: Original weights.
        frames: (n, height, width, 3) uint8 BGR to measure the ranges on.
    """
    network = make_network(weights)
    between = [network.get_layer(f"{name}_pointwise").output for name in weights.pairs]
    largest = [
        np.maximum.reduce([np.abs(values).max(axis=(0, 1, 2)) for values in channel])
        for channel in zip(*_predict(keras.Model(network.input, between), frames), strict=True)
    ]
    pairs = {}
    for (name, pair), maxima in zip(weights.pairs.items(), largest, strict=True):
        pairs[name] = pair.scaled_between(1 / np.maximum(maxima, SMALLEST * maxima.max()))
    return replace(weights, pairs=pairs)


def normalised(weights: Weights, sets: Sequence[Pixels]) -> tuple[Weights, Floats, Floats]:
    """Normalise the relevant range of every channel of the three maps to -1..1.

    Args:
        weights: Original weights.
        sets: Pictures of one size each, (n, height, width, 3) uint8 BGR, with faces of all sizes.

    Returns:
        The weights, and scale and offset, (3, 16) each, that restore the channels of each map.

    Raises:
        DataError: A map has no cell with a score of `RELEVANT` on any picture.
    """
    network = make_network(weights)
    low, high = np.full((3, 16), np.inf), np.full((3, 16), -np.inf)
    for frames in sets:
        for maps in _predict(network, frames):
            for row, values in enumerate(maps):
                cells = values.reshape(-1, 16)
                score = np.sqrt(np.prod(1 / (1 + np.exp(-cells[:, :LOGITS])), axis=1))
                relevant = cells[score >= RELEVANT]
                low[row] = np.minimum(low[row], relevant.min(axis=0, initial=np.inf))
                high[row] = np.maximum(high[row], relevant.max(axis=0, initial=-np.inf))
    if np.isinf(low).any():
        raise DataError(
            f"none of {sum(map(len, sets))} pictures has a face for one of YuNet's maps; use other calibration pictures"
        )
    margin = HEADROOM * (high - low)
    low, high = low - margin, high + margin
    low[:, :LOGITS] = LEAST_LOGIT
    scale, offset = np.round((high - low) / 2, DIGITS), np.round((high + low) / 2, DIGITS)  # as stored in the contract
    pairs = dict(weights.pairs)
    for row, name in enumerate(HEADS):
        pairs[name] = pairs[name].normalised(scale[row], offset[row])
    return replace(weights, pairs=pairs), scale, offset


def _predict(network: keras.Model, frames: Pixels, batch: int = 8) -> list[list[Floats]]:
    """Outputs of a network for every batch."""
    batches = (frames[start : start + batch] for start in range(0, len(frames), batch))
    return [[np.asarray(one) for one in network.predict_on_batch(to_unit(one))] for one in batches]
