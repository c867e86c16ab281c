"""Helpers for the layers of a Keras network and their names."""

from collections.abc import Iterator
from typing import Any

FRONT = "pixel_range"
"""Name of the convolution that `networks.adapt` prepends to third-party networks; not trainable."""
PART = "__"
"""Separator between the names of a layer and of its part, as in conv2d__activation (`networks.folding`)."""


def activation(layer: Any) -> str:
    """Keras' name of a layer's activation; `linear` for none."""
    kind = type(layer).__name__
    if kind in {"ELU", "LeakyReLU", "PReLU"}:
        return kind
    if kind == "ReLU":
        return "relu" if layer.max_value is None else "relu6"
    return str(getattr(getattr(layer, "activation", None), "__name__", "linear"))


def flat_layers(network: Any) -> list[Any]:
    """All layers of a keras.Model, including those of nested networks, in order."""
    nested = [flat_layers(layer) if hasattr(layer, "layers") else [layer] for layer in network.layers]
    return [layer for layers in nested for layer in layers]


def as_graph(network: Any) -> Any:
    """Convert a network, also a Sequential, to a functional keras.Model with the same layers.

    Its `operations` are layers, nested networks and single operations, in execution order.
    """
    import keras

    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def inputs_of(network: Any) -> dict[str, list[str]]:
    """Operation name of `as_graph` -> names of the operations whose outputs it consumes, in order."""
    return {step["name"]: list(_sources(step["inbound_nodes"])) for step in as_graph(network).get_config()["layers"]}


def _sources(call: Any) -> Iterator[str]:
    """Names of the operations whose outputs are arguments of a call, in a network's configuration."""
    if isinstance(call, dict) and call.get("class_name") == "__keras_tensor__":
        yield call["config"]["keras_history"][0]
    elif isinstance(call, dict | list | tuple):
        for part in call.values() if isinstance(call, dict) else call:
            yield from _sources(part)
