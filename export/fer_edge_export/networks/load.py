"""Read a Keras network from its file, and say how large it is."""

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from fer_edge.errors import DAMAGE, ModelError, needs
from fer_edge_export.networks.layers import as_graph, flat_layers
from fer_edge_export.results import NetworkFacts

WANTED = "fer-edge exports networks with input (None, size, size, 1) or (None, size, size, 3)"
MEND = "mend it in Python with keras.Model(...).save(...)"


def load_network(path: Path) -> Any:
    """Read a `.keras` file for inference.

    Returns:
        keras.Model; (n, size, size, 1 or 3) in, (n, classes) out, in float32 throughout.

    Raises:
        ModelError: The file is missing or damaged, needs code of its own, or the network's shape is another.
    """
    network = _load(path)
    complaint = _complaint(network)
    if complaint:
        raise ModelError(f"{path}: {complaint}")
    for layer in flat_layers(network):
        if not all(np.isfinite(weights).all() for weights in layer.get_weights()):
            raise ModelError(
                f"{path}: layer {layer.name} has weights that are NaN or infinite, its training diverged; train it "
                "again with a lower learning rate"
            )
        if layer.compute_dtype != layer.variable_dtype:  # mixed precision, which TFLite has no operators for
            layer.dtype_policy = layer.variable_dtype
    if isinstance(network.input_shape, tuple) and isinstance(network.output_shape, tuple):
        return network
    with needs("train"):
        return as_graph(network)  # was a list or dict of one each


def _complaint(network: Any) -> str | None:
    """Say what keeps a network from being exported, and what to do."""
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs:
        return f"its layers were never connected to an input; {MEND}: put keras.Input((size, size, channels)) in front"
    if len(inputs) > 1 or len(outputs) > 1:
        return f"it has {len(inputs)} inputs and {len(outputs)} outputs; {MEND}: one picture in, the expressions out"
    shape, answer = tuple(inputs[0].shape), tuple(outputs[0].shape)
    if len(shape) != 4:
        return f"its input is {shape}; {WANTED}"
    if shape[1] in (1, 3) and shape[2] == shape[3] != shape[1]:
        return f"its input is {shape}, channels first; {WANTED}: build it again channels last, and copy the weights"
    if None in shape[1:]:
        fixed = "x = keras.Input((96, 96, 3)); keras.Model(x, network(x)).save(...)"
        return f"its input is {shape}, of no fixed size; fix it in Python: {fixed}"
    if shape[1] != shape[2] or shape[3] not in (1, 3):
        return f"its input is {shape}; {WANTED}"
    if not str(inputs[0].dtype).startswith("float"):
        return f"its input holds {inputs[0].dtype}; {MEND}, with an input of floats"
    if len(answer) != 2 or answer[1] is None:
        return f"its output is {answer}; needed is (None, classes)"
    if answer[1] < 2:
        return "it has one output, which tells no classes apart; needed is (None, classes)"
    return next(filter(None, map(_skips_pixels, flat_layers(network))), None)


def _skips_pixels(layer: Any) -> str | None:
    """Say what is wrong with a layer that LiteRT's fast kernels compute wrongly, in float as in int8.

    Those are convolutions with padding "same" whose last kernel ends before the picture does: the padding would be
    negative, and XNNPACK shifts the picture (seen with LiteRT 2.1.6; its reference kernels are right). Padding "valid"
    is the same computation.
    """
    kernel, strides = getattr(layer, "kernel_size", None), getattr(layer, "strides", None)
    if not kernel or not strides or getattr(layer, "padding", None) != "same" or max(kernel) == 1:
        return None
    sides = layer.input.shape[1:-1]
    if all(
        (math.ceil(side / step) - 1) * step + length >= side
        for side, step, length in zip(sides, strides, kernel, strict=True)
    ):
        return None
    return (
        f"layer {layer.name} has stride {max(strides)} and kernel {min(kernel)}, which LiteRT computes wrongly with "
        f'padding="same"; {MEND}: with padding="valid" there it is the same network'
    )


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; make one: fer-edge train --data DIR")
    with needs("train"):
        import keras

        try:
            _refuse_code(path)
            return keras.models.load_model(path, compile=False)
        except DAMAGE as error:
            if _saved_by(path).startswith("2."):
                way = f"save it there as .h5, then type: {to_keras('x.h5')}"
                raise ModelError(f"{path}: saved by Keras 2, and Keras 3 cannot read it; {way}") from error
            raise ModelError(f"{path}: not a Keras model that can be read; copy it again, or fer-edge train") from error


def _saved_by(path: Path) -> str:
    """Version of Keras that saved a file; empty where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except DAMAGE:
        return ""


def _refuse_code(path: Path) -> None:
    """Refuse a file that names code outside Keras, before Keras would look for it.

    Keras' safe mode refuses what it knows to be dangerous; here nothing but Keras' own classes is let through.

    Raises:
        ModelError: With the names of what it needs.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    config.pop("compile_config", None)  # is not read
    foreign = list(dict.fromkeys(_foreign(config)))
    if foreign:
        raise ModelError(
            f"{path}: needs code that fer-edge does not run ({', '.join(foreign[:5])}); build the network from Keras' "
            "own layers, copy the weights, and save it again"
        )


def _foreign(config: Any) -> Iterator[str]:
    """Name what is no part of Keras in the configuration of a network, or of anything in it."""
    if isinstance(config, list):
        for part in config:
            yield from _foreign(part)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    if isinstance(name, str):
        inner = config.get("config")
        if name in ("Lambda", "__lambda__"):
            yield "Python code in a Lambda"
            return
        if name == "function" and module == "builtins":
            yield f"the function {inner}"
        elif not name.startswith("__") and str(module).partition(".")[0] != "keras":
            yield f"the class {name}{f' of {module}' if module else ''}"
    for part in config.values():
        yield from _foreign(part)


def to_keras(old: str) -> str:
    """The command that makes a `.keras` file of an `.h5` file.

    >>> print(to_keras("a/net.h5"))
    python -c 'import keras; keras.models.load_model("a/net.h5", compile=False).save("a/net.keras")'
    """
    paths = json.dumps(old), json.dumps(str(Path(old).with_suffix(".keras")))
    code = "import keras; keras.models.load_model({}, compile=False).save({})".format(*paths)
    return f"python -c {quote(code)}"


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


def facts(network: Any, name: str) -> NetworkFacts:
    """What the model's contract says of the network."""
    return NetworkFacts(name, int(network.count_params()), count_macs(network))
