"""Advice for layers with large quantisation errors: one sentence per cause.

Only layers with large errors are diagnosed. A swish without BatchNorm, for example, cost a network trained on 8,303
faces nothing (74.59 % in both, 98.3 % agreement).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from fer_edge_export.layer_errors.measure import worst
from fer_edge_export.networks.layers import FRONT, activation, flat_layers, inputs_of
from fer_edge_export.results import LayerError

STANDS_OUT = 0.1
"""Threshold of harm: the error changes the output by a tenth of its spread over the faces. Layers of `edge`,
`legend-cnn` and `expw-cnn` have 0.00 to 0.03. One channel of `legend-cnn` scaled by 16 has 0.09, without loss of
accuracy (2,302 faces); scaled by 64 it has 0.68 and costs 1.5 points, by 256 1.33 and 30 points."""
OUTLIER = 16.0
"""Outlier threshold: range of the widest channel over that of the median one, which then has 16 of 256 quantisation
steps, and half of the channels fewer. `edge` has 1.0 to 2.3."""
FAR = 12.0
"""Threshold for large values: twice the maximum of ReLU6."""
CLIPPED = 0.01
"""Threshold for clipping: share of values outside the calibrated range."""
BOUNDED = {"relu6", "sigmoid", "hard_sigmoid", "tanh", "softmax"}
"""Keras activations with an upper bound."""
FIXED = {"LOGISTIC", "SOFTMAX", "TANH"}
"""Operators with a range fixed by TFLite."""
CONVOLUTIONS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D"}
TRY = "--auto tries other recipes"


def verdict(errors: Sequence[LayerError]) -> str:
    """Name the worst layer in one sentence, and whether its error is large."""
    if not errors:
        return "No layer has a measurable error."
    first = worst(errors)
    effect = f"{first.name} ({first.operator}) alone changes the outputs by {first.harm:.1%} of their spread"
    if first.harm >= STANDS_OUT:
        return f"Worst layer: {effect}, {share(first, errors):.0%} of the total int8 error."
    return f"No layer has a large error: the worst, {effect} (threshold {STANDS_OUT:.0%})."


def share(error: LayerError, errors: Sequence[LayerError]) -> float:
    """Share of a layer, 0 to 1, in the squared output error, assuming independent layer errors."""
    total = sum(each.harm**2 for each in errors)
    return error.harm**2 / total if total else 0.0


def advice(errors: Sequence[LayerError], network: Any) -> list[str]:
    """Give advice, one sentence per cause, the worst affected layer first; empty if no error is large.

    Args:
        errors: Result of `fer_edge_export.layer_errors.measure.layer_errors`.
        network: The keras.Model.
    """
    hurt = sorted((error for error in errors if error.harm >= STANDS_OUT), key=lambda error: -error.harm)
    links = _LayerLinks(network)
    sentences = []
    explained: set[int] = set()
    for cause in CAUSES:
        found = [(error, cause(error, links)) for error in hurt]
        affected = [(error, text) for error, text in found if text]
        explained.update(id(error) for error, _ in affected)
        if affected:
            names = list(dict.fromkeys(error.name for error, _ in affected))
            more = f" Likewise: {', '.join(names[1:6])}." if names[1:] else ""
            sentences.append(f"{names[0]}: {affected[0][1]}.{more}")
    rest = [error for error in hurt if id(error) not in explained]
    if rest:
        sentences.append(
            f"{rest[0].name}: {rest[0].operator} changes the outputs by {rest[0].harm:.1%} of their spread, for an "
            f"unknown cause; {TRY}."
        )
    together = math.sqrt(sum(error.harm**2 for error in errors))
    if not hurt and together >= 2 * STANDS_OUT:
        sentences.append(f"No layer has a large error, but all together change the outputs by {together:.1%}; {TRY}.")
    return sentences + _softmax(errors)


class _LayerLinks:
    """Connections between the layers of a Keras network."""

    def __init__(self, network: Any) -> None:
        """Read the inputs of each layer, also of nested networks."""
        self.layers = {layer.name: layer for layer in flat_layers(network)}
        self.before: dict[str, list[str]] = {name: [] for name in self.layers}
        parts = [network]
        for part in parts:  # which grows
            parts += [layer for layer in part.layers if hasattr(layer, "layers")]
            self.before |= {name: before for name, before in inputs_of(part).items() if name in self.layers}

    def bare_convolution(self, name: str) -> str | None:
        """The convolution that is layer `name` or directly before it, if no BatchNormalization follows it."""
        for each in (name, *self.before[name]):
            layer = self.layers.get(each)
            if type(layer).__name__ in CONVOLUTIONS and each != FRONT:
                after = [type(self.layers[other]).__name__ for other, inputs in self.before.items() if each in inputs]
                normalised = "BatchNormalization" in after and activation(layer) == "linear"
                return None if normalised else each
        return None

    def gate(self, name: str) -> str | None:
        """The Multiply that scales the channels (squeeze-excite) whose gate includes layer `name`."""
        for each, inputs in self.before.items():
            if type(self.layers[each]).__name__ != "Multiply" or not all(other in self.layers for other in inputs):
                continue
            positions = [math.prod(self.layers[other].output.shape[1:-1] or (1,)) for other in inputs]
            smallest = positions.index(min(positions))
            if min(positions) < max(positions) and (name == each or name in self._chain(inputs[smallest])):
                return each
        return None

    def _chain(self, name: str) -> set[str]:
        """Layer `name` and those before it without spatial dimensions, back to the global pooling."""
        if name not in self.layers or math.prod(self.layers[name].output.shape[1:-1] or (1,)) > 1:
            return set()
        return {name}.union(*(self._chain(other) for other in self.before[name]))


def _outlier(error: LayerError, _: _LayerLinks) -> str | None:
    if error.channel_outlier < OUTLIER or not error.step:
        return None
    weights = ""
    if error.weight_outlier and error.weight_outlier >= OUTLIER:
        weights = f", its weights {error.weight_outlier:.0f} times"
    return (
        f"one channel spans {error.channel_outlier:.0f} times the range of the median channel (outlier threshold "
        f"{OUTLIER:.0f}){weights}; all share a quantisation step of {error.step:.3g}, which leaves the median channel "
        f"{error.channel_range / error.step:.1f} steps. Use BatchNormalization before the activation and weight decay"
    )


def _unbounded(error: LayerError, links: _LayerLinks) -> str | None:
    name = activation(links.layers[error.name])
    reach = max(-error.lowest, error.highest)
    if name == "linear" or name in BOUNDED or reach <= FAR:
        return None
    return (
        f"{name} has no upper bound, and values reach {reach:.3g} (threshold {FAR:g}; ReLU6 ends at 6). "
        "Train with ReLU(6.0) instead"
    )


def _no_batchnorm(error: LayerError, links: _LayerLinks) -> str | None:
    convolution = links.bare_convolution(error.name)
    if convolution is None:
        return None
    return (
        f"no BatchNormalization between the convolution {convolution} and its activation limits "
        f"its range, {error.lowest:.3g} to {error.highest:.3g}. Add one: it folds into the convolution and costs "
        "nothing on the device"
    )


def _squeeze_excite(error: LayerError, links: _LayerLinks) -> str | None:
    gate = links.gate(error.name)
    if gate is None:
        return None
    return (
        f"it is part of the squeeze-excite block of {gate}, whose few values scale whole channels, so their "
        "quantisation error affects everything. Train without the block"
    )


def _clipped(error: LayerError, _: _LayerLinks) -> str | None:
    if error.clipped < CLIPPED or error.operator in FIXED:
        return None
    return (
        f"{error.clipped:.1%} of its values are outside the calibrated range (threshold {CLIPPED:.0%}). "
        "Calibrate with more varied faces: --calib-samples 500, --data SET.npz"
    )


def _softmax(errors: Sequence[LayerError]) -> list[str]:
    names = [error.name for error in errors if error.operator == "SOFTMAX" and error.step]
    return [
        f"{name}: an int8 softmax has steps of 1/256, so close classes tie. End the network with logits"
        for name in names
    ]


Cause = Callable[[LayerError, _LayerLinks], str | None]
CAUSES: tuple[Cause, ...] = (_clipped, _outlier, _unbounded, _no_batchnorm, _squeeze_excite)
"""Most certain causes first."""
