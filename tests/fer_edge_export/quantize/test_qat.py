"""Quantisation-aware training of networks with a large int8 error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import softmax
from fer_edge.errors import DataError
from fer_edge.model.contract import read_model
from fer_edge_export.accuracy.compare import divergences
from fer_edge_export.flatbuffer import Graph, Runner
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from support.command import FerEdge

SOBEL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)


def badly_built() -> Any:
    """Swish without BatchNorm; stripes in two small channels, brightness in a large one of little effect."""
    import keras
    from keras import layers

    network = keras.Sequential(
        [
            keras.Input((16, 16, 1), name="grey"),
            layers.Conv2D(3, 3, activation="swish", name="eye"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(3, name="mouth"),
        ],
        name="bad",
    )
    eye = np.stack([SOBEL, SOBEL.T, np.full((3, 3), 20)], -1)[:, :, None]
    mouth = np.array([[0, 40, 0], [0, 0, 40], [0, 0.001, 0]])
    network.set_weights([np.asarray(array, np.float32) for array in (eye, np.zeros(3), mouth, [5, 0, 0])])
    return network


@pytest.fixture(scope="module")
def bad() -> Any:
    return badly_built()


@pytest.fixture(scope="module")
def faces(stripes: FaceSet) -> Any:
    return np.concatenate([stripes.faces, stripes.faces[:, ::-1]])  # 180


@pytest.fixture(scope="module")
def ranges(bad: Any, faces: Any) -> Any:
    from fer_edge_export.quantize.fake_quant import ranges

    return ranges(bad, faces, "minmax")


@pytest.fixture(scope="module")
def tuned(bad: Any, faces: Any, ranges: Any) -> Any:
    from fer_edge_export.quantize.fine_tune import fine_tune

    return fine_tune(bad, faces, ranges, epochs=6, seed=0)


def predict(flatbuffer: bytes, faces: Any) -> Any:
    runner, last = Runner(flatbuffer), Graph(flatbuffer).outputs[0]
    rows = []
    for pixels in faces:
        runner.run(pixels)
        rows.append(runner.read(last)[0])
    return np.array(rows)


def _same(found: Any, wanted: Any) -> bool:
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-5)


def test_int8_gets_closer_to_float(bad: Any, faces: Any, ranges: Any, tuned: Any) -> None:
    from fer_edge_export.quantize.fake_quant import quantised

    float32 = predict(convert(bad, RECIPES["float32"]), faces)
    plain = predict(convert(quantised(bad, ranges), RECIPES["int8"], faces), faces)
    learned = predict(convert(quantised(tuned.network, tuned.ranges), RECIPES["int8"], faces), faces)

    before, after = (np.abs(logits - float32).mean() for logits in (plain, learned))
    assert after < 0.75 * before
    first, *_ = curve = tuned.learning.kl_divergence
    assert min(curve) < first / 2
    assert tuned.learning.best_epoch == np.argmin(curve)
    assert (tuned.learning.epochs, tuned.learning.faces, tuned.learning.held_back) == (6, 162, 18)


def test_the_selected_epoch_has_the_divergence_of_the_file(bad: Any, tuned: Any, faces: Any) -> None:
    from fer_edge_export.quantize.fake_quant import quantised

    held_back = faces[np.random.default_rng(0).permutation(180)[:18]]
    file = predict(convert(quantised(tuned.network, tuned.ranges), RECIPES["int8"], faces), held_back)
    float32 = predict(convert(bad, RECIPES["float32"]), held_back)

    found = divergences(softmax(float32), softmax(file)).mean()
    assert found == pytest.approx(min(tuned.learning.kl_divergence), rel=0.1)


def test_the_original_network_is_unchanged(bad: Any, tuned: Any) -> None:
    for weight, built in zip(bad.get_weights(), badly_built().get_weights(), strict=True):
        np.testing.assert_array_equal(weight, built)
    assert [layer.name for layer in tuned.network.layers] == ["grey", "eye", "eye__activation", "mean", "mouth"]


def test_same_seed_gives_the_same_bytes(bad: Any, faces: Any, ranges: Any) -> None:
    from fer_edge_export.quantize.fine_tune import fine_tune

    first, again, other = (fine_tune(bad, faces, ranges, epochs=1, seed=seed) for seed in (3, 3, 4))

    def content(result: Any) -> bytes:
        return b"".join(weight.tobytes() for weight in result.network.get_weights()) + repr(result.ranges).encode()

    assert content(first) == content(again) != content(other)


def test_the_original_weights_are_kept_if_no_epoch_is_better(
    bad: Any, faces: Any, ranges: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_edge_export.quantize import fine_tune

    monkeypatch.setattr(fine_tune, "LEARNING_RATE", 100.0)

    result = fine_tune.fine_tune(bad, faces, ranges, epochs=1, seed=0)

    assert result.learning.best_epoch == 0
    assert result.ranges.keys() == ranges.keys()
    np.testing.assert_allclose(list(result.ranges.values()), list(ranges.values()), rtol=1e-6)
    for weight, built in zip(result.network.get_weights(), bad.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, built)


def test_too_few_faces_are_rejected(bad: Any, faces: Any, ranges: Any) -> None:
    from fer_edge_export.quantize.fine_tune import fine_tune

    with pytest.raises(DataError, match="99 faces are too few for --qat-epochs, the minimum is 100"):
        fine_tune(bad, faces[:99], ranges, epochs=1, seed=0)


def test_kernels_are_rounded_like_in_tflite(faces: Any) -> None:
    import keras
    from keras import layers

    from fer_edge.model.trial import load_runtime
    from fer_edge_export.quantize.fine_tune import _axes, rounded_kernel

    keras.utils.set_random_seed(0)
    steps = [layers.Conv2D(4, 3), layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Flatten(), layers.Dense(5)]
    network = keras.Sequential([keras.Input((16, 16, 1)), *steps])
    interpreter = load_runtime()[1].Interpreter(model_content=convert(network, RECIPES["int8"], faces))
    details = [each for each in interpreter.get_tensor_details() if each["dtype"] is np.int8]
    for layer in (steps[0], steps[1], steps[3]):
        ours = np.asarray(rounded_kernel(layer.kernel, _axes(layer)))
        scales = np.abs(np.asarray(layer.kernel)).max(axis=_axes(layer)).ravel() / 127
        found = [each for each in details if _same(each["quantization_parameters"]["scales"], scales)]
        assert len(found) == 1, layer.name
        axis = found[0]["quantization_parameters"]["quantized_dimension"]
        values = interpreter.get_tensor(found[0]["index"]).astype(np.float32)
        wide = [-1 if each == axis else 1 for each in range(values.ndim)]
        theirs = values * found[0]["quantization_parameters"]["scales"].reshape(wide)
        np.testing.assert_allclose(np.sort(ours.ravel()), np.sort(theirs.ravel()), atol=scales.max() * 1e-3)


def test_export_reports_both_attempts_and_the_fine_tuning(
    fer_edge: FerEdge, make_run: Callable[..., Path], many_stripes: FaceSet, tmp_path: Path
) -> None:
    run = make_run()
    many_stripes.part("training").save(run / "calibration.npz")

    arguments = ["export", str(run), "--out", str(tmp_path / "out"), "--qat-epochs", "1", "--json"]
    result = fer_edge(*arguments, "--calib-samples", 40, "--calib-rule", "minmax", code=0)

    report = json.loads(result.stdout)
    assert [rung["tried"] for rung in report["ladder"]] == ["int8", "int8, learned ranges"]
    assert report["calibration"]["learning"]["epochs"] == 1
    assert [layer["operator"] for layer in report["layers"]] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    contract = read_model(tmp_path / "out" / "model_int8.tflite").contract
    assert contract.data["calibration"]["learning"] == report["calibration"]["learning"]
    assert "Then fine-tuned with 216 training faces, 1 epochs" in (tmp_path / "out" / "export_report.md").read_text()


def test_percentile_reports_layer_errors(fer_edge: FerEdge, make_run: Callable[..., Path], tmp_path: Path) -> None:
    arguments = ["export", str(make_run()), "--out", str(tmp_path / "out"), "--calib-rule", "percentile", "--json"]
    result = fer_edge(*arguments, "--calib-samples", 10)

    report = json.loads(result.stdout)
    assert report["calibration"]["rule"] == "percentile"
    assert [layer["operator"] for layer in report["layers"]] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
