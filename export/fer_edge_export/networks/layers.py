"""What is asked of the layers of a Keras network, and how parts of them are named."""

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
