"""What to do about the layers that int8 hurts: one sentence for each cause, from what was measured at them.

A cause is looked for only in layers that stand out. A swish without BatchNorm, for one, cost a network trained on 8,303
faces nothing (74.59 % in both, 98.3 % agreement), and advice against what does no harm is noise.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from fer_edge_export.layer_errors.measure import worst
from fer_edge_export.networks.layers import FRONT, activation, flat_layers, inputs_of
from fer_edge_export.results import LayerError

STANDS_OUT = 0.1
"""Harm from which on a layer is worth a word: it moves the answer by a tenth of its spread from face to face. Layers of
`edge`, `legend-cnn` and `expw-cnn` do 0.00 to 0.03. One channel of `legend-cnn` made 16 times as large does 0.09, and
accuracy stays (2,302 faces); made 64 times as large it does 0.68 and costs 1.5 points, 256 times 1.33 and 30 points."""
OUTLIER = 16.0
"""Range of the widest channel over that of the median one from which on it is an outlier: 16 of 256 steps are left to
the median channel, and fewer to half of them. `edge` has 1.0 to 2.3."""
FAR = 12.0
"""Values beyond this are far: twice what ReLU6 lets through."""
CLIPPED = 0.01
"""Share of values beyond the calibrated range from which on the calibration is to blame."""
BOUNDED = {"relu6", "sigmoid", "hard_sigmoid", "tanh", "softmax"}
"""Keras activations with an upper end."""
FIXED = {"LOGISTIC", "SOFTMAX", "TANH"}
"""Operators whose range TFLite prescribes, whatever the calibration says."""
CONVOLUTIONS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D"}
TRY = "--auto tries other recipes"


def verdict(errors: Sequence[LayerError]) -> str:
    """Name the worst layer in one sentence, and say whether it stands out."""
    if not errors:
        return "No layer makes an error that could be measured."
    first = worst(errors)
    moves = f"{first.name} ({first.operator}) alone moves the answers by {first.harm:.1%} of their spread"
    if first.harm >= STANDS_OUT:
        return f"Worst layer: {moves}, {share(first, errors):.0%} of all that int8 does to them."
    return f"Nothing stands out: the worst layer, {moves}; from {STANDS_OUT:.0%} on it would count."


def share(error: LayerError, errors: Sequence[LayerError]) -> float:
    """Part of a layer, 0 to 1, in the squared change of the answers, as if the layers' errors were independent."""
    everything = sum(each.harm**2 for each in errors)
    return error.harm**2 / everything if everything else 0.0


def advice(errors: Sequence[LayerError], network: Any) -> list[str]:
    """Say what to do, a sentence for each cause, the worst layer that has it first; nothing where nothing is wrong.

    Args:
        errors: As `fer_edge_export.layer_errors.measure.layer_errors` measured them.
        network: The keras.Model.
    """
    hurt = sorted((error for error in errors if error.harm >= STANDS_OUT), key=lambda error: -error.harm)
    links = _Links(network)
    sentences = []
    explained: set[int] = set()
    for cause in CAUSES:
        found = [(error, cause(error, links)) for error in hurt]
        told = [(error, text) for error, text in found if text]
        explained.update(id(error) for error, _ in told)
        if told:
            names = list(dict.fromkeys(error.name for error, _ in told))
            more = f" The same holds for {', '.join(names[1:6])}." if names[1:] else ""
            sentences.append(f"{names[0]}: {told[0][1]}.{more}")
    rest = [error for error in hurt if id(error) not in explained]
    if rest:
        sentences.append(
            f"{rest[0].name}: {rest[0].operator} moves the answers by {rest[0].harm:.1%} of their spread, for none of "
            f"the causes known here; {TRY}."
        )
    together = math.sqrt(sum(error.harm**2 for error in errors))
    if not hurt and together >= 2 * STANDS_OUT:
        sentences.append(f"No layer stands out, but all together move the answers by {together:.1%}; {TRY}.")
    return sentences + _softmax(errors)


class _Links:
    """Who follows whom in a Keras network."""

    def __init__(self, network: Any) -> None:
        """Read the inputs of each layer, also of networks inside."""
        self.layers = {layer.name: layer for layer in flat_layers(network)}
        self.before: dict[str, list[str]] = {name: [] for name in self.layers}
        parts = [network]
        for part in parts:  # which grows
            parts += [layer for layer in part.layers if hasattr(layer, "layers")]
            self.before |= {name: before for name, before in inputs_of(part).items() if name in self.layers}

    def bare_convolution(self, name: str) -> str | None:
        """The convolution that is layer `name` or stands right before it, if no BatchNormalization follows on it."""
        for each in (name, *self.before[name]):
            layer = self.layers.get(each)
            if type(layer).__name__ in CONVOLUTIONS and each != FRONT:
                after = [type(self.layers[other]).__name__ for other, inputs in self.before.items() if each in inputs]
                normalised = "BatchNormalization" in after and activation(layer) == "linear"
                return None if normalised else each
        return None

    def gate(self, name: str) -> str | None:
        """The Multiply that scales a map's channels (squeeze-excite) to whose gate layer `name` belongs."""
        for each, inputs in self.before.items():
            if type(self.layers[each]).__name__ != "Multiply" or not all(other in self.layers for other in inputs):
                continue
            places = [math.prod(self.layers[other].output.shape[1:-1] or (1,)) for other in inputs]
            if min(places) < max(places) and (name == each or name in self._chain(inputs[places.index(min(places))])):
                return each
        return None

    def _chain(self, name: str) -> set[str]:
        """Layer `name` and those before it that know no place, back to the mean over the map."""
        if name not in self.layers or math.prod(self.layers[name].output.shape[1:-1] or (1,)) > 1:
            return set()
        return {name}.union(*(self._chain(other) for other in self.before[name]))


def _outlier(error: LayerError, _: _Links) -> str | None:
    if error.channel_outlier < OUTLIER or not error.step:
        return None
    weights = ""
    if error.weight_outlier and error.weight_outlier >= OUTLIER:
        weights = f", and so do its weights ({error.weight_outlier:.0f} times)"
    return (
        f"one channel spans {error.channel_outlier:.0f} times the range of the median channel (outlier from "
        f"{OUTLIER:.0f} on){weights}; all share a step of {error.step:.3g}, which leaves the median channel "
        f"{error.channel_range / error.step:.1f} steps. BatchNormalization before the activation and weight "
        "decay keep channels alike"
    )


def _unbounded(error: LayerError, links: _Links) -> str | None:
    name = activation(links.layers[error.name])
    reach = max(-error.lowest, error.highest)
    if name == "linear" or name in BOUNDED or reach <= FAR:
        return None
    return (
        f"{name} has no upper end, and values reach {reach:.3g} (far from {FAR:g} on; ReLU6 ends at 6). "
        "Train with ReLU(6.0) in its place"
    )


def _no_batchnorm(error: LayerError, links: _Links) -> str | None:
    convolution = links.bare_convolution(error.name)
    if convolution is None:
        return None
    return (
        f"no BatchNormalization stands between the convolution {convolution} and its activation, so that nothing holds "
        f"its range, {error.lowest:.3g} to {error.highest:.3g}. Put one there: it folds into the convolution and costs "
        "nothing on the device"
    )


def _squeeze_excite(error: LayerError, links: _Links) -> str | None:
    gate = links.gate(error.name)
    if gate is None:
        return None
    return (
        f"it belongs to the squeeze-excite block of {gate}, whose few values scale whole channels, so that each step "
        "of theirs is felt everywhere. Train without the block"
    )


def _clipped(error: LayerError, _: _Links) -> str | None:
    if error.clipped < CLIPPED or error.operator in FIXED:
        return None
    return (
        f"{error.clipped:.1%} of its values lie outside the calibrated range (the calibration is to blame from "
        f"{CLIPPED:.0%} on). Calibrate with faces of all kinds that it will see: --calib-samples 500, --data SET.npz"
    )


def _softmax(errors: Sequence[LayerError]) -> list[str]:
    names = [error.name for error in errors if error.operator == "SOFTMAX" and error.step]
    return [
        f"{name}: an int8 softmax knows steps of 1/256 only, so that close classes tie. Let logits leave the network"
        for name in names
    ]


Cause = Callable[[LayerError, _Links], str | None]
CAUSES: tuple[Cause, ...] = (_clipped, _outlier, _unbounded, _no_batchnorm, _squeeze_excite)
"""In the order of how sure they are."""
