"""Checks of a third-party network file."""

import json
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_edge.errors import ModelError
from fer_edge_export.networks.load import load_network
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from support.command import FerEdge
from support.networks import copied, saved


def two_inputs() -> Any:
    import keras

    one, other = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    return keras.Model([one, other], keras.layers.Dense(3)(keras.layers.Flatten()(one + other)))


def two_outputs() -> Any:
    import keras

    pixels = keras.Input((16, 16, 1))
    flat = keras.layers.Flatten()(pixels)
    return keras.Model(pixels, [keras.layers.Dense(3)(flat), keras.layers.Dense(2)(flat)])


def dense(*shape: int | None, outputs: int = 3, dtype: str = "float32") -> Any:
    import keras

    pixels = keras.Input(shape, dtype=dtype)
    return keras.Model(pixels, keras.layers.Dense(outputs)(keras.layers.GlobalAveragePooling2D()(pixels)))


def a_map() -> Any:
    import keras

    return keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Conv2D(3, 3)])


def strided(side: int, padding: str = "same") -> Any:
    import keras

    layers = keras.layers.Conv2D(4, 3, strides=4, padding=padding), keras.layers.Flatten(), keras.layers.Dense(3)
    return keras.Sequential([keras.Input((side, side, 1)), *layers])


def never_built() -> Any:
    import keras

    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (two_inputs, "it has 2 inputs and 1 outputs"),
        (two_outputs, "it has 1 inputs and 2 outputs"),
        (lambda: dense(16, 12, 1), "its input is (None, 16, 12, 1); fer-edge exports networks with input (None, size"),
        (lambda: dense(16, 16, 4), "its input is (None, 16, 16, 4); fer-edge exports networks with input (None, size"),
        (lambda: dense(3, 16, 16), "its input is (None, 3, 16, 16), channels first"),
        (lambda: dense(None, None, 3), "its input is (None, None, None, 3), without fixed size; fix it in Python: x ="),
        (lambda: dense(16, 16, 1, dtype="uint8"), "its input is uint8"),
        (lambda: dense(16, 16, 1, outputs=1), "it has one output; it must be (None, classes)"),
        (a_map, "its output is (None, 14, 14, 3); it must be (None, classes)"),
        (lambda: strided(24), 'which LiteRT computes wrongly with padding="same"; fix it in Python'),
        (never_built, "its layers were never connected to an input"),
    ],
)
def test_a_network_of_another_shape_is_rejected(make: Callable[[], Any], error: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as raised:
        load_network(saved(make(), tmp_path))

    assert error in str(raised.value)


@pytest.mark.parametrize(("side", "padding"), [(26, "same"), (24, "valid")])
def test_a_stride_larger_than_its_kernel_is_accepted_if_litert_is_correct(
    side: int, padding: str, tmp_path: Path
) -> None:
    assert load_network(saved(strided(side, padding), tmp_path)).input_shape == (None, side, side, 1)


def test_lists_of_one_input_and_output_are_accepted(network: Any, tmp_path: Path) -> None:
    import keras

    listed = keras.Model([network.inputs[0]], {"expression": network.outputs[0]})

    loaded = load_network(saved(listed, tmp_path))

    assert (loaded.input_shape, loaded.output_shape) == ((None, 16, 16, 1), (None, 3))


def test_a_mixed_precision_network_becomes_float32(network: Any, tmp_path: Path) -> None:
    import keras

    config = {**network.layers[0].get_config(), "dtype": "mixed_float16"}
    mixed = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Conv2D.from_config(config)])
    for layer in network.layers[1:]:
        mixed.add(copied(layer))
    mixed.set_weights(network.get_weights())

    loaded = load_network(saved(mixed, tmp_path))

    assert b"TFL3" in convert(loaded, RECIPES["float32"])


def with_code(kind: str) -> Any:
    import keras

    class Scale(keras.layers.Layer):
        def call(self, values: Any) -> Any:
            return values * 2

    def scale(values: Any) -> Any:
        return values * 2

    made = {
        "lambda": lambda: keras.layers.Lambda(lambda values: values * 2),
        "class": Scale,
        "function": lambda: keras.layers.Activation(scale),
    }
    flat = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((16, 16, 1)), made[kind](), *flat])


@pytest.mark.parametrize(
    ("kind", "named"),
    [("lambda", "Python code in a Lambda"), ("class", "the class Scale"), ("function", "the function scale")],
)
def test_code_in_the_file_is_rejected_by_name(kind: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"needs code that fer-edge does not run \\({named}"):
        load_network(saved(with_code(kind), tmp_path))


def test_a_module_named_in_the_file_is_not_imported(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(network, tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {"module": "evil", "registered_name": "evil>Conv2D"}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was_here')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModelError, match="the class Conv2D of evil"):
        load_network(path)

    assert not (tmp_path / "was_here").exists()


def test_the_suggested_command_converts_an_h5_file(fer_edge: FerEdge, network: Any, tmp_path: Path) -> None:
    old = tmp_path / "their net.h5"
    network.save(old)

    result = fer_edge("export", old)

    assert result.code == 1
    python, option, code = shlex.split(result.stderr.split("; type: ")[1])
    assert (python, option) == ("python", "-c")
    exec(code, {})  # noqa: S102  # the command is tested
    assert load_network(tmp_path / "their net.keras").output_shape == (None, 3)


def test_other_formats_are_rejected_with_a_suggestion(fer_edge: FerEdge, tmp_path: Path) -> None:
    (tmp_path / "old" / "variables").mkdir(parents=True)
    for name in ("old/saved_model.pb", "net.weights.h5", "net.onnx"):
        (tmp_path / name).write_bytes(b"x")

    errors = {name: fer_edge("export", tmp_path / name).stderr for name in ("old", "net.weights.h5", "net.onnx")}

    assert "a SavedModel, which Keras 3 cannot read; after pip install tf_keras, type" in errors["old"]
    assert "python -c 'import keras; keras.models.load_model(" in errors["old"]
    assert "weights without a network" in errors["net.weights.h5"]
    assert "not a .keras file; give one, or a run folder of fer-edge train" in errors["net.onnx"]


def test_a_keras_2_file_is_rejected_with_the_conversion(network: Any, tmp_path: Path) -> None:
    path = saved(network, tmp_path)
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").replace(b'"batch_shape"', b'"batch_input_shape"')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')

    with pytest.raises(ModelError, match=r"saved by Keras 2, which Keras 3 cannot read; save it there as \.h5"):
        load_network(path)
