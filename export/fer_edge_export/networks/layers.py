"""What is asked of the layers of a Keras network, and how parts of them are named."""

from collections.abc import Iterator
from typing import Any

FRONT = "pixel_range"
"""The convolution that `networks.adapt` puts before networks of others: nothing there can be trained."""
PART = "__"
"""Between the name of a layer and that of a part of it, as in conv2d__activation (`networks.folding`)."""


def activation(layer: Any) -> str:
    """Keras' name of what a layer puts its values through; `linear` for none."""
    kind = type(layer).__name__
    if kind in {"ELU", "LeakyReLU", "PReLU"}:
        return kind
    if kind == "ReLU":
        return "relu" if layer.max_value is None else "relu6"
    return str(getattr(getattr(layer, "activation", None), "__name__", "linear"))


def flat_layers(network: Any) -> list[Any]:
    """All layers of a keras.Model with those of networks inside it, in order."""
    nested = [flat_layers(layer) if hasattr(layer, "layers") else [layer] for layer in network.layers]
    return [layer for layers in nested for layer in layers]


def as_graph(network: Any) -> Any:
    """The functional keras.Model from the input of a network to its output, also of a Sequential; layers are shared.

    Its `operations` are layers, networks inside it and single operations, in the order of computing.
    """
    import keras

    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def inputs_of(network: Any) -> dict[str, list[str]]:
    """Names of the operations whose outputs each operation of `as_graph` takes, by its own name, in their order."""
    return {step["name"]: list(_sources(step["inbound_nodes"])) for step in as_graph(network).get_config()["layers"]}


def _sources(call: Any) -> Iterator[str]:
    """Names of the operations whose outputs are among the arguments of a call, in a network's configuration."""
    if isinstance(call, dict) and call.get("class_name") == "__keras_tensor__":
        yield call["config"]["keras_history"][0]
    elif isinstance(call, dict | list | tuple):
        for part in call.values() if isinstance(call, dict) else call:
            yield from _sources(part)
