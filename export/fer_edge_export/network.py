"""Read a Keras network from its file, and say how large it is."""

import math
from pathlib import Path
from typing import Any

from fer_edge.centre_points import STRIDE
from fer_edge.errors import DAMAGE, ModelError, UsageError, needs
from fer_edge.quiet import quiet

MAPS = {"heat": 1, "geometry": 8}
"""Outputs of a face detector, and their channels."""
TO_STRIDE = "to_stride_"
"""Begins the name of a detector's layer that crops a map to the input's size over the number that follows."""


def load_network(path: Path) -> Any:
    """Read a `.keras` file for inference.

    Returns:
        keras.Model; (n, size, size, 1) grey in [0, 1] in, (n, classes) logits out.

    Raises:
        ModelError: The file is missing or damaged, or the network's shape is another.
    """
    network = _load(path)
    shape = network.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or shape[1] is None or shape[3] != 1:
        raise ModelError(f"{path}: its input is {shape}; fer-edge exports networks with input (None, size, size, 1)")
    if not isinstance(network.output_shape, tuple) or len(network.output_shape) != 2:
        raise ModelError(f"{path}: its output is {network.output_shape}; needed is (None, classes)")
    return network


def load_detector(path: Path, size_wh: tuple[int, int] | None) -> Any:
    """Read a face detector's `.keras` file for inference, for an input of another size if one is given.

    Args:
        path: best.keras of a run of `fer-edge train --task detect`.
        size_wh: Width and height of the input in pixels; None for the size that it was trained at.

    Returns:
        keras.Model; (n, height, width, 1) grey in [0, 1] in, both maps of `fer_edge.centre_points` out.

    Raises:
        ModelError: The file is missing or damaged, or no face detector.
        UsageError: A side is no multiple of the stride.
    """
    network = _load(path)
    outputs = getattr(network, "output", None)  # a network that was never built has none
    if not isinstance(outputs, dict) or {name: tensor.shape[-1] for name, tensor in outputs.items()} != MAPS:
        raise ModelError(f"{path}: no face detector; make one: fer-edge train --task detect --data DIR")
    return network if size_wh is None else _resized(network, *size_wh)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; make one: fer-edge train --data DIR")
    with needs("train"), quiet():
        import keras

        try:
            return keras.models.load_model(path, compile=False)
        except DAMAGE as error:
            raise ModelError(f"{path}: not a Keras model that can be read; copy it again, or fer-edge train") from error


def _resized(network: Any, width: int, height: int) -> Any:
    """The same weights for another input; layers `to_stride_N` bring a map to the size that the input has there."""
    if width % STRIDE or height % STRIDE or min(width, height) < 64:
        raise UsageError(f"--imgsz {width}x{height}: sides must be multiples of {STRIDE} from 64 on, such as 320x240")
    with needs("train"), quiet():
        import keras

        def fitted(layer: Any) -> Any:
            config = layer.get_config()
            if layer.name.startswith(TO_STRIDE):
                stride = int(layer.name.removeprefix(TO_STRIDE))
                beyond = [2 * -(-side // (2 * stride)) - -(-side // stride) for side in (height, width)]
                config["cropping"] = [[0, rest] for rest in beyond]
            return layer.__class__.from_config(config)

        grey = keras.Input((height, width, 1), name="grey")
        resized = keras.models.clone_model(network, input_tensors=grey, clone_function=fitted)
        resized.set_weights(network.get_weights())
        return resized


def count_macs(network: Any) -> int:
    """Multiply-accumulates of one face: each kernel's weights times the places it is applied to.

    Holds for convolutions of every kind and dense layers in a channels-last network; biases, normalisation (which folds
    into the convolution before it) and activations count nothing.

    Args:
        network: keras.Model, each of whose layers is called once.
    """
    total = 0
    for layer in network.layers:
        if hasattr(layer, "layers"):
            total += count_macs(layer)
            continue
        places = math.prod(layer.output.shape[1:-1])
        total += sum(places * math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    return total


def facts(network: Any, name: str) -> dict[str, Any]:
    """What the model's contract says of the network."""
    return {"name": name, "parameters": int(network.count_params()), "macs": count_macs(network)}
