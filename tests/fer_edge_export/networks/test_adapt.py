"""Pixel scaling and removal of the softmax of third-party networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import softmax
from fer_edge_export.networks.adapt import RANGES, input_range, scaled, scaling, without_softmax
from fer_edge_export.networks.load import load_network
from support.networks import (
    copied,
    saved,
    softmax_activation,
    softmax_in_a_network_inside,
    softmax_in_dense,
    softmax_layer,
    softmax_layer_in_a_network_inside,
    softmax_operation,
    with_end,
)


def no_softmax(network: Any) -> Any:
    return with_end(network)


ENDS = [
    softmax_in_dense,
    softmax_layer,
    softmax_activation,
    softmax_operation,
    softmax_in_a_network_inside,
    softmax_layer_in_a_network_inside,
]


@pytest.mark.parametrize("make", [*ENDS, no_softmax])
def test_a_final_softmax_of_any_kind_is_removed(
    make: Callable[[Any], Any], network: Any, stripes: FaceSet, tmp_path: Path
) -> None:
    pixels = stripes.faces[:9, :, :, None].astype(np.float32) / 255
    logits = network.predict(pixels, verbose=0)
    theirs = load_network(saved(make(network), tmp_path))
    before = theirs.predict(pixels, verbose=0)

    after = without_softmax(theirs).predict(pixels, verbose=0)

    assert before == pytest.approx(logits if make is no_softmax else softmax(logits), abs=1e-5)
    assert after == pytest.approx(logits, abs=1e-4)


@pytest.mark.parametrize("pixels", RANGES)
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_scaling_is_that_of_keras_applications(pixels: Any, order: Any) -> None:
    import keras

    rgb = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.float32)
    given = rgb[..., ::-1] if order == "bgr" else rgb
    prepare = keras.applications.imagenet_utils.preprocess_input
    wanted = {
        "0..1": given / 255,
        "0..255": given,
        "-1..1": prepare(given.copy(), mode="tf"),
        "torch": prepare(given.copy(), mode="torch"),
        "caffe": prepare(given.copy(), mode="caffe"),
    }[pixels]
    identity = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Identity()])

    got = scaled(identity, scaling(pixels, order, 3)).predict(rgb / 255, verbose=0)

    assert got == pytest.approx(wanted, abs=1e-3)


def test_bytes_are_detected_by_a_first_rescaling_only(network: Any) -> None:
    import keras

    def behind(*fronts: Any) -> Any:
        return keras.Sequential([keras.Input((16, 16, 1)), *fronts, *(copied(layer) for layer in network.layers)])

    rescaling = keras.layers.Rescaling

    assert input_range(behind(rescaling(1 / 255))) == "0..255"
    augmented = [keras.layers.RandomFlip(), keras.layers.RandomZoom(0.1), rescaling(1 / 127.5, offset=-1)]
    assert input_range(behind(*augmented)) == "0..255"
    assert input_range(with_end(behind(rescaling(1 / 255)))) == "0..255"
    assert input_range(behind(rescaling(2.0, offset=-1))) is None
    assert input_range(behind(keras.layers.BatchNormalization(), rescaling(1 / 255))) is None
    assert input_range(network) is None
