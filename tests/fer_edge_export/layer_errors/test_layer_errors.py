from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from fer_edge_export.flatbuffer import Graph
from fer_edge_export.layer_errors.advice import advice, share, verdict
from fer_edge_export.layer_errors.measure import layer_errors, layer_names, worst
from fer_edge_export.layer_errors.plot import draw_layers
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_export.results import LayerError
from support.bad_network import badly_built


@pytest.fixture(scope="module")
def bad_network() -> Any:
    return badly_built(outlier_scale=60)


@pytest.fixture(scope="module")
def bad(bad_network: Any, stripes: FaceSet) -> list[LayerError]:
    return measure(bad_network, convert(bad_network, RECIPES["float32"]), stripes)


@pytest.fixture(scope="module")
def float32(network: Any) -> bytes:
    return convert(network, RECIPES["float32"])


@pytest.fixture(scope="module")
def good(network: Any, float32: bytes, stripes: FaceSet) -> list[LayerError]:
    return measure(network, float32, stripes)


def measure(network: Any, float32: bytes, stripes: FaceSet) -> list[LayerError]:
    int8 = convert(network, RECIPES["int8"], stripes.part("training").faces)
    return layer_errors(network, float32, int8, stripes.part("testing").faces[:8])


def layer(name: str = "conv2d", harm: float = 0.5, **facts: Any) -> LayerError:
    defaults: dict[str, Any] = {
        "operator": "CONV_2D",
        "sqnr_db": 30.0,
        "total_sqnr_db": 20.0,
        "lowest": 0.0,
        "highest": 6.0,
        "step": 0.0235,
        "clipped": 0.0,
        "channel_range": 4.0,
        "channel_outlier": 1.5,
        "weight_outlier": 2.0,
    }
    return LayerError(name, harm=harm, **{**defaults, **facts})


def built(*layers: Any) -> Any:
    import keras

    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def conv(**settings: Any) -> Any:
    import keras

    return keras.layers.Conv2D(4, 3, **{"name": "conv2d", **settings})


def test_layers_are_in_order_with_their_keras_names(good: list[LayerError]) -> None:
    assert [(error.operator) for error in good] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert [error.name.rstrip("_0123456789") for error in good] == ["conv2d", "global_average_pooling2d", "dense"]


def test_a_good_network_gets_no_advice(good: list[LayerError], network: Any) -> None:
    assert advice(good, network) == []
    assert verdict(good).startswith("No layer has a large error")


def test_range_and_step_are_those_of_the_file(good: list[LayerError]) -> None:
    # stripes of 60 grey levels: the Sobel filter sees at most 4 * 60 / 255, and noise
    assert good[0].lowest == 0
    assert 0.94 < good[0].highest < 1.3
    assert 0.9 < good[0].step * 255 / good[0].highest < 1.2


def test_the_layer_with_the_outlier_is_the_worst(bad: list[LayerError]) -> None:
    assert worst(bad).name.startswith("conv2d")
    assert worst(bad) in bad[:3]
    assert worst(bad).operator in {"CONV_2D", "MUL"}
    assert worst(bad).channel_outlier > 16
    assert bad[0].weight_outlier is not None
    assert bad[0].weight_outlier > 16


def test_an_outlier_is_found_despite_a_good_signal_to_noise_ratio(bad: list[LayerError]) -> None:
    assert worst(bad).sqnr_db > 35


def test_the_layer_after_the_outlier_is_not_blamed_for_its_inherited_error(bad: list[LayerError]) -> None:
    after = next(error for error in bad[1:] if error.operator == "CONV_2D")

    assert after.total_sqnr_db < after.sqnr_db - 6
    assert after.harm < worst(bad).harm / 4


def test_a_badly_built_network_gets_advice_on_each_cause(bad: list[LayerError], bad_network: Any) -> None:
    outlier, unbounded, bare = advice(bad, bad_network)

    assert "one channel spans" in outlier
    assert "silu has no upper bound" in unbounded
    assert "no BatchNormalization between the convolution" in bare
    assert all(text.startswith(worst(bad).name) for text in (outlier, unbounded, bare))


def test_shares_of_the_layers_add_up_to_all(bad: list[LayerError]) -> None:
    assert sum(share(error, bad) for error in bad) == pytest.approx(1)


def test_a_float_file_has_no_layer_with_an_error(network: Any, float32: bytes, stripes: FaceSet) -> None:
    assert layer_errors(network, float32, float32, stripes.faces[:2]) == []
    assert verdict([]) == "No layer has a measurable error."


def test_shapes_known_only_at_run_time_are_supported(stripes: FaceSet) -> None:
    import keras
    from keras import layers

    steps = [layers.UpSampling2D(), layers.Cropping2D(((0, 2), (0, 2))), conv(), layers.Flatten(), layers.Dense(2)]
    network = keras.Sequential([keras.Input((16, 16, 1)), layers.Conv2D(2, 3), *steps])
    float32 = convert(network, RECIPES["float32"])

    assert layer_errors(network, float32, float32, stripes.faces[:2]) == []


@pytest.mark.parametrize(("faces", "size"), [(1, 16), (4, 24)])
def test_faces_that_do_not_fit_are_refused(faces: int, size: int, network: Any) -> None:
    with pytest.raises(DataError, match=r"two or more faces of shape \(16, 16, 1\), not "):
        layer_errors(network, b"", b"", np.zeros((faces, size, size), np.uint8))


def test_layers_of_nested_networks_keep_their_names() -> None:
    import keras
    from keras import layers

    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="eye"), layers.BatchNormalization()])
    network = keras.Sequential([inner, layers.ReLU(6.0), layers.Flatten(), layers.Dense(2, name="mouth")])
    network.build((None, 8, 8, 1))

    graph = Graph(convert(network, RECIPES["float32"]))

    named = dict(zip(map(graph.kind, graph.operators), layer_names(graph, network), strict=True))
    assert named["CONV_2D"] == "eye"
    assert named["FULLY_CONNECTED"] == "mouth"


def test_batchnorm_after_the_convolution_is_no_cause() -> None:
    from keras import layers

    network = built(conv(), layers.BatchNormalization(), layers.ReLU(6.0))

    assert advice([layer()], network) == [
        "conv2d: CONV_2D changes the outputs by 50.0% of their spread, for an unknown cause; "
        "--auto tries other recipes."
    ]


def test_relu_is_a_cause_only_with_large_values() -> None:
    network = built(conv(activation="relu"))

    assert not any("upper bound" in text for text in advice([layer(highest=11.0)], network))
    assert any(
        "relu has no upper bound, and values reach 40 " in text for text in advice([layer(highest=40.0)], network)
    )


def test_values_outside_the_calibrated_range_blame_the_calibration_first() -> None:
    first, *_ = advice([layer(clipped=0.05)], built(conv(activation="relu")))

    assert first.startswith("conv2d: 5.0% of its values are outside the calibrated range")


def test_a_layer_with_a_small_error_gets_no_advice() -> None:
    errors = [layer(harm=0.05, highest=400.0, channel_outlier=90.0, clipped=0.5)]

    assert advice(errors, built(conv(activation="swish"))) == []


def test_many_small_errors_are_reported_together() -> None:
    (text,) = advice([layer(harm=0.06)] * 30, built(conv()))

    assert text.startswith("No layer has a large error, but all together change the outputs by 32.9%")


def test_squeeze_excite_is_named() -> None:
    import keras
    from keras import layers

    grey = keras.Input((8, 8, 1))
    x = layers.BatchNormalization()(conv()(grey))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Dense(4, activation="sigmoid", name="gate")(gate)
    network = keras.Model(grey, layers.Multiply(name="excite")([x, gate]))

    for name in ("gate", "excite"):
        assert "squeeze-excite block of excite" in advice([layer(name)], network)[0]
    assert "squeeze-excite" not in advice([layer("conv2d")], network)[0]


def test_softmax_is_named_even_with_a_small_error() -> None:
    errors = [layer("answer", harm=0.01, operator="SOFTMAX", step=1 / 256)]

    (text,) = advice(errors, built(conv(name="answer", activation="softmax")))

    assert text.startswith("answer: an int8 softmax has steps of 1/256")


@pytest.mark.parametrize("count", [1, 60])
def test_plot_is_a_reproducible_png_that_grows_with_the_layers(count: int) -> None:
    errors = [layer(f"layer_{number}_$with_a_long_name_that_ends_nowhere", 1 / (1 + number)) for number in range(count)]

    picture = draw_layers(errors)

    assert picture[:4] == b"\x89PNG"
    assert int.from_bytes(picture[20:24], "big") > 20 * count
    assert draw_layers(errors) == picture


def test_the_root_of_a_value_rounded_to_zero_is_no_infinite_error(stripes: FaceSet) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(2, 3),
            layers.LayerNormalization(epsilon=1e-9),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    files = [convert(network, RECIPES[name], stripes.faces[:40]) for name in ("float32", "int8")]
    flat = np.zeros((2, 16, 16), np.uint8)

    errors = layer_errors(network, files[0], files[1], np.concatenate([flat, stripes.faces[:4]]))

    assert len(errors) > 5
    assert all(np.isfinite([error.harm, error.sqnr_db]).all() for error in errors)
