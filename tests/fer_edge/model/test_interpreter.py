from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS, YuNet
from fer_edge.errors import FerEdgeError, ModelError
from fer_edge.model.contract import read_model
from fer_edge.model.interpreter import Network
from fer_edge.model.trial import load_runtime
from fer_edge.recognition.classifier import BUNDLED


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny_float32.tflite"])
def test_the_golden_faces_get_the_golden_answers(tiny: Path, name: str) -> None:
    model = read_model(tiny.with_name(name))
    network = Network(model, reference=True)

    logits = network.logits(model.golden.pixels)

    np.testing.assert_allclose(logits, model.golden.logits, rtol=0, atol=network.step * 1.001)


def test_the_reference_kernels_give_the_golden_answers_to_the_bit(tiny: Path) -> None:
    for path in (tiny, BUNDLED):
        model = read_model(path)
        network = Network(model, reference=True)

        assert network.exact
        np.testing.assert_array_equal(network.logits(model.golden.pixels), model.golden.logits)


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_the_bundled_detectors_have_reference_kernels(recipe: str) -> None:
    detector = YuNet(BUNDLED_DETECTORS[recipe], reference=True)

    assert detector.engine(320, 256).exact
    assert not YuNet(BUNDLED_DETECTORS[recipe]).engine(320, 256).exact


def test_the_reference_kernels_of_an_int8_detector_give_the_golden_answers_to_the_bit() -> None:
    detector = YuNet(BUNDLED_DETECTORS["int8"], reference=True)
    golden = detector.model.golden

    answers = detector.engine(160, 160).run(golden.pixels[0])

    for answer, there in zip(answers, golden.maps, strict=True):
        np.testing.assert_array_equal(answer, there[0])


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_each_picture_is_shown_to_the_network_itself(recipe: str) -> None:
    """In a float network pixels are written into the input tensor in place."""
    engine = YuNet(BUNDLED_DETECTORS[recipe]).engine(64, 96)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 96, 64, 3), np.uint8)
    before = pictures.copy()
    step = engine._input["quantization"][0] or 1.0  # 0 in a float network
    shown, answers = [], []
    for picture in pictures:
        answers.append(engine.run(picture))
        engine._set_input(picture[None])
        shown.append(engine._interpreter.get_tensor(engine._input["index"]) * step)

    np.testing.assert_allclose(np.concatenate(shown), pictures / 255, atol=1e-6)
    np.testing.assert_array_equal(pictures, before)
    for picture, answer in zip(pictures, answers, strict=True):
        for here, there in zip(engine.run(picture), answer, strict=True):
            np.testing.assert_array_equal(here, there)


def test_an_answer_is_not_written_over_by_the_next_one() -> None:
    engine = YuNet(BUNDLED_DETECTORS["float16"]).engine(64, 64)
    first = engine.run(np.zeros((64, 64, 3), np.uint8))
    kept = [one.copy() for one in first]
    engine.run(np.full((64, 64, 3), 255, np.uint8))

    for here, there in zip(first, kept, strict=True):
        np.testing.assert_array_equal(here, there)


def test_fast_kernels_are_not_exact(tiny: Path) -> None:
    assert not Network(read_model(tiny)).exact


@pytest.mark.usefixtures("without_elu")
def test_where_the_reference_kernels_lack_an_operator_others_are_taken(tiny: Path) -> None:
    model = read_model(tiny)

    network = Network(model, reference=True)

    assert not network.exact
    assert np.abs(network.logits(model.golden.pixels) - model.golden.logits).max() <= 3 * network.step


def test_int8_answers_as_float_does_but_for_a_few_steps(tiny: Path) -> None:
    model = read_model(tiny)
    exact = Network(read_model(tiny.with_name("tiny_float32.tflite"))).logits(model.golden.pixels)
    network = Network(model)

    assert np.abs(network.logits(model.golden.pixels) - exact).max() < 8 * network.step


def test_pixels_go_in_as_they_are(tiny: Path) -> None:
    network = Network(read_model(tiny))
    details = network._engine._interpreter.get_input_details()[0]

    assert details["dtype"] == np.uint8
    assert details["quantization"] == (pytest.approx(1 / 255), 0)


def test_no_face_gives_no_answer(tiny: Path) -> None:
    assert Network(read_model(tiny)).logits(np.zeros((0, 32, 32), np.uint8)).shape == (0, 8)


def test_a_step_is_the_distance_of_two_outputs(tiny: Path) -> None:
    model = read_model(tiny)
    network = Network(model)

    steps = model.golden.logits / network.step

    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.parametrize("changed", [{"size": 48}, {"labels": ("a", "b")}])
def test_a_contract_of_another_network_is_refused(tiny: Path, changed: dict[str, object]) -> None:
    model = read_model(tiny)
    contract = replace(model.contract, **changed)

    with pytest.raises(ModelError, match="its contract says"):
        Network(replace(model, contract=contract))


def test_bytes_that_no_runtime_takes_are_refused(tiny: Path) -> None:
    model = read_model(tiny)

    with pytest.raises(ModelError, match="cannot run it"):
        Network(replace(model, flatbuffer=b"\0" * 100))


def test_an_unknown_runtime_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_RUNTIME", "onnx")

    with pytest.raises(FerEdgeError, match="FER_EDGE_RUNTIME=onnx: unknown; use one of: litert, tflite"):
        load_runtime()
