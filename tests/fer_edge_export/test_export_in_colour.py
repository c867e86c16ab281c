"""The parts of an export with an RGB network; `test_colour.py` runs the result."""

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels
from fer_edge.model.contract import Contract, Model, read_model
from fer_edge.model.trial import load_runtime
from fer_edge_export.accuracy.compare import disagreements
from fer_edge_export.layer_errors.measure import layer_errors
from fer_edge_export.microcontroller.c_array import c_header
from fer_edge_export.quantize.calibrate import calibration_subsets, calibration_warnings
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_export.report.html import _faces

SIZE = 16
CLASSES = ("red", "green", "blue")


def plain(count: int, seed: int = 0) -> FaceSet:
    """Faces of one colour with noise; red, green and blue alternate."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    faces = 60 + 140 * np.eye(3)[truth][:, None, None] + rng.integers(-40, 40, (count, SIZE, SIZE, 3))
    names = np.array([f"{row}.png" for row in range(count)])
    return FaceSet(
        faces=faces.astype(np.uint8),
        votes=np.eye(3, dtype=np.float32)[truth],
        agreed=np.ones(count, bool),
        split=np.full(count, "training"),
        group=names,
        names=names,
        classes=CLASSES,
    )


@pytest.fixture(scope="module")
def colourful() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(4, 3, activation="relu6"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        name="colourful",
    )


@pytest.fixture(scope="module")
def int8(colourful: Any) -> bytes:
    return convert(colourful, RECIPES["int8"], plain(60).faces)


def test_int8_takes_three_bytes_a_pixel_at_exactly_one_255th(int8: bytes) -> None:
    pixels = load_runtime()[1].Interpreter(model_content=int8).get_input_details()[0]

    assert pixels["shape"].tolist() == [1, SIZE, SIZE, 3]
    assert pixels["dtype"] is np.uint8
    assert pixels["quantization"] == (float(np.float32(1 / 255)), 0)


def test_the_input_is_exact_even_where_a_channel_is_always_dark(colourful: Any) -> None:
    dim = plain(6).faces // 3
    dim[..., 2] = 0
    pixels = load_runtime()[1].Interpreter(model_content=convert(colourful, RECIPES["int8"], dim)).get_input_details()

    assert pixels[0]["quantization"] == (float(np.float32(1 / 255)), 0)


@pytest.mark.parametrize("recipe", ["int8", "int16x8"])
def test_grey_faces_do_not_calibrate_an_rgb_network(colourful: Any, recipe: Any) -> None:
    with pytest.raises(
        DataError, match=r"16x16 grey pixels, the network's input is 16x16 RGB; .* --imgsz 16 --colour rgb"
    ):
        convert(colourful, RECIPES[recipe], np.zeros((4, SIZE, SIZE), np.uint8))


def test_rgb_faces_do_not_calibrate_a_grey_network(network: Any) -> None:
    with pytest.raises(DataError, match=r"16x16 RGB pixels, the network's input is 16x16 grey; .* --colour grey"):
        convert(network, RECIPES["int8"], np.zeros((4, SIZE, SIZE, 3), np.uint8))


def test_layer_errors_are_measured_on_rgb_faces(colourful: Any, int8: bytes) -> None:
    float32, faces = convert(colourful, RECIPES["float32"]), plain(8, seed=1).faces

    errors = layer_errors(colourful, float32, int8, faces)

    assert {error.name for error in errors} >= {colourful.layers[0].name, colourful.layers[-1].name}
    swapped = layer_errors(colourful, float32, int8, faces[..., ::-1])
    assert [error.highest for error in errors] != [error.highest for error in swapped]
    with pytest.raises(DataError, match=r"faces of shape \(16, 16, 3\), not \(8, 16, 16\)"):
        layer_errors(colourful, float32, int8, faces[..., 0])


def test_a_c_header_describes_the_rgb_input(int8: bytes) -> None:
    model = Model(Path("model_int8.tflite"), int8, Contract(CLASSES, SIZE, "int8", "rgb"))

    header = c_header(model)

    assert "#define FER_EDGE_INPUT_CHANNELS 3\n" in header
    assert "three bytes each in the order red, green, blue, of the face:" in header
    assert "area down, linear up, RGB;" in header


def test_a_c_header_describes_the_grey_input(tiny: Path) -> None:
    header = c_header(read_model(tiny))

    assert "#define FER_EDGE_INPUT_CHANNELS 1\n" in header
    assert "one grey byte each, of the face:" in header
    assert "area down, linear up, grey BT.601;" in header


def test_calibration_faces_keep_their_colour() -> None:
    first, second = calibration_subsets(plain(60), 30, seed=0)

    assert first.faces.shape == second.faces.shape == (30, SIZE, SIZE, 3)


def test_faces_of_a_single_colour_are_nearly_blank() -> None:
    red: Pixels = np.full((60, SIZE, SIZE, 3), (200, 30, 30), np.uint8)
    red[:, 0, 0] += np.arange(60, dtype=np.uint8)[:, None]  # all different

    warnings = calibration_warnings(replace(plain(60), faces=red), plain(60, seed=1))

    assert [line for line in warnings if "nearly blank" in line]
    assert not [line for line in calibration_warnings(plain(60), plain(60, seed=1)) if "nearly blank" in line]


def test_disagreements_are_shown_in_colour() -> None:
    faces, logits = plain(3), np.zeros((3, 3), np.float32)
    rows = disagreements(logits, logits + np.eye(3, dtype=np.float32), faces, 1.0)

    html = _faces(rows, faces, "int8")

    jpegs = [base64.b64decode(found) for found in re.findall(r"data:image/jpeg;base64,([^']+)'", html)]
    shown = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    strongest = [int(picture.mean(axis=(0, 1)).argmax()) for picture in shown if picture is not None]
    assert strongest == [{"red": 2, "green": 1, "blue": 0}[row.truth] for row in rows]
