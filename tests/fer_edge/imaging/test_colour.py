"""A network that looks at colour: from a Keras network to the answer about a photo, red first all the way."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import DataError, ModelError
from fer_edge.imaging.crop import crop_face
from fer_edge.imaging.images import write_picture
from fer_edge.inspection.selftest import make_golden, selftest
from fer_edge.model.contract import Contract, Model, ModelFile, read_model, write_model
from fer_edge.model.interpreter import Network
from fer_edge.model.package import read_packed
from fer_edge.recognition.classifier import Classifier
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.synthetic.render import draw_face
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from support.command import FerEdge

SIZE = 16
CHANNELS = ("red", "green", "blue")
PLAIN = {"red": (40, 60, 200), "green": (60, 200, 40), "blue": (200, 40, 60)}
"""One colour each, BGR as frames have it."""


@pytest.fixture(scope="module")
def brightest() -> Any:
    """A network that names the channel with the most light in it."""
    import keras
    from keras import layers

    network = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), layers.GlobalAveragePooling2D(), layers.Dense(3)], name="brightest"
    )
    network.set_weights([np.eye(3, dtype=np.float32) * 10, np.zeros(3, np.float32)])
    return network


@pytest.fixture(scope="module", params=["int8", "float32"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, brightest: Any) -> ModelFile:
    path = tmp_path_factory.mktemp("brightest") / "brightest.tflite"
    faces = np.random.default_rng(0).integers(0, 256, (32, 1, 1, 3), np.uint8).repeat(SIZE, 1).repeat(SIZE, 2)
    contract = Contract(labels=CHANNELS, size=SIZE, recipe=request.param, colour="rgb")
    flatbuffer = convert(brightest, RECIPES[request.param], faces)
    write_model(path, flatbuffer, contract, make_golden(Model(path, flatbuffer, contract)))
    return read_model(path)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_picture_of_one_colour_is_answered_with_it(model: ModelFile, name: str) -> None:
    (face,) = Recognizer(model, "none").predict(np.full((40, 50, 3), PLAIN[name], np.uint8))

    assert face.label == name


def test_a_photo_gets_the_answer_of_the_keras_network_on_the_same_crop(model: ModelFile, brightest: Any) -> None:
    frame_bgr, box = draw_face("happiness", seed=1)
    crop = crop_face(frame_bgr, box, SIZE, colour="rgb")
    network = Network(model)

    expected = np.asarray(brightest(crop[None] / np.float32(255)))

    np.testing.assert_allclose(network.logits(crop[None]), expected, rtol=0, atol=3 * network.step)
    swapped = network.logits(crop[None, :, :, ::-1])
    assert np.abs(swapped - expected).max() > 10 * network.step  # so the order is seen


def test_its_golden_vectors_are_in_colour_and_repeat(model: ModelFile) -> None:
    assert model.golden.pixels.shape == (16, SIZE, SIZE, 3)
    assert [(stage.name, stage.passed) for stage in selftest(model)] == [
        ("crop", True),
        ("network", True),
        ("fast kernels", True),
    ]


def test_golden_pixels_in_another_order_are_named(model: ModelFile) -> None:
    swapped = replace(model.golden, pixels=model.golden.pixels[..., ::-1])

    assert [stage.passed for stage in selftest(replace(model, golden=swapped))][:2] == [False, False]


def test_the_file_says_that_it_takes_colour(model: ModelFile) -> None:
    document = read_packed(model.path).document

    assert document["colour"] == "rgb"
    assert document["crop_rule"].endswith(", RGB")


def test_info_and_run_follow_the_contract(model: ModelFile, tmp_path: Path, fer_edge: FerEdge) -> None:
    write_picture(tmp_path / "blue.png", np.full((40, 50, 3), PLAIN["blue"], np.uint8))

    shown, told = fer_edge("info", model.path), fer_edge("info", model.path, "--json")
    answered = fer_edge("run", "--model", model.path, "--source", tmp_path / "blue.png", "--detector", "none", "--json")

    assert "16x16 RGB" in shown.stderr
    assert json.loads(told.stdout)["colour"] == "rgb"
    assert [face["label"] for face in json.loads(answered.stdout)["faces"]] == ["blue"]


def test_no_face_gives_no_answer(model: ModelFile) -> None:
    classifier = Classifier(model)

    assert Recognizer(model, "none").crop(np.zeros((9, 9, 3), np.uint8), []).shape == (0, SIZE, SIZE, 3)
    assert classifier.probabilities(np.zeros((0, SIZE, SIZE, 3), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, SIZE, SIZE), (2, SIZE, SIZE, 1), (2, SIZE, SIZE, 4), (2, 8, 8, 3)])
def test_faces_of_another_shape_are_refused(model: ModelFile, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"brightest\.tflite: needs faces of shape \(16, 16, 3\), not \("):
        Network(model).logits(np.zeros(shape, np.uint8))


def test_grey_faces_alone_go_into_a_grey_network(tiny: Path) -> None:
    with pytest.raises(DataError, match=r"tiny\.tflite: needs faces of shape \(32, 32\), not \(32, 32, 3\)"):
        Network(read_model(tiny)).logits(np.zeros((1, 32, 32, 3), np.uint8))


def test_a_contract_of_another_colour_than_the_network_is_refused(model: ModelFile, tiny: Path, tmp_path: Path) -> None:
    grey = read_model(tiny)
    for wrong, colour in ((model, "grey"), (grey, "rgb")):
        contract = Contract(wrong.contract.labels, wrong.contract.size, wrong.contract.recipe, colour)
        pixels = np.zeros((16, *contract.face_shape), np.uint8)
        write_model(tmp_path / "a.tflite", wrong.flatbuffer, contract, replace(wrong.golden, pixels=pixels))
        for use in (Network, selftest, Recognizer):
            with pytest.raises(
                ModelError, match=r"a\.tflite: tensor shapes are .*, its contract says .*; export it again"
            ):
                use(read_model(tmp_path / "a.tflite"))


def test_golden_pixels_of_another_colour_than_the_contract_are_damage(model: ModelFile, tmp_path: Path) -> None:
    grey = replace(model.golden, pixels=model.golden.pixels[..., 0])
    write_model(tmp_path / "a.tflite", model.flatbuffer, model.contract, grey)

    with pytest.raises(ModelError, match=r"its contract is damaged \(golden pixels of \(16, 16, 16\)"):
        read_model(tmp_path / "a.tflite")
