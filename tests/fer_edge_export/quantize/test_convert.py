from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, ModelError
from fer_edge.model.trial import load_runtime
from fer_edge_export.networks.load import count_macs, facts
from fer_edge_export.quantize.convert import check_input, convert
from fer_edge_export.recipes import RECIPES
from fer_edge_export.results import NetworkFacts


@pytest.fixture(scope="module")
def float32(network: Any) -> bytes:
    return convert(network, RECIPES["float32"])


@pytest.fixture(scope="module")
def int8(network: Any, stripes: FaceSet) -> bytes:
    return convert(network, RECIPES["int8"], stripes.part("training").faces)


def tensors(flatbuffer: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    interpreter = load_runtime()[1].Interpreter(model_content=flatbuffer)
    return interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def test_int8_takes_pixels_at_exactly_one_255th(int8: bytes) -> None:
    pixels, logits = tensors(int8)

    assert pixels["quantization"] == (float(np.float32(1 / 255)), 0)
    assert pixels["dtype"] is np.uint8
    assert logits["dtype"] is np.int8


def test_input_is_exact_even_where_no_calibration_face_is_black_or_white(network: Any) -> None:
    dim = np.random.default_rng(0).integers(100, 120, (6, 16, 16)).astype(np.uint8)

    assert tensors(convert(network, RECIPES["int8"], dim))[0]["quantization"] == (float(np.float32(1 / 255)), 0)


def test_float32_has_float_input_and_output(float32: bytes) -> None:
    pixels, logits = tensors(float32)

    assert (pixels["dtype"], logits["dtype"]) == (np.float32, np.float32)


def test_same_network_and_faces_give_the_same_bytes(network: Any, stripes: FaceSet, int8: bytes) -> None:
    assert convert(network, RECIPES["int8"], stripes.part("training").faces) == int8


def test_conversion_prints_nothing(network: Any, capfd: pytest.CaptureFixture[str]) -> None:
    convert(network, RECIPES["float32"])

    assert capfd.readouterr() == ("", "")


def test_float_model_is_rejected_as_int8(float32: bytes) -> None:
    with pytest.raises(ModelError, match="the int8 input is float32"):
        check_input(float32)


def test_no_calibration_face_is_rejected(network: Any) -> None:
    with pytest.raises(DataError, match="no faces to calibrate with"):
        convert(network, RECIPES["int8"], np.zeros((0, 16, 16), np.uint8))


def test_calibration_faces_of_another_size_are_rejected(network: Any) -> None:
    with pytest.raises(
        DataError, match=r"24x24 grey pixels, the network's input is 16x16 grey; .* --imgsz 16 --colour grey"
    ):
        convert(network, RECIPES["int8"], np.zeros((1, 24, 24), np.uint8))


def test_operation_without_tflite_operator_is_rejected() -> None:
    import keras

    given = keras.Input((16, 16, 1))
    answer = keras.layers.Dense(2)(keras.layers.Flatten()(keras.ops.erfinv(given)))
    strange = keras.Model(given, answer, name="strange")

    with pytest.raises(ModelError, match=r"TFLite cannot convert the network 'strange': TFLite has no .*'s Erfinv"):
        convert(strange, RECIPES["float32"])


def test_unknown_custom_layer_is_refused() -> None:
    import keras

    class Own(keras.layers.Layer):
        """A layer that no other process can load."""

    own = keras.Sequential([keras.Input((16, 16, 1)), Own(), keras.layers.Flatten()])
    with pytest.raises(ModelError, match=r"a layer cannot be loaded in another process .*; use standard Keras layers"):
        convert(own, RECIPES["float32"])


def test_converter_that_crashes_names_the_layer() -> None:
    import keras

    steps = [keras.layers.Flatten(), keras.layers.Dense(4, activation="softplus", name="loud"), keras.layers.Dense(2)]
    network = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Rescaling(25500.0), *steps])
    network.get_layer("loud").set_weights([np.ones((256, 4)), np.zeros(4)])
    with pytest.raises(ModelError, match=r"crashes .*\(layer loud gives numbers beyond float32's range\); is --pixels"):
        convert(network, RECIPES["int8"], np.full((2, 16, 16), 255, np.uint8))


def test_multiply_accumulates_are_counted_by_hand(network: Any) -> None:
    # 2 filters of 3x3 at 14x14 places, then 2 -> 3
    assert count_macs(network) == 14 * 14 * 3 * 3 * 2 + 2 * 3
    assert facts(network, "stripes") == NetworkFacts("stripes", parameters=29, macs=3534)


def test_depthwise_convolutions_and_nested_networks_are_counted() -> None:
    import keras
    from keras import layers

    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.DepthwiseConv2D(3, padding="same")])
    separable = layers.SeparableConv2D(4, 3, strides=2, padding="same")
    outer = keras.Sequential([keras.Input((8, 8, 1)), inner, layers.BatchNormalization(), separable])

    assert count_macs(outer) == 64 * 9 + 16 * (9 + 4)
