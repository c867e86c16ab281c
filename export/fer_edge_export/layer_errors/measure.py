"""Where int8 hurts: what each operator of the delivered file gets wrong by itself, and what that does to the answer.

The files themselves are compared, not a third conversion, so that a file with other ranges (percentile, learned) or of
another recipe is judged as it is. For every operator and face

- its own error is what it puts out in int8 less what the float operator makes of the same, already rounded, inputs:
  nothing that it inherits from the layers before it (TensorFlow's quantisation debugger draws the line there, too);
- its harm is how far that error alone, added to the float network's values there, moves the float network's answer.

Layers are compared by harm, because a signal-to-noise ratio says little of the answer: noise that a mean over the map
takes out again looks as bad as noise that stays, and one channel that is far larger than the others makes the ratio
look best just where those others are lost.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels, with_channels
from fer_edge.model.quantization import Floats
from fer_edge_export.flatbuffer import Graph, Runner, Values
from fer_edge_export.networks.layers import PART, flat_layers
from fer_edge_export.results import LayerError

NO_STEPS = np.zeros(0, np.float32)
FACES = 32
"""Enough to name the worst layer: on a badly built network 8 named the same one, with 18 % of harm in place of 19 %."""


def layer_errors(network: Any, float32: bytes, quantised: bytes, faces: Pixels) -> list[LayerError]:
    """Measure the error of each operator, in the network's order.

    Operators that only move values (reshape, max pooling) make none and are left out.

    Args:
        network: keras.Model from which both files were made; it names the layers.
        float32: Its float32 flatbuffer.
        quantised: Its flatbuffer of any recipe; built-in kernels run it, not XNNPACK.
        faces: (n, height, width) uint8 grey, or (n, height, width, 3) uint8 RGB; `FACES` are enough.

    Raises:
        DataError: Fewer than two faces, or of another size than the network's input.
    """
    shape = tuple(network.input_shape[1:])
    if len(faces) < 2 or with_channels(faces).shape[1:] != shape:
        raise DataError(f"layers are judged on two or more faces of shape {shape}, not on {faces.shape}")
    graph, whole, rounded = Graph(float32), Runner(float32), Runner(quantised)
    there = _in_both(graph, Graph(quantised))
    whole.show(faces[0])
    graph.settle({index: whole.read(index).shape for index in graph.computed().values()})
    probes = {index: _Probe(graph, index, there, rounded) for index in there}
    answers = []
    for pixels in faces:
        whole.show(pixels)
        rounded.show(pixels)
        right = {index: whole.read(index) for index in (*graph.inputs, *graph.computed().values())}
        seen = right | {index: rounded.read(other) for index, other in there.items()}
        answers.append([right[index] for index in graph.outputs])
        for probe in probes.values():
            probe.look(right, seen)
    spread = [float(np.var(np.stack(values), axis=0).mean()) for values in zip(*answers, strict=True)]
    errors = []
    for operator, name in zip(graph.operators, layer_names(graph, network), strict=True):
        index, kernel = int(operator.outputs[0]), graph.kernel(operator)
        if index in probes and probes[index].own > 0:
            steps = rounded.channel_steps(graph.name(kernel)) if kernel is not None else NO_STEPS
            errors.append(probes[index].result(name, graph.kind(operator), spread, steps))
    return errors


def _in_both(graph: Graph, other: Graph) -> dict[int, int]:
    """Values that operators of both files put out, by name: index in the float file, and in the other."""
    there = other.computed()
    pairs = {index: there[name] for name, index in graph.computed().items() if name in there}
    # a weight that is widened from float16 may have the name that an activation has elsewhere
    return {
        index: pair
        for index, pair in pairs.items()
        if graph.is_float(index) and graph.shape(index) == other.shape(pair)
    }


def worst(errors: Sequence[LayerError]) -> LayerError:
    """The operator whose own error moves the answer most; `errors` has at least one."""
    return max(errors, key=lambda error: error.harm)


class _Probe:
    """One operator, cut out of the float network, and sums over faces of what it gets wrong in int8."""

    def __init__(self, graph: Graph, index: int, there: Mapping[int, int], rounded: Runner) -> None:
        """Cut out what computes tensor `index` from tensors that both files have, and what follows on it.

        Args:
            graph: The float network.
            index: The operator's output.
            there: Tensors of the float network that the int8 network has, too, and their index in it.
            rounded: The int8 network.
        """
        self.index = index
        self.outputs = graph.outputs
        self.limits = rounded.limits(there[index])
        # numbers that are shapes are computed again: as inputs they would be 0 while memory is planned
        computed = [each for each in graph.computed().values() if graph.is_float(each)]
        self._alone = graph.part([index], {*there, *graph.inputs} - {index})
        self._rest = graph.part(graph.outputs, {*computed[: computed.index(index) + 1], *graph.inputs})
        self.own = self.total = self.signal = 0.0
        self.clipped = self.n = self.faces = 0
        self.moved = np.zeros(len(graph.outputs))
        self.lowest = self.highest = np.zeros(0)

    def look(self, right: Values, seen: Values) -> None:
        """Add a face: the float network's tensors, and the int8 network's as real numbers."""
        value, got = right[self.index], seen[self.index]
        alone = self._alone.compute(seen)[self.index]
        # of inputs that int8 rounds to 0 some operators, such as 1 / sqrt(x), have no answer in float
        own = got - np.where(np.isfinite(alone), alone, value)
        disturbed = self._rest.compute({**right, self.index: value + own})
        for place, index in enumerate(self.outputs):
            answer = np.where(np.isfinite(disturbed[index]), disturbed[index], 0)  # none at all: a root below zero
            self.moved[place] += np.mean((answer - right[index]) ** 2, dtype=float)
        self.own += float(np.sum(own**2, dtype=float))
        self.total += float(np.sum((got - value) ** 2, dtype=float))
        self.signal += float(np.sum(value**2, dtype=float))
        lowest, highest, step = self.limits
        self.clipped += int(((value < lowest - step / 2) | (value > highest + step / 2)).sum())
        self.n, self.faces = self.n + value.size, self.faces + 1
        channels = value.reshape(-1, value.shape[-1])
        ends = channels.min(axis=0), channels.max(axis=0)
        first = self.faces == 1
        self.lowest = ends[0] if first else np.minimum(self.lowest, ends[0])
        self.highest = ends[1] if first else np.maximum(self.highest, ends[1])

    def result(self, name: str, operator: str, spread: Sequence[float], weight_steps: Floats) -> LayerError:
        """Sum up; `spread` is the variance of each of the network's outputs from face to face."""
        ranges = self.highest - self.lowest
        ranges = ranges[ranges > 0]
        typical = float(np.median(ranges)) if len(ranges) else 0.0
        harm = [
            moved / self.faces / variance for moved, variance in zip(self.moved, spread, strict=True) if variance > 0
        ]
        return LayerError(
            name=name,
            operator=operator,
            harm=math.sqrt(sum(harm)),
            sqnr_db=_decibels(self.signal, self.own),
            total_sqnr_db=_decibels(self.signal, self.total),
            lowest=float(self.lowest.min()),
            highest=float(self.highest.max()),
            step=self.limits[2],
            clipped=self.clipped / self.n,
            channel_range=typical,
            channel_outlier=float(ranges.max()) / typical if typical else 1.0,
            weight_outlier=float(weight_steps.max() / np.median(weight_steps)) if len(weight_steps) else None,
        )


def _decibels(signal: float, noise: float) -> float:
    return 10 * math.log10(signal / noise) if signal and noise else -math.inf if noise else math.inf


def layer_names(graph: Graph, network: Any) -> list[str]:
    """The Keras layer of each operator: the one whose kernel it holds, else the first of those fused into it.

    Tracing makes `conv2d_1` of the layer `conv2d` and `conv2d_1_2` of `conv2d_1`; so the last number goes first.
    """
    order = {layer.name: position for position, layer in enumerate(flat_layers(network))}
    last = next(reversed(order))
    names = []
    for operator in graph.operators:
        kernel = graph.kernel(operator)
        tried = [*([] if kernel is None else [kernel]), int(operator.outputs[0]), *graph.constants(operator)]
        found = (sorted(_layers_in(graph.name(index), order), key=order.__getitem__) for index in tried)
        names.append(next((layers[0] for layers in found if layers), last))
    return names


def _layers_in(tensor: str, order: Collection[str]) -> list[str]:
    """Keras layers in a tensor's name, such as `net_1/relu_1/Relu;net_1/conv2d_1/convolution`, innermost only."""
    layers = []
    for path in tensor.split(";"):
        for part in reversed(path.split("/")[1:]):
            pieces = part.split(PART)
            wholes = [PART.join(pieces[:count]) for count in range(len(pieces) - 1, 0, -1)]
            name = next((name for name in (re.sub(r"_\d+$", "", part), part, *wholes) if name in order), None)
            if name:
                layers.append(name)
                break
    return layers
