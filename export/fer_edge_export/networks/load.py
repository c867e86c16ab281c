"""Load a Keras network from its file, and measure its size."""

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
FIX = "fix it in Python with keras.Model(...).save(...)"


def load_network(path: Path) -> Any:
    """Load a `.keras` file for inference.

    Returns:
        keras.Model; (n, size, size, 1 or 3) in, (n, classes) out, all in float32.

    Raises:
        ModelError: The file is missing or damaged, needs custom code, or the network has another shape.
    """
    network = _load(path)
    problem = _problem(network)
    if problem:
        raise ModelError(f"{path}: {problem}")
    for layer in flat_layers(network):
        if not all(np.isfinite(weights).all() for weights in layer.get_weights()):
            raise ModelError(
                f"{path}: layer {layer.name} has weights that are NaN or infinite, its training diverged; train it "
                "again with a lower learning rate"
            )
        if layer.compute_dtype != layer.variable_dtype:  # mixed precision, for which TFLite has no operators
            layer.dtype_policy = layer.variable_dtype
    if isinstance(network.input_shape, tuple) and isinstance(network.output_shape, tuple):
        return network
    with needs("train"):
        return as_graph(network)  # inputs or outputs were a list or dict of one


def _problem(network: Any) -> str | None:
    """Why a network cannot be exported, and the fix; None if it can."""
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs:
        return f"its layers were never connected to an input; {FIX}: add keras.Input((size, size, channels))"
    if len(inputs) > 1 or len(outputs) > 1:
        return f"it has {len(inputs)} inputs and {len(outputs)} outputs; {FIX}: one picture in, the expressions out"
    shape, output = tuple(inputs[0].shape), tuple(outputs[0].shape)
    if len(shape) != 4:
        return f"its input is {shape}; {WANTED}"
    if shape[1] in (1, 3) and shape[2] == shape[3] != shape[1]:
        return f"its input is {shape}, channels first; {WANTED}: rebuild it channels last, and copy the weights"
    if None in shape[1:]:
        fixed = "x = keras.Input((96, 96, 3)); keras.Model(x, network(x)).save(...)"
        return f"its input is {shape}, without fixed size; fix it in Python: {fixed}"
    if shape[1] != shape[2] or shape[3] not in (1, 3):
        return f"its input is {shape}; {WANTED}"
    if not str(inputs[0].dtype).startswith("float"):
        return f"its input is {inputs[0].dtype}; {FIX}, with a float input"
    if len(output) != 2 or output[1] is None:
        return f"its output is {output}; it must be (None, classes)"
    if output[1] < 2:
        return "it has one output; it must be (None, classes) with two classes or more"
    return next(filter(None, map(_padding_problem, flat_layers(network))), None)


def _padding_problem(layer: Any) -> str | None:
    """Why LiteRT's XNNPACK kernels compute a layer wrongly, in float32 and int8; None if they do not.

    Affected are convolutions with padding "same" whose last window ends before the edge of the image: the padding would
    be negative, and XNNPACK shifts the image (seen with LiteRT 2.1.6; its reference kernels are correct). Padding
    "valid" is the same computation.
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
        f'padding="same"; {FIX}: padding="valid" gives the same network'
    )


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; train one: fer-edge train --data DIR")
    with needs("train"):
        import keras

        try:
            _check_no_code(path)
            return keras.models.load_model(path, compile=False)
        except DAMAGE as error:
            if _saved_by(path).startswith("2."):
                convert = f"save it there as .h5, then type: {to_keras('x.h5')}"
                raise ModelError(f"{path}: saved by Keras 2, which Keras 3 cannot read; {convert}") from error
            raise ModelError(f"{path}: not a readable Keras model; copy it again, or fer-edge train") from error


def _saved_by(path: Path) -> str:
    """Version of Keras that saved a file; empty if unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except DAMAGE:
        return ""


def _check_no_code(path: Path) -> None:
    """Reject a file that references code outside Keras, before Keras would load it.

    Keras' safe mode blocks known dangerous code; this allows Keras' own classes only.

    Raises:
        ModelError: It references other code; the message names it.
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
    """Names of non-Keras code in the configuration of a network."""
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
    """The command that converts an `.h5` file to `.keras`.

    >>> print(to_keras("a/net.h5"))
    python -c 'import keras; keras.models.load_model("a/net.h5", compile=False).save("a/net.keras")'
    """
    paths = json.dumps(old), json.dumps(str(Path(old).with_suffix(".keras")))
    code = "import keras; keras.models.load_model({}, compile=False).save({})".format(*paths)
    return f"python -c {quote(code)}"


def count_macs(network: Any) -> int:
    """Multiply-accumulates per face: each kernel's weights times its output positions.

    For convolutions and dense layers in a channels-last network; biases, normalisation (folded into the convolution
    before it) and activations are not counted.

    Args:
        network: keras.Model that calls each layer once.
    """
    total = 0
    for layer in network.layers:
        if hasattr(layer, "layers"):
            total += count_macs(layer)
            continue
        positions = math.prod(layer.output.shape[1:-1])
        total += sum(positions * math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    return total


def facts(network: Any, name: str) -> NetworkFacts:
    """Facts of the network for the model's contract."""
    return NetworkFacts(name, int(network.count_params()), count_macs(network))
