"""What a .keras file of others must be before anything is asked of it."""

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
    ("make", "told"),
    [
        (two_inputs, "it has 2 inputs and 1 outputs"),
        (two_outputs, "it has 1 inputs and 2 outputs"),
        (lambda: dense(16, 12, 1), "its input is (None, 16, 12, 1); fer-edge exports networks with input (None, size"),
        (lambda: dense(16, 16, 4), "its input is (None, 16, 16, 4); fer-edge exports networks with input (None, size"),
        (lambda: dense(3, 16, 16), "its input is (None, 3, 16, 16), channels first"),
        (lambda: dense(None, None, 3), "its input is (None, None, None, 3), of no fixed size; fix it in Python: x ="),
        (lambda: dense(16, 16, 1, dtype="uint8"), "its input holds uint8"),
        (lambda: dense(16, 16, 1, outputs=1), "it has one output, which tells no classes apart"),
        (a_map, "its output is (None, 14, 14, 3); needed is (None, classes)"),
        (lambda: strided(24), 'which LiteRT computes wrongly with padding="same"; mend it in Python'),
        (never_built, "its layers were never connected to an input"),
    ],
)
def test_a_network_of_another_shape_is_one_line(make: Callable[[], Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_network(saved(make(), tmp_path))

    assert told in str(error.value)


@pytest.mark.parametrize(("side", "padding"), [(26, "same"), (24, "valid")])
def test_a_stride_larger_than_its_kernel_is_fine_where_litert_computes_it_right(
    side: int, padding: str, tmp_path: Path
) -> None:
    assert load_network(saved(strided(side, padding), tmp_path)).input_shape == (None, side, side, 1)


def test_lists_of_one_input_and_output_are_as_good_as_none(network: Any, tmp_path: Path) -> None:
    import keras

    listed = keras.Model([network.inputs[0]], {"expression": network.outputs[0]})

    loaded = load_network(saved(listed, tmp_path))

    assert (loaded.input_shape, loaded.output_shape) == ((None, 16, 16, 1), (None, 3))


def test_a_network_of_mixed_precision_becomes_one_of_float32(network: Any, tmp_path: Path) -> None:
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
    ("kind", "told"),
    [("lambda", "Python code in a Lambda"), ("class", "the class Scale"), ("function", "the function scale")],
)
def test_code_in_the_file_is_refused_by_name(kind: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"needs code that fer-edge does not run \\({told}"):
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


def test_the_line_for_an_h5_file_makes_a_keras_file(fer_edge: FerEdge, network: Any, tmp_path: Path) -> None:
    old = tmp_path / "their net.h5"
    network.save(old)

    result = fer_edge("export", old)

    assert result.code == 1
    python, option, code = shlex.split(result.stderr.split("; type: ")[1])
    assert (python, option) == ("python", "-c")
    exec(code, {})  # noqa: S102  # the line is what is tested
    assert load_network(tmp_path / "their net.keras").output_shape == (None, 3)


def test_other_formats_are_one_line_each(fer_edge: FerEdge, tmp_path: Path) -> None:
    (tmp_path / "old" / "variables").mkdir(parents=True)
    for name in ("old/saved_model.pb", "net.weights.h5", "net.onnx"):
        (tmp_path / name).write_bytes(b"x")

    told = {name: fer_edge("export", tmp_path / name).stderr for name in ("old", "net.weights.h5", "net.onnx")}

    assert "a SavedModel, which Keras 3 cannot read; type" in told["old"]
    assert "python -c 'import keras; keras.models.load_model(" in told["old"]
    assert "weights without their network" in told["net.weights.h5"]
    assert "no .keras file; fer-edge exports those, and run folders" in told["net.onnx"]


def test_a_file_of_keras_2_says_how_to_bring_it_over(network: Any, tmp_path: Path) -> None:
    path = saved(network, tmp_path)
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").replace(b'"batch_shape"', b'"batch_input_shape"')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')

    with pytest.raises(ModelError, match=r"saved by Keras 2, and Keras 3 cannot read it; save it there as \.h5"):
        load_network(path)
