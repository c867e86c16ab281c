"""YuNet made ready for 8 bits: every channel of a tensor spans the same range, and a map no more than what matters.

Nothing here changes what the float network answers. A tensor has one scale for all its channels, so a channel that is
never larger than a hundredth of the largest one would be left with two or three of the 256 steps. Between the two
convolutions of a pair stands nothing, so each channel can be brought to the same range there (Nagel et al. 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction", without its step across ReLU, which brought
nothing). A map holds logits and ways in one tensor: each channel is brought to -1..1, and what lies beyond is cut off.
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
"""The first channels of a map are logits of shares, of which the score is made."""
LEAST_LOGIT = -6.0
"""A cell with such a logit has a score below 0.05, however large the other one: nothing below is told apart."""
RELEVANT = 0.03
"""Score of the cells that set a map's range: far below any threshold in use."""
HEADROOM = 0.1
"""Share of its range by which a map's range is larger than what was seen, on each side."""
DIGITS = 4
"""Of scale and offset, behind the point."""
SMALLEST = 1e-3
"""A channel counts as at least this share of the largest one."""


def equalised(weights: Weights, frames: Pixels) -> Weights:
    """Bring all that a pair's first convolution hands to its second one to the same range.

    Args:
        weights: As they are.
        frames: (n, height, width, 3) uint8 BGR to see the ranges on.
    """
    network = make_network(weights)
    between = [network.get_layer(f"{name}_pointwise").output for name in weights.pairs]
    largest = [
        np.maximum.reduce([np.abs(values).max(axis=(0, 1, 2)) for values in channel])
        for channel in zip(*_answers(keras.Model(network.input, between), frames), strict=True)
    ]
    pairs = {}
    for (name, pair), tops in zip(weights.pairs.items(), largest, strict=True):
        pairs[name] = pair.scaled_between(1 / np.maximum(tops, SMALLEST * tops.max()))
    return replace(weights, pairs=pairs)


def normalised(weights: Weights, sets: Sequence[Pixels]) -> tuple[Weights, Floats, Floats]:
    """Bring what matters of every channel of the three maps to -1..1.

    Args:
        weights: As they are.
        sets: Pictures of one size each, (n, height, width, 3) uint8 BGR, with faces of all sizes.

    Returns:
        The weights, and (3, 16) each: by what a channel of each map is to be multiplied, and what is to be added.

    Raises:
        DataError: A map has no cell with a score of `RELEVANT` on any picture.
    """
    network = make_network(weights)
    low, high = np.full((3, 16), np.inf), np.full((3, 16), -np.inf)
    for frames in sets:
        for maps in _answers(network, frames):
            for row, values in enumerate(maps):
                cells = values.reshape(-1, 16)
                score = np.sqrt(np.prod(1 / (1 + np.exp(-cells[:, :LOGITS])), axis=1))
                seen = cells[score >= RELEVANT]
                low[row] = np.minimum(low[row], seen.min(axis=0, initial=np.inf))
                high[row] = np.maximum(high[row], seen.max(axis=0, initial=-np.inf))
    if np.isinf(low).any():
        raise DataError(f"none of {sum(map(len, sets))} pictures has a face that one of YuNet's maps sees; draw others")
    room = HEADROOM * (high - low)
    low, high = low - room, high + room
    low[:, :LOGITS] = LEAST_LOGIT
    scale, offset = np.round((high - low) / 2, DIGITS), np.round((high + low) / 2, DIGITS)  # as they are written
    pairs = dict(weights.pairs)
    for row, name in enumerate(HEADS):
        pairs[name] = pairs[name].normalised(scale[row], offset[row])
    return replace(weights, pairs=pairs), scale, offset


def _answers(network: keras.Model, frames: Pixels, batch: int = 8) -> list[list[Floats]]:
    """What a network says of every batch, output by output."""
    batches = (frames[start : start + batch] for start in range(0, len(frames), batch))
    return [[np.asarray(one) for one in network.predict_on_batch(to_unit(one))] for one in batches]
