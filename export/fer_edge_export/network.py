"""Read a Keras network from its file, and say how large it is."""

import math
from pathlib import Path
from typing import Any

from fer_edge.errors import DAMAGE, ModelError, needs
from fer_edge.quiet import quiet


def load_network(path: Path) -> Any:
    """Read a `.keras` file for inference.

    Returns:
        keras.Model; (n, size, size, 1) grey in [0, 1] in, (n, classes) logits out.

    Raises:
        ModelError: The file is missing or damaged, or the network's shape is another.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; make one: fer-edge train --data DIR")
    with needs("train"), quiet():
        import keras

        try:
            network = keras.models.load_model(path, compile=False)
        except DAMAGE as error:
            raise ModelError(f"{path}: not a Keras model that can be read; copy it again, or fer-edge train") from error
    shape = network.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or shape[1] is None or shape[3] != 1:
        raise ModelError(f"{path}: its input is {shape}; fer-edge exports networks with input (None, size, size, 1)")
    if not isinstance(network.output_shape, tuple) or len(network.output_shape) != 2:
        raise ModelError(f"{path}: its output is {network.output_shape}; needed is (None, classes)")
    return network


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
