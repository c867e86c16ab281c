"""Custom int8 ranges: measured by minimum and maximum or by percentile, or learned.

A `FakeQuant` after a layer rounds its output to 256 values between two limits, which TFLite's converter uses as the
tensor's range. Tensors without a `FakeQuant`, such as those inside a layer, are calibrated by the converter. Imports
Keras; import this module inside a function.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from fer_edge.imaging.images import Pixels, with_channels
from fer_edge.model.quantization import to_unit
from fer_edge_export.networks.folding import KERNELS, clone_and_call, folded, followers, rebuilt
from fer_edge_export.networks.layers import PART
from fer_edge_export.quantize.calibrate import RangeRule

Ranges = dict[str, tuple[float, float]]
"""Lowest and highest value of a layer's output, by the name of the layer in the folded network."""

PERCENTILE = 99.99
"""Of a tensor's values over all faces; the same share is clipped at either end."""
STEPS = 255
"""Steps between the 256 values of int8."""
BATCH = 16
"""Batch size, to bound memory."""
SAME_RANGE = (
    layers.AveragePooling2D,
    layers.Concatenate,
    layers.Cropping2D,
    layers.Flatten,
    layers.GlobalMaxPooling2D,
    layers.MaxPooling2D,
    layers.Permute,
    layers.Reshape,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
)
"""Layers whose output has the range of their input in TFLite: another range would cost an operator."""
INWARD = (layers.Rescaling, layers.Normalization)
"""Layers that TFLite may fuse into the following kernel; what remains of them is calibrated by the converter."""
FUSING = (*KERNELS, layers.Add, layers.Subtract, layers.Multiply, layers.BatchNormalization)
"""Layers that TFLite fuses with a following ReLU or ReLU6: the values in between have no range."""
FIXED = {
    keras.activations.sigmoid: (0.0, 255 / 256),
    keras.activations.softmax: (0.0, 255 / 256),
    keras.activations.tanh: (-1.0, 127 / 128),
}
"""Ranges fixed by TFLite's quantisation specification."""


@keras.saving.register_keras_serializable(package="fer_edge")
class FakeQuant(layers.Layer):
    """Round to the 256 values of int8 between `lowest` and `highest`, which include 0.

    A learning layer scales each limit by a factor, so that a limit keeps its sign and 0 stays 0; the gradient passes
    the rounding unchanged (straight-through; Esser et al. 2020, Learned Step Size Quantization), which balances
    clipping against step size.
    """

    def __init__(self, lowest: float, highest: float, learning: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.lowest, self.highest, self.learning = lowest, highest, learning

    def build(self, _: Any) -> None:
        """Create the weight: the natural logarithm of both limits' factors."""
        if self.learning:
            self.growth = self.add_weight(shape=(2,), initializer="zeros", name="growth")

    def call(self, values: Any) -> Any:
        """Round `values`, of any shape, as int8 does."""
        if not self.learning:
            return keras.quantizers.fake_quant_with_min_max_vars(values, self.lowest, self.highest)
        factors = keras.ops.exp(self.growth)
        lowest, highest = self.lowest * factors[0], self.highest * factors[1]
        step = (highest - lowest) / STEPS
        zero = rounded(-lowest / step)
        return (keras.ops.clip(rounded(values / step) + zero, 0, STEPS) - zero) * step

    def ends(self) -> tuple[float, float]:
        """Both limits, as learned."""
        factors = np.exp(np.asarray(self.growth, np.float64)) if self.learning else np.ones(2)
        return float(self.lowest * factors[0]), float(self.highest * factors[1])

    def get_config(self) -> dict[str, Any]:
        """Configuration of the layer."""
        ends = {"lowest": self.lowest, "highest": self.highest, "learning": self.learning}
        return {**super().get_config(), **ends}


def rounded(values: Any) -> Any:
    """Round with a straight-through gradient."""
    return values + keras.ops.stop_gradient(keras.ops.round(values) - values)


def ranges(network: Any, faces: Pixels, rule: RangeRule) -> Ranges:
    """Measure the range of the input, which is 0 to 1, and of every layer with a range in int8.

    All values of a tensor over all faces count. For a percentile only the values beyond it are kept in memory, so it is
    exact, like numpy.percentile, not combined from batches.

    Args:
        network: keras.Model.
        faces: (n, height, width) grey or (n, height, width, 3) RGB uint8; at least one.
        rule: minmax, or percentile: `PERCENTILE` at either end. Every range is extended to include 0.

    Raises:
        ModelError: As `fer_edge_export.networks.folding.folded`.
    """
    network = folded(network)
    measured = [layer for layer in _layers_with_range(network) if fixed_range(layer) is None]
    tensors = keras.Model(network.inputs[0], [layer.output for layer in measured])
    sizes = [int(np.prod(layer.output.shape[1:])) * len(faces) for layer in measured]
    tails = [_Tails(size, PERCENTILE if rule == "percentile" else 100.0) for size in sizes]
    pixels = with_channels(faces)
    for first in range(0, len(pixels), BATCH):
        batch = to_unit(pixels[first : first + BATCH])
        for tail, values in zip(tails, keras.tree.flatten(tensors(batch, training=False)), strict=True):
            tail.add(np.asarray(values))
    found = {layer.name: tail.ends() for layer, tail in zip(measured, tails, strict=True)}
    fixed = {layer.name: fixed_range(layer) or found[layer.name] for layer in _layers_with_range(network)}
    return {network.inputs[0].name: (0.0, 1.0), **fixed}


def quantised(network: Any, ranges: Mapping[str, tuple[float, float]], learning: bool = False) -> Any:
    """Insert a `FakeQuant` after the input and every layer in `ranges`, for conversion or training.

    Args:
        network: keras.Model.
        ranges: Result of `ranges`, or a part of it.
        learning: Whether the limits are trainable, except fixed ones.

    Returns:
        keras.Model, folded, with its own weights.

    Raises:
        ModelError: As `fer_edge_export.networks.folding.folded`.
    """

    def behind(name: str, x: Any, learning: bool) -> Any:
        return FakeQuant(*ranges[name], learning, name=f"{name}{PART}range")(x) if name in ranges else x

    def visit(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return behind(layer.name, clone_and_call(layer, *args, **kwargs), learning and fixed_range(layer) is None)

    return rebuilt(folded(network), visit, lambda x: behind(x.name, x, False))


def learned(network: Any) -> Ranges:
    """Read the ranges of a network made by `quantised`."""
    found = [layer for layer in network.layers if isinstance(layer, FakeQuant)]
    return {layer.name.removesuffix(f"{PART}range"): layer.ends() for layer in found}


def fixed_range(layer: Any) -> tuple[float, float] | None:
    """The fixed range of a layer's output in TFLite; None if it is calibrated."""
    if type(layer) is layers.Softmax:
        return FIXED[keras.activations.softmax]
    return FIXED.get(layer.activation) if type(layer) is layers.Activation else None


def _layers_with_range(network: Any) -> list[Any]:
    """Layers of a folded network whose output has its own range in int8."""
    after = followers(network)
    steps = {step.name: step for step in network.operations}
    found = []
    for name, step in steps.items():
        following = [steps[other] for other in after[name]]
        fused = type(step) in FUSING and len(following) == 1 and _is_relu(following[0])
        if not fused and type(step) not in (*SAME_RANGE, *INWARD, layers.InputLayer):
            found.append(step)
    return found


def _is_relu(layer: Any) -> bool:
    """Whether TFLite fuses a layer into the one before it."""
    if type(layer) is layers.ReLU:
        return layer.max_value in (None, 6) and not layer.negative_slope and not layer.threshold
    fused: tuple[Callable[..., Any], ...] = (
        keras.activations.relu,
        keras.activations.relu6,
        keras.activations.hard_sigmoid,
    )
    return type(layer) is layers.Activation and layer.activation in fused


class _Tails:
    """The lowest and highest values of a tensor, as needed for a percentile."""

    def __init__(self, size: int, percentile: float) -> None:
        """Prepare for `size` values in total."""
        self._above = (size - 1) * (1 - percentile / 100)
        """Rank of the percentile among the sorted values, counted from either end; interpolated between two."""
        self._kept = int(self._above) + 2
        self._low = self._high = np.zeros(0, np.float32)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Add some of the values."""
        low, high = (np.concatenate([tail, values.ravel()]) for tail in (self._low, self._high))
        if len(low) > self._kept:
            low = np.partition(low, self._kept)[: self._kept]
            high = np.partition(high, -self._kept)[-self._kept :]
        self._low, self._high = low, high

    def ends(self) -> tuple[float, float]:
        """The range: both percentiles, including 0; 0 to 1 if every value was 0."""
        ranks = np.arange(min(self._kept, len(self._low)))
        lowest = float(np.interp(self._above, ranks, np.sort(self._low)))
        highest = float(np.interp(self._above, ranks, np.sort(self._high)[::-1]))
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
        return (lowest, highest) if highest > lowest else (0.0, 1.0)
