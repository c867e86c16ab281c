"""Keras surgery on a network of others: pixels in [0, 1] go in, whatever it was trained on, and logits come out."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fer_edge.model.quantization import Floats
from fer_edge_export.networks.layers import FRONT, activation, as_graph, inputs_of
from fer_edge_export.settings import Order, PixelRange

Scaling = tuple[Floats, Floats]
"""Kernel (channels of the picture, channels of the network) and bias of a 1x1 convolution on pixels in [0, 1]."""

RANGES: dict[PixelRange, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "0..1": ((1, 1, 1), (0, 0, 0)),
    "0..255": ((255, 255, 255), (0, 0, 0)),
    "-1..1": ((2, 2, 2), (-1, -1, -1)),
    "torch": ((1 / 0.229, 1 / 0.224, 1 / 0.225), (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)),
    "caffe": ((255, 255, 255), (-103.939, -116.779, -123.68)),
}
"""Factor and offset of each of the network's channels. torch and caffe, which turns RGB to BGR, are modes of
keras.applications.imagenet_utils.preprocess_input; -1..1 is its mode tf."""
OF_ONE_CHANNEL: tuple[PixelRange, ...] = ("0..1", "0..255", "-1..1")
BYTES = 1 / 100
"""A first layer that multiplies by less takes bytes: of 255 it makes at most 2.55, and of 1 next to nothing."""
IDLE = {"Identity", "Dropout", "GaussianNoise", "GaussianDropout"}
"""Layers that do nothing when a network answers, as do those called Random...: augmentation."""


def told_range(network: Any) -> PixelRange | None:
    """Read off a network which pixels it takes: bytes, where a Rescaling divides them first; None where nothing tells.

    Args:
        network: keras.Model of one input.
    """
    inputs = inputs_of(network)
    steps = {step.name: step for step in as_graph(network).operations}
    here = next(iter(inputs))
    while True:
        after = [name for name, before in inputs.items() if here in before]
        if len(after) != 1:
            return None
        here = after[0]
        kind = type(steps[here]).__name__
        if hasattr(steps[here], "layers"):
            return told_range(steps[here])
        if kind not in IDLE and not kind.startswith("Random"):
            return "0..255" if kind == "Rescaling" and 0 < np.max(steps[here].scale) < BYTES else None


def scaling(pixels: PixelRange, order: Order, channels: int) -> Scaling:
    """What turns pixels in [0, 1] into those that a network with so many `channels` wants.

    A network with three channels that was trained on grey pictures gets the grey value three times.

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
    """Put a scaling in front of a network, as a 1x1 convolution; nothing where it would change nothing.

    The converter folds a Rescaling that follows into it. In int8 it is exact for 0..255; for -1..1 all pixels are half
    a grey level off, because -1 and 1 are the ends of 256 steps of which 0 is one.
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
    """Take the softmax off the end of a network, also of one that ends in another network.

    Args:
        network: keras.Model of one output; the result shares its layers, and a softmax that is the activation of
            another layer is taken off in place.
    """
    import keras

    graph = as_graph(network)
    last = graph.operations[-1]
    kind = type(last).__name__
    instead: Callable[[Any], Any]
    if hasattr(last, "layers"):
        instead = without_softmax(last)
        if instead is last:
            return network
    elif kind == "Softmax" or (kind == "Activation" and activation(last) == "softmax"):
        instead = _as_it_is
    elif activation(last) == "softmax":
        last.activation = keras.activations.linear
        return graph  # traced anew, if it was before
    else:
        return network

    def call(step: Any, *args: Any, **kwargs: Any) -> Any:
        return instead(args[0]) if step is last else step(*args, **kwargs)

    return keras.models.clone_model(graph, clone_function=lambda step: step, call_function=call)


def _as_it_is(logits: Any) -> Any:
    return logits


def last_activation(network: Any) -> str:
    """Keras' name of what a network puts its answers through; `linear` for none."""
    last = as_graph(network).operations[-1]
    if hasattr(last, "layers"):
        return last_activation(last)
    return "sigmoid" if type(last).__name__ == "Sigmoid" else activation(last)
