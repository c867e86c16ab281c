"""Networks of many kinds with random weights: folding and custom ranges."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import ModelError
from fer_edge.model.operators import operators
from fer_edge.model.trial import load_runtime
from fer_edge_export.layer_errors.measure import layer_errors
from fer_edge_export.networks.layers import flat_layers
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_train.training.networks import make_network

SIZE = 16


def grey() -> Any:
    import keras

    return keras.Input((SIZE, SIZE, 1), name="grey")


def seeds(name: str) -> Callable[[], Any]:
    return lambda: make_network(name, 3, 30 if name == "legend-cnn" else SIZE)


def swish() -> Any:
    import keras
    from keras import layers

    steps = [layers.Conv2D(4, 3, activation="swish"), layers.Conv2D(4, 3, activation="swish"), layers.Flatten()]
    return keras.Sequential([grey(), *steps, layers.Dense(3)], name="swish")


def depthwise() -> Any:
    import keras
    from keras import layers

    steps = [
        layers.Conv2D(4, 3, strides=2, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.SeparableConv2D(6, 3, depth_multiplier=2, padding="same", strides=2, activation="relu"),
        layers.BatchNormalization(scale=False),
        layers.AveragePooling2D(2),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, use_bias=False),
        layers.BatchNormalization(center=False),
        layers.Activation("relu6"),
    ]
    return keras.Sequential([grey(), *steps, layers.Dense(3)], name="depthwise")


def nested() -> Any:
    """Two levels of nested networks; the innermost and outermost share a layer name."""
    import keras
    from keras import layers

    eye = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(2, 3, name="eye"), layers.BatchNormalization()])
    inside = keras.Input((SIZE, SIZE, 1))
    x = layers.ReLU(6.0)(eye(layers.Conv2D(2, 3, strides=2, padding="same", name="retina")(inside)))
    face = keras.Model(inside, x, name="face")
    outside = grey()
    x = layers.Conv2D(3, 1, name="eye")(face(outside))
    return keras.Model(outside, layers.Dense(3, name="mouth")(layers.Flatten()(x)), name="nested")


def branches() -> Any:
    """Add, Concatenate, Multiply and BatchNormalization without a kernel; a convolution with two consumers."""
    import keras
    from keras import layers

    faces = grey()
    x = layers.Conv2D(4, 3, padding="same")(faces)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, gate])
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU()(x)
    x = layers.Concatenate()([layers.MaxPooling2D()(x), layers.MaxPooling2D()(x)])
    x = layers.Conv2D(4, 3, activation=layers.PReLU(shared_axes=[1, 2]))(layers.UpSampling2D()(x))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Dense(3, activation="tanh")(x)
    return keras.Model(faces, layers.Dense(3, activation="softmax")(x), name="branches")


def foreign() -> Any:
    """Layers with several internal tensors, and an operation that is no layer."""
    import keras
    from keras import layers

    faces = grey()
    x = layers.RandomFlip()(layers.Rescaling(2.0, -1.0)(faces))
    x = layers.Conv2D(4, 3, activation="mish")(layers.Conv2D(4, 3)(x))
    x = x + layers.Conv2D(4, 1, activation="hard_sigmoid")(x)
    x = layers.GlobalAveragePooling2D()(layers.Activation("hard_silu")(x))
    return keras.Model(faces, layers.Dense(3)(x), name="foreign")


KINDS: dict[str, Callable[[], Any]] = {
    "edge": seeds("edge"),
    "legend-cnn": seeds("legend-cnn"),
    "expw-cnn": seeds("expw-cnn"),
    "swish": swish,
    "depthwise": depthwise,
    "nested": nested,
    "branches": branches,
    "foreign": foreign,
}


@pytest.fixture(scope="module")
def built() -> Callable[[str], Any]:
    """Returns a network by name, with random weights and statistics."""
    import keras

    @cache
    def build(name: str) -> Any:
        keras.utils.set_random_seed(1)
        network = KINDS[name]()
        rng = np.random.default_rng(1)
        for layer in flat_layers(network):
            if isinstance(layer, keras.layers.BatchNormalization):
                spread = {"gamma": (0.5, 2), "moving_variance": (0.2, 1)}
                layer.set_weights(
                    [rng.uniform(*spread.get(each.name, (-0.2, 0.2)), each.shape) for each in layer.weights]
                )
        return network

    return build


@pytest.fixture(scope="module")
def plain(built: Callable[[str], Any]) -> Callable[[str], bytes]:
    """Returns the int8 file of a network by name, calibrated by the converter."""
    return cache(lambda name: int8(built(name), faces(built(name))))


def faces(network: Any, n: int = 24) -> Any:
    size = network.input_shape[1]
    return np.random.default_rng(0).integers(0, 256, (n, size, size)).astype(np.uint8)


def black_and_white(network: Any) -> Any:
    return np.stack([np.full_like(faces(network)[0], grey_value) for grey_value in (0, 255)])


def predict(network: Any, pixels: Any) -> Any:
    return network.predict_on_batch(pixels[..., None].astype(np.float32) / 255)


def encodings(flatbuffer: bytes) -> list[tuple[float, int]]:
    """Scale and zero point of every int8 tensor with a single scale."""
    details = load_runtime()[1].Interpreter(model_content=flatbuffer).get_tensor_details()
    return [tensor["quantization"] for tensor in details if tensor["dtype"] is np.int8 and tensor["quantization"][0]]


def int8(network: Any, pixels: Any) -> bytes:
    return convert(network, RECIPES["int8"], pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_folded_network_has_the_same_outputs_and_folds_once(kind: str, built: Callable[[str], Any]) -> None:
    from fer_edge_export.networks.folding import folded

    network = built(kind)
    pixels = faces(network)
    once = folded(network)
    twice = folded(once)

    np.testing.assert_allclose(predict(once, pixels), predict(network, pixels), rtol=1e-4, atol=1e-5)
    assert [layer.name for layer in twice.layers] == [layer.name for layer in once.layers]
    for weight, same in zip(twice.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


@pytest.mark.parametrize("kind", KINDS)
def test_custom_ranges_are_in_the_file_without_extra_operators(
    kind: str, built: Callable[[str], Any], plain: Callable[[str], bytes]
) -> None:
    from fer_edge_export.quantize.fake_quant import FIXED, quantised, ranges

    network = built(kind)
    pixels = faces(network)
    prescribed = [(0.0, 1.0), *FIXED.values()]
    found = ranges(network, pixels, "minmax")
    given = {name: ends if ends in prescribed else (1.3 * ends[0], 1.3 * ends[1]) for name, ends in found.items()}

    flatbuffer = int8(quantised(network, given), pixels)

    assert operators(flatbuffer) == operators(plain(kind))
    scales = np.array([scale for scale, _ in encodings(flatbuffer)])
    for name, (lowest, highest) in given.items():
        assert np.isclose((highest - lowest) / 255, scales, rtol=1e-5).any(), name


@pytest.mark.parametrize("kind", ["expw-cnn", "swish"])
def test_minmax_equals_the_calibration_of_the_converter(
    kind: str, built: Callable[[str], Any], plain: Callable[[str], bytes]
) -> None:
    from fer_edge_export.quantize.fake_quant import quantised, ranges

    network = built(kind)
    seen = np.concatenate([black_and_white(network), faces(network)])  # as in the converter

    ours = encodings(int8(quantised(network, ranges(network, seen, "minmax")), faces(network)))

    np.testing.assert_allclose(sorted(ours), sorted(encodings(plain(kind))), rtol=1e-4)


def test_layers_keep_their_keras_names(built: Callable[[str], Any]) -> None:
    from fer_edge_export.networks.folding import folded
    from fer_edge_export.quantize.fake_quant import quantised, ranges

    network = built("swish")
    pixels = faces(network)
    float32 = convert(folded(network), RECIPES["float32"])

    errors = layer_errors(network, float32, int8(quantised(network, ranges(network, pixels, "minmax")), pixels), pixels)

    first, second, dense = (layer.name for layer in network.layers if layer.weights)
    assert [(error.name, error.operator) for error in errors] == [
        *((name, operator) for name in (first, second) for operator in ("CONV_2D", "LOGISTIC", "MUL")),
        (dense, "FULLY_CONNECTED"),
    ]


def test_input_is_0_to_1_and_values_before_a_fused_relu_have_no_range(built: Callable[[str], Any]) -> None:
    from fer_edge_export.quantize.fake_quant import ranges

    network = built("expw-cnn")

    found = ranges(network, faces(network)[:2] // 2, "minmax")

    assert found["grey"] == (0.0, 1.0)
    assert len(found) == 1 + 5 + 1  # input, five convolutions and dense layers followed by ReLU, logits
    assert [low for low, _ in found.values()][:-1] == [0.0] * 6


@pytest.mark.parametrize("n", [1, 40])
def test_percentile_is_exact_over_all_faces(n: int) -> None:
    import keras

    from fer_edge_export.quantize.fake_quant import PERCENTILE, ranges

    network = keras.Sequential([grey(), keras.layers.Conv2D(2, 3, name="eye"), keras.layers.Flatten()])
    pixels = faces(network, n)
    eye = predict(network, pixels)

    low, high = ranges(network, pixels, "percentile")["eye"]

    assert low == pytest.approx(np.percentile(eye, 100 - PERCENTILE), rel=1e-4)
    assert high == pytest.approx(np.percentile(eye, PERCENTILE), rel=1e-4)
    assert eye.min() < low < high < eye.max()


def test_percentile_excludes_a_rare_value(stripes: FaceSet) -> None:
    import keras

    from fer_edge_export.quantize.fake_quant import ranges

    network = keras.Sequential([grey(), keras.layers.Conv2D(1, 1, name="eye"), keras.layers.Flatten()])
    network.set_weights([np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)])
    pixels = np.full((100, SIZE, SIZE), 51, np.uint8)
    pixels[7, 3, 3] = 255

    assert ranges(network, pixels, "minmax")["eye"] == pytest.approx((0, 1.0))
    assert ranges(network, pixels, "percentile")["eye"] == pytest.approx((0, 0.2))


def test_a_layer_that_is_always_0_has_a_range() -> None:
    import keras

    from fer_edge_export.quantize.fake_quant import quantised, ranges

    network = keras.Sequential([grey(), keras.layers.Conv2D(1, 1, name="dead"), keras.layers.Flatten()])
    network.set_weights([np.zeros((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)])
    found = ranges(network, faces(network), "minmax")

    assert found["dead"] == (0.0, 1.0)
    assert operators(int8(quantised(network, found), faces(network)))["CONV_2D"] == 1


@pytest.mark.parametrize("ends", [(0.0, 6.0), (-1.3, 0.4), (-0.01, 5.0), (-3.0, 0.0)])
def test_a_learning_layer_rounds_like_int8(ends: tuple[float, float]) -> None:
    from fer_edge_export.quantize.fake_quant import FakeQuant

    values = np.random.default_rng(0).uniform(-8, 8, (5, 1000)).astype(np.float32)
    fixed, learning = (FakeQuant(*ends, learning=learning) for learning in (False, True))
    given, learned = (np.asarray(layer(values)) for layer in (fixed, learning))

    assert len(np.unique(given)) <= 256
    step = (ends[1] - ends[0]) / 255
    assert (np.abs(learned - given) < step * 1e-3).mean() > 0.999  # the others are halfway between two steps
    assert learning.ends() == pytest.approx(ends)


def test_a_limit_is_learned_in_both_directions() -> None:
    """It grows if many values are beyond it, and shrinks if the quantisation steps are too large."""
    import keras

    from fer_edge_export.quantize.fake_quant import FakeQuant

    values = np.random.default_rng(0).normal(0, 1, (1, 20000)).astype(np.float32)
    for start, moves in ((0.5, 1), (100.0, -1)):
        layer = FakeQuant(-start, start, learning=True)
        layer.build(values.shape)
        network = keras.Sequential([keras.Input(values.shape[1:]), layer])
        network.compile(keras.optimizers.Adam(0.05), "mse")
        network.fit(values, values, epochs=5, verbose=0)

        assert np.sign(layer.ends()[1] - start) == moves
        assert np.sign(-layer.ends()[0] - start) == moves


def test_learned_ranges_are_read_back(built: Callable[[str], Any]) -> None:
    from fer_edge_export.quantize.fake_quant import FakeQuant, learned, quantised, ranges

    network = built("branches")
    given = ranges(network, faces(network), "minmax")
    training = quantised(network, given, learning=True)
    for layer in training.layers:
        if isinstance(layer, FakeQuant) and layer.learning:
            layer.growth.assign(np.log([2.0, 3.0]))

    found = learned(training)

    assert found.keys() == given.keys()
    moved = {name for name, (low, high) in given.items() if found[name] == pytest.approx((2 * low, 3 * high))}
    kept = {name for name, ends in given.items() if found[name] == ends}
    assert moved | kept == given.keys()
    assert {given[name] for name in kept} == {(0.0, 1.0), (0.0, 255 / 256), (-1.0, 127 / 128)}


def test_the_original_network_is_unchanged(built: Callable[[str], Any]) -> None:
    from fer_edge_export.quantize.fake_quant import quantised, ranges

    network = built("depthwise")
    before = [weight.copy() for weight in network.get_weights()]
    names = [layer.name for layer in network.layers]

    result = quantised(network, ranges(network, faces(network), "minmax"))
    result.set_weights([weight + 1 for weight in result.get_weights()])

    for weight, was in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)
    assert [layer.name for layer in network.layers] == names
    assert all(layer.output is not None for layer in network.layers)  # each is called once


def subclassed() -> Any:
    import keras

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.flat = keras.layers.Flatten()

        def call(self, pixels: Any) -> Any:
            return self.flat(pixels)

    network = Own()
    network(np.zeros((1, SIZE, SIZE, 1), np.float32))
    return network


def subclassed_inside() -> Any:
    import keras

    faces = grey()
    return keras.Model(faces, subclassed()(faces), name="outer")


def twice() -> Any:
    import keras

    faces = grey()
    eye = keras.layers.Conv2D(1, 3, padding="same", name="eye")
    return keras.Model(faces, keras.layers.Flatten()(eye(eye(faces))))


def two_tensors() -> Any:
    import keras

    faces = grey()
    rows = keras.layers.Reshape((SIZE, SIZE))(faces)
    x, _ = keras.layers.GRU(4, return_state=True, name="memory")(rows)
    return keras.Model(faces, x)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (subclassed, "network 'own' is not a graph of layers"),
        (subclassed_inside, "network 'own' is not a graph of layers"),
        (twice, "layer 'eye' is called more than once"),
        (two_tensors, "layer 'memory' returns several tensors"),
    ],
)
def test_networks_that_cannot_be_folded_are_rejected_by_name(kind: Callable[[], Any], reason: str) -> None:
    from fer_edge_export.networks.folding import folded

    with pytest.raises(ModelError, match=f"the {reason}.*min-max calibration still works"):
        folded(kind())


def test_commands_do_not_import_keras() -> None:
    code = "import sys, fer_edge_export.export, fer_edge_export.cli; print('keras' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
