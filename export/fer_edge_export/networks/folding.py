"""Rewrite a Keras network for quantisation: one flat network, batch normalisation folded into the kernels.

Imports Keras; import this module inside a function.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from fer_edge.errors import ModelError, one_line
from fer_edge_export.networks.layers import PART, as_graph, inputs_of

KERNELS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
"""Layers of a kernel and a bias; not subclasses, which may compute something else."""
IDENTITIES = (
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.AlphaDropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.ActivityRegularization,
    layers.Identity,
)
"""Layers without effect in inference."""
NOTHING = keras.Input((1,))
CALLS = (keras.Sequential.call, type(keras.Model(NOTHING, NOTHING)).call)
"""`call` of functional and Sequential networks; a subclass may do more in its own `call`."""
FALLBACK = "min-max calibration still works: leave out --qat-epochs and --calib-rule percentile"

Visit = Callable[..., Any]


def folded(network: Any) -> Any:
    """Copy a network for inference, with fewer and simpler layers and, up to rounding, the same outputs.

    BatchNormalization is folded into the convolution or dense layer directly before it, unless that layer has other
    consumers. SeparableConv2D becomes two convolutions. An activation inside a convolution or dense layer becomes a
    separate layer. Nested networks are flattened, and layers without effect in inference are removed.

    Args:
        network: keras.Model, functional or Sequential, with one input and one output.

    Returns:
        A flat functional keras.Model with its own weights and the same layer names; parts of a layer are LAYER__PART.

    Raises:
        ModelError: A part of the network is subclassed, a layer is called twice or returns several tensors, or it
            cannot be made from its configuration.
    """
    called: set[int] = set()
    names: set[str] = set()

    def split(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if is_identity(layer):
            return args[0]
        if id(layer) in called:
            raise ModelError(f"the layer {layer.name!r} is called more than once; {FALLBACK}")
        called.add(id(layer))
        first, *rest = _parts(layer, names)
        x = first(*args, **kwargs)
        if len(keras.tree.flatten(x)) != 1:
            raise ModelError(f"the layer {layer.name!r} returns several tensors; {FALLBACK}")
        for part in rest:
            x = part(x)
        _set_weights(layer, [first, *rest])
        return x

    flat = rebuilt(network, split)
    inside = _folded_norms(flat)
    return rebuilt(
        flat, lambda layer, *args, **kwargs: args[0] if layer.name in inside else clone_and_call(layer, *args, **kwargs)
    )


def _folded_norms(flat: Any) -> set[str]:
    """Fold every BatchNormalization that is the only consumer of a kernel layer into it; returns their names."""
    steps = {step.name: step for step in flat.operations}
    inside = set()
    for name, after in followers(flat).items():
        if type(steps[name]) in KERNELS and len(after) == 1 and type(steps[after[0]]) is layers.BatchNormalization:
            _fold(steps[after[0]], steps[name])
            inside.add(after[0])
    return inside


def rebuilt(network: Any, visit: Visit, front: Callable[[Any], Any] = lambda x: x) -> Any:
    """Build a network with `visit` applied to each layer (`walk`), after `front`."""
    pixels = _checked_graph(network).inputs[0]
    start = keras.Input(pixels.shape[1:], name=pixels.name)
    return keras.Model(start, walk(network, front(start), visit), name=network.name)


def clone_and_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a copy of a layer with the same weights."""
    copy = clone_layer(layer)
    x = copy(*args, **kwargs)
    if isinstance(layer, layers.Layer):
        copy.set_weights(layer.get_weights())
    return x


def walk(network: Any, value: Any, visit: Visit) -> Any:
    """Pass `value` through a network and nested ones, calling `visit(layer, value...)` instead of each layer.

    Args:
        network: keras.Model.
        value: keras.KerasTensor for the input.
        visit: Returns the replacement of the layer's output.

    Returns:
        The replacement of the network's output.

    Raises:
        ModelError: The network, or a nested one, is subclassed, or has several inputs or outputs.
    """
    output = value

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal output  # of the last layer called
        output = walk(layer, args[0], visit) if isinstance(layer, keras.Model) else visit(layer, *args, **kwargs)
        return output

    keras.models.clone_model(_checked_graph(network), value, clone_function=lambda layer: layer, call_function=call)
    return output


def _checked_graph(network: Any) -> Any:
    inputs, outputs = (getattr(network, ends, None) or [] for ends in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1 or type(network).call not in CALLS:
        raise ModelError(
            f"the network {network.name!r} is not a graph of layers with one input and one output (or is a subclass of "
            f"keras.Model); {FALLBACK}"
        )
    return as_graph(network)


def followers(network: Any) -> dict[str, list[str]]:
    """Layer name -> names of the layers that consume its output, in a network without nested ones."""
    inputs = inputs_of(network)
    return {name: [other for other, before in inputs.items() if name in before] for name in inputs}


def clone_layer(layer: Any, **changed: Any) -> Any:
    """Create a layer from the configuration of another, with `changed` values; without weights.

    Raises:
        ModelError: The configuration is not sufficient.
    """
    try:
        return type(layer).from_config({**layer.get_config(), **changed})
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise ModelError(f"the layer {layer.name!r} cannot be cloned ({one_line(error)}); {FALLBACK}") from error


def is_identity(layer: Any) -> bool:
    """Whether a layer has no effect in inference."""
    linear = type(layer) is layers.Activation and layer.activation is keras.activations.linear
    augments = type(layer).__name__.startswith("Random")  # RandomFlip and the like
    return type(layer) in IDENTITIES or linear or augments


def _parts(layer: Any, names: set[str]) -> list[Any]:
    """Split `layer` into simple layers, in order, without weights; `names` are those already used."""
    name, number = layer.name, 0
    while name in names:  # two nested networks may use the same name
        number += 1
        name = f"{layer.name}{PART}{number}"
    names.add(name)
    if type(layer) is layers.SeparableConv2D:
        shared = {key: layer.get_config()[key] for key in ("strides", "padding", "dilation_rate", "data_format")}
        wide = layers.DepthwiseConv2D(
            layer.kernel_size,
            depth_multiplier=layer.depth_multiplier,
            name=f"{name}{PART}depthwise",
            **shared,
        )
        return [wide, layers.Conv2D(layer.filters, 1, name=name), *_activation(layer, name)]
    if type(layer) not in KERNELS:
        return [clone_layer(layer, name=name)]
    config = layer.get_config()
    dropped = [key for key in config if key.endswith(("_regularizer", "_constraint"))]
    changed = dict.fromkeys(dropped) | {"name": name, "use_bias": True, "activation": None}
    return [clone_layer(layer, **changed), *_activation(layer, name)]


def _activation(layer: Any, name: str) -> list[Any]:
    """The activation inside a convolution or dense layer, as a layer; empty if it is linear."""
    function, name = layer.activation, f"{name}{PART}activation"
    if function is keras.activations.linear:
        return []
    if isinstance(function, keras.layers.Layer):
        return [clone_layer(function, name=name)]
    return [layers.Activation(function, name=name)]


def _set_weights(layer: Any, parts: list[Any]) -> None:
    """Set the weights of the built parts of a layer; a missing bias is zero."""
    weights = layer.get_weights() if isinstance(layer, layers.Layer) else []
    if type(layer) is layers.SeparableConv2D:
        parts[0].set_weights([weights[0], np.zeros(parts[0].bias.shape, np.float32)])
        parts, weights = parts[1:], weights[1:]
    count = len(parts[0].weights) if isinstance(parts[0], layers.Layer) else 0
    if len(weights) < count:
        weights = [*weights, np.zeros(parts[0].bias.shape, np.float32)]
    if count:
        parts[0].set_weights(weights[:count])
    if weights[count:]:  # of an activation with weights, such as PReLU
        parts[1].set_weights(weights[count:])


def _fold(norm: Any, kernel: Any) -> None:
    """Fold a BatchNormalization, gamma (x - mean) / sqrt(variance + epsilon) + beta, into a kernel."""
    if norm.axis not in (-1, len(kernel.output.shape) - 1):
        raise ModelError(f"the layer {norm.name!r} normalises axis {norm.axis}, not the channels; {FALLBACK}")
    mean, variance = (np.asarray(moment, np.float64) for moment in (norm.moving_mean, norm.moving_variance))
    gain = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain *= np.asarray(norm.gamma)
    shift = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    weights, bias = (np.asarray(array, np.float64) for array in kernel.get_weights())
    kernel.set_weights([weights * gain.reshape(_channels(weights, len(gain))), (bias - mean) * gain + shift])


def _channels(kernel: npt.NDArray[np.float64], channels: int) -> tuple[int, ...]:
    """Shape that broadcasts one number per output channel over a kernel."""
    return (channels,) if kernel.shape[-1] == channels else (kernel.shape[-2], kernel.shape[-1])
