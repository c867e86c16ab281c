"""Quantisation error of each operator of the exported file, and its effect on the output.

The exported files are compared, not a third conversion, so any ranges (percentile, learned) and recipes are measured
as they are. For every operator and face

- its own error is its int8 output minus the float operator's output for the same, already rounded, inputs: without the
  error inherited from earlier layers (as in TensorFlow's quantisation debugger);
- its harm is the change of the float network's output when that error alone is added to the float values there.

Layers are ranked by harm, since a signal-to-noise ratio says little about the output: noise that pooling averages out
looks as bad as noise that remains, and one channel far larger than the others makes the ratio look best just when
those others are lost.
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
"""Enough to find the worst layer: on a bad network 8 found the same one, with 18 % of harm instead of 19 %."""


def layer_errors(network: Any, float32: bytes, quantised: bytes, faces: Pixels) -> list[LayerError]:
    """Measure the error of each operator, in network order.

    Operators that only move values (reshape, max pooling) have none and are left out.

    Args:
        network: keras.Model from which both files were made, for the layer names.
        float32: Its float32 flatbuffer.
        quantised: Its flatbuffer of any recipe; run by built-in kernels, not XNNPACK.
        faces: (n, height, width) uint8 grey, or (n, height, width, 3) uint8 RGB; `FACES` are enough.

    Raises:
        DataError: Fewer than two faces, or not of the size of the network's input.
    """
    shape = tuple(network.input_shape[1:])
    if len(faces) < 2 or with_channels(faces).shape[1:] != shape:
        raise DataError(f"layer errors need two or more faces of shape {shape}, not {faces.shape}")
    graph, reference, rounded = Graph(float32), Runner(float32), Runner(quantised)
    common = _common_tensors(graph, Graph(quantised))
    reference.run(faces[0])
    graph.set_shapes({index: reference.read(index).shape for index in graph.computed().values()})
    probes = {index: _Probe(graph, index, common, rounded) for index in common}
    outputs = []
    for pixels in faces:
        reference.run(pixels)
        rounded.run(pixels)
        exact = {index: reference.read(index) for index in (*graph.inputs, *graph.computed().values())}
        quantised_values = exact | {index: rounded.read(other) for index, other in common.items()}
        outputs.append([exact[index] for index in graph.outputs])
        for probe in probes.values():
            probe.add(exact, quantised_values)
    spread = [float(np.var(np.stack(values), axis=0).mean()) for values in zip(*outputs, strict=True)]
    errors = []
    for operator, name in zip(graph.operators, layer_names(graph, network), strict=True):
        index, kernel = int(operator.outputs[0]), graph.kernel(operator)
        if index in probes and probes[index].own > 0:
            steps = rounded.channel_steps(graph.name(kernel)) if kernel is not None else NO_STEPS
            errors.append(probes[index].result(name, graph.kind(operator), spread, steps))
    return errors


def _common_tensors(graph: Graph, other: Graph) -> dict[int, int]:
    """Operator outputs in both files, matched by name: index in the float file -> index in the other."""
    computed = other.computed()
    pairs = {index: computed[name] for name, index in graph.computed().items() if name in computed}
    # a weight dequantised from float16 may have the name of an activation in the other file
    return {
        index: pair
        for index, pair in pairs.items()
        if graph.is_float(index) and graph.shape(index) == other.shape(pair)
    }


def worst(errors: Sequence[LayerError]) -> LayerError:
    """The operator with the largest harm; `errors` must not be empty."""
    return max(errors, key=lambda error: error.harm)


class _Probe:
    """One operator, extracted from the float network, and the sums of its int8 errors over the faces."""

    def __init__(self, graph: Graph, index: int, common: Mapping[int, int], rounded: Runner) -> None:
        """Extract the part that computes tensor `index` from tensors in both files, and the part after it.

        Args:
            graph: The float network.
            index: The operator's output.
            common: Tensors of the float network that are also in the int8 network -> their index there.
            rounded: The int8 network.
        """
        self.index = index
        self.outputs = graph.outputs
        self.limits = rounded.limits(common[index])
        # shape tensors are computed again: as inputs they would be 0 during memory planning
        computed = [each for each in graph.computed().values() if graph.is_float(each)]
        self._alone = graph.part([index], {*common, *graph.inputs} - {index})
        self._rest = graph.part(graph.outputs, {*computed[: computed.index(index) + 1], *graph.inputs})
        self.own = self.total = self.signal = 0.0
        self.clipped = self.n = self.faces = 0
        self.changed = np.zeros(len(graph.outputs))
        self.lowest = self.highest = np.zeros(0)

    def add(self, exact: Values, quantised: Values) -> None:
        """Add a face: the float network's tensors, and the dequantised ones of the int8 network."""
        value, actual = exact[self.index], quantised[self.index]
        alone = self._alone.compute(quantised)[self.index]
        # for inputs that int8 rounds to 0, some operators, such as 1 / sqrt(x), are not finite in float
        own = actual - np.where(np.isfinite(alone), alone, value)
        disturbed = self._rest.compute({**exact, self.index: value + own})
        for number, index in enumerate(self.outputs):
            output = np.where(np.isfinite(disturbed[index]), disturbed[index], 0)  # not finite: a root below zero
            self.changed[number] += np.mean((output - exact[index]) ** 2, dtype=float)
        self.own += float(np.sum(own**2, dtype=float))
        self.total += float(np.sum((actual - value) ** 2, dtype=float))
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
        """Compute the result; `spread` is the variance of each network output over the faces."""
        ranges = self.highest - self.lowest
        ranges = ranges[ranges > 0]
        typical = float(np.median(ranges)) if len(ranges) else 0.0
        harm = [
            changed / self.faces / variance
            for changed, variance in zip(self.changed, spread, strict=True)
            if variance > 0
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
    """Keras layer of each operator: the one whose kernel it has, else the first of those fused into it.

    Tracing renames the layer `conv2d` to `conv2d_1` and `conv2d_1` to `conv2d_1_2`, so the last number is removed.
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
            prefixes = [PART.join(pieces[:count]) for count in range(len(pieces) - 1, 0, -1)]
            name = next((name for name in (re.sub(r"_\d+$", "", part), part, *prefixes) if name in order), None)
            if name:
                layers.append(name)
                break
    return layers
