"""Variants of a Keras network for export tests."""

from pathlib import Path
from typing import Any


def copied(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def with_end(network: Any, *ends: Any) -> Any:
    import keras

    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    pixels = keras.Input(network.input_shape[1:])
    output = copy(pixels)
    for end in ends:
        output = end(output)
    return keras.Model(pixels, output, name="theirs")


def saved(network: Any, folder: Path) -> Path:
    path = folder / "theirs.keras"
    network.save(path)
    return path


def softmax_in_dense(network: Any) -> Any:
    import keras

    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.layers[-1].activation = keras.activations.softmax
    return copy


def softmax_layer(network: Any) -> Any:
    import keras

    return with_end(network, keras.layers.Softmax())


def softmax_activation(network: Any) -> Any:
    import keras

    return with_end(network, keras.layers.Activation("softmax"))


def softmax_operation(network: Any) -> Any:
    import keras

    return with_end(network, keras.ops.softmax)


def softmax_in_a_network_inside(network: Any) -> Any:
    return with_end(softmax_in_dense(network))


def softmax_layer_in_a_network_inside(network: Any) -> Any:
    return with_end(with_end(softmax_layer(network)))
