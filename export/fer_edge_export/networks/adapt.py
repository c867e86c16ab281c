"""Adapt a third-party Keras network: input pixels in [0, 1], whatever it was trained on, and logits as output."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fer_edge.model.quantization import Floats
from fer_edge_export.networks.layers import FRONT, activation, as_graph, inputs_of
from fer_edge_export.settings import Order, PixelRange

Scaling = tuple[Floats, Floats]
"""Kernel (image channels, network channels) and bias of a 1x1 convolution on pixels in [0, 1]."""

RANGES: dict[PixelRange, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "0..1": ((1, 1, 1), (0, 0, 0)),
    "0..255": ((255, 255, 255), (0, 0, 0)),
    "-1..1": ((2, 2, 2), (-1, -1, -1)),
    "torch": ((1 / 0.229, 1 / 0.224, 1 / 0.225), (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)),
    "caffe": ((255, 255, 255), (-103.939, -116.779, -123.68)),
}
"""Factor and offset of each network channel. torch and caffe, which converts RGB to BGR, are modes of
keras.applications.imagenet_utils.preprocess_input; -1..1 is its mode tf."""
OF_ONE_CHANNEL: tuple[PixelRange, ...] = ("0..1", "0..255", "-1..1")
BYTES = 1 / 100
"""A first layer with a smaller factor takes pixels in 0..255, which become at most 2.55."""
NO_OPS = {"Identity", "Dropout", "GaussianNoise", "GaussianDropout"}
"""Layers without effect in inference, like those named Random...: augmentation."""


def input_range(network: Any) -> PixelRange | None:
    """Detect the pixel range of a network: 0..255 if it starts with a Rescaling that divides; None if unknown.

    Args:
        network: keras.Model with one input.
    """
    inputs = inputs_of(network)
    steps = {step.name: step for step in as_graph(network).operations}
    current = next(iter(inputs))
    while True:
        after = [name for name, before in inputs.items() if current in before]
        if len(after) != 1:
            return None
        current = after[0]
        kind = type(steps[current]).__name__
        if hasattr(steps[current], "layers"):
            return input_range(steps[current])
        if kind not in NO_OPS and not kind.startswith("Random"):
            return "0..255" if kind == "Rescaling" and 0 < np.max(steps[current].scale) < BYTES else None


def scaling(pixels: PixelRange, order: Order, channels: int) -> Scaling:
    """Conversion of pixels in [0, 1] to the pixel range and channel order of a network with `channels` channels.

    A network with three channels trained on grey pictures gets the grey value three times.

    >>> kernel, bias = scaling("-1..1", "bgr", 3)
    >>> (np.float32([[0, 0.5, 1]]) @ kernel + bias).tolist()
    [[1.0, 0.0, -1.0]]
    """
    factor, offset = (np.array(numbers[:channels], np.float32) for numbers in RANGES[pixels])
    if order == "grey":
        return factor[None], offset
    kernel = np.diag(factor)
    reverse = (order == "bgr") != (pixels == "caffe")
    return np.ascontiguousarray(kernel[::-1] if reverse else kernel), offset


def scaled(network: Any, how: Scaling) -> Any:
    """Prepend a scaling to a network, as a 1x1 convolution; returns the network itself for the identity.

    The converter folds a following Rescaling into it. In int8 it is exact for 0..255; for -1..1 all pixels are off by
    half a grey level, because 0 has to be one of the 256 values from -1 to 1.
    """
    import keras

    kernel, bias = how
    if np.array_equal(kernel, np.eye(len(bias))) and not bias.any():
        return network
    pixels = keras.Input((*network.input_shape[1:3], len(kernel)), name="pixels")
    convolution = keras.layers.Conv2D(len(bias), 1, trainable=False, name=FRONT)
    result = keras.Model(pixels, network(convolution(pixels)), name=network.name)
    convolution.set_weights([kernel[None, None], bias])
    return result


def without_softmax(network: Any) -> Any:
    """Remove the final softmax of a network, also inside a nested network.

    Args:
        network: keras.Model with one output; the result shares its layers, and a softmax that is the activation of
            another layer is removed in place.
    """
    import keras

    graph = as_graph(network)
    last = graph.operations[-1]
    kind = type(last).__name__
    replacement: Callable[[Any], Any]
    if hasattr(last, "layers"):
        replacement = without_softmax(last)
        if replacement is last:
            return network
    elif kind == "Softmax" or (kind == "Activation" and activation(last) == "softmax"):
        replacement = _identity
    elif activation(last) == "softmax":
        last.activation = keras.activations.linear
        return graph  # traced again
    else:
        return network

    def call(step: Any, *args: Any, **kwargs: Any) -> Any:
        return replacement(args[0]) if step is last else step(*args, **kwargs)

    return keras.models.clone_model(graph, clone_function=lambda step: step, call_function=call)


def _identity(logits: Any) -> Any:
    return logits


def last_activation(network: Any) -> str:
    """Keras' name of a network's output activation; `linear` for none."""
    last = as_graph(network).operations[-1]
    if hasattr(last, "layers"):
        return last_activation(last)
    return "sigmoid" if type(last).__name__ == "Sigmoid" else activation(last)
