"""`prepare --colour rgb`, and judging a network that others trained on colour."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, UsageError
from fer_edge.imaging.crop import crop_face, whole_frame
from fer_edge.imaging.images import InputColour, read_picture, write_picture
from fer_edge.inspection.selftest import make_golden
from fer_edge.model.contract import Contract, Model, write_model
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_train.data.fingerprints import fingerprints_of
from fer_edge_train.data.leaks import leak_warning
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.evaluation.evaluate import EvaluatedModel, evaluate, load_faces_for, load_model
from fer_edge_train.prepare.check import check
from fer_edge_train.prepare.kept_faces import KeptFaces
from fer_edge_train.prepare.prepare import load_faces, prepare
from fer_edge_train.training.distillation import load_teachers
from support.command import FerEdge
from support.tiny_data_sets import class_folders, legend

SIZE = 16
PLAIN = {"blue": (200, 40, 60), "green": (60, 200, 40), "red": (40, 60, 200)}
"""One colour each, BGR as files have it."""


def colours(root: Path, count: int = 10) -> Path:
    """Class folders of pictures of one colour each, a little lighter from one to the next."""
    for name, colour in PLAIN.items():
        for number in range(count):
            pixels = np.full((40, 30, 3), colour, np.int64) + 2 * number
            write_picture(root / name / f"{name}{number}.png", pixels.astype(np.uint8))
    return root


def brightest() -> Any:
    """A network that names the channel with the most light in it."""
    network = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    )
    network.set_weights([np.eye(3, dtype=np.float32)[:, ::-1] * 10, np.zeros(3, np.float32)])
    return network


def as_run(folder: Path) -> Path:
    folder.mkdir()
    brightest().save(folder / "best.keras")
    (folder / "config.json").write_text(
        json.dumps({"classes": tuple(PLAIN), "settings": {}, "network": {}, "source": {}})
    )
    return folder


def as_tflite(folder: Path) -> Path:
    folder.mkdir()
    flatbuffer = convert(brightest(), RECIPES["float32"])
    contract = Contract(tuple(PLAIN), SIZE, "float32", "rgb")
    model = Model(folder / "model.tflite", flatbuffer, contract)
    write_model(model.path, flatbuffer, contract, make_golden(model))
    return model.path


@pytest.fixture(params=[as_run, as_tflite])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> EvaluatedModel:
    return load_model(request.param(tmp_path / "model"))


def prepared(data: Path, colour: InputColour = "rgb") -> FaceSet:
    """What `prepare` makes of the data, in set.npz beside it."""
    prepare(data, data.with_name("set.npz"), size=SIZE, colour=colour)
    return FaceSet.load(data.with_name("set.npz"))


def test_a_prepared_set_holds_the_crops_in_colour(tmp_path: Path) -> None:
    root = legend(tmp_path / "data", [f"1,{i}.jpg,anger" for i in range(5)])
    faces = prepared(root)

    assert faces.colour == "rgb"
    for face, name in zip(faces.faces, faces.names.tolist(), strict=True):
        frame_bgr = read_picture(root / name)
        np.testing.assert_array_equal(face, crop_face(frame_bgr, whole_frame(frame_bgr), SIZE, colour="rgb"))


def test_red_comes_first_and_a_set_in_colour_is_looked_at_in_grey(tmp_path: Path) -> None:
    faces = prepared(colours(tmp_path / "data"))

    names = np.array(faces.classes)[faces.labels]
    brightest = {name: int(faces.faces[names == name].mean(axis=(0, 1, 2)).argmax()) for name in PLAIN}
    assert brightest == {"red": 0, "green": 1, "blue": 2}

    rgb, grey = KeptFaces.of_set(faces), KeptFaces.of_set(replace(faces, faces=faces.grey))
    np.testing.assert_array_equal(rgb.hashes, grey.hashes)
    np.testing.assert_array_equal(rgb.brightness, grey.brightness)


def test_a_grey_set_differs_in_nothing_but_its_pixels(tmp_path: Path) -> None:
    root = colours(tmp_path / "data")
    reports = [prepare(root, tmp_path / f"{c}.npz", size=SIZE, colour=c).as_json() for c in ("grey", "rgb")]
    grey, rgb = (FaceSet.load(tmp_path / f"{c}.npz") for c in ("grey", "rgb"))

    assert grey.faces.shape == rgb.faces.shape[:3]
    np.testing.assert_array_equal(rgb.grey, grey.faces)  # of one colour, so that no resize rounds
    assert (grey.names.tolist(), grey.source) == (rgb.names.tolist(), rgb.source)
    assert {**reports[0], "out": ""} == {**reports[1], "out": ""}


def test_folders_hold_the_crops_in_colour(tmp_path: Path) -> None:
    prepare(colours(tmp_path / "data"), tmp_path / "out", size=SIZE, colour="rgb")

    for name in PLAIN:
        for path in (tmp_path / "out").glob(f"*/{name}/*.png"):
            written = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert written is not None
            number = int(path.stem.removeprefix(name))
            assert (written == np.array(PLAIN[name]) + 2 * number).all()
    assert load_faces(tmp_path / "out", size=SIZE, colour="rgb").faces.shape == (30, SIZE, SIZE, 3)


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_the_report_shows_faces_in_colour(tmp_path: Path, out: str) -> None:
    prepare(colours(tmp_path / "data"), tmp_path / out, size=SIZE, colour="rgb")
    html = (tmp_path / ("out/report.html" if out == "out" else "set_report.html")).read_text()

    sheets = re.findall(r"class='sheet' src='data:image/jpeg;base64,([^']+)'", html)
    shown = [cv2.imdecode(np.frombuffer(base64.b64decode(sheet), np.uint8), cv2.IMREAD_COLOR) for sheet in sheets]

    assert [int(sheet.mean(axis=(0, 1)).argmax()) for sheet in shown if sheet is not None] == [0, 1, 2]


def test_leaks_are_found_in_colour_and_drawn(tmp_path: Path) -> None:
    for split in ("train", "test"):
        class_folders(tmp_path / "data", {f"{split}/smile": 3, f"{split}/frown": 3})
    faces = prepared(tmp_path / "data")

    report = check(tmp_path / "set.npz", tmp_path / "report", DataSettings())

    assert {leak.kind for leak in report.leaks} >= {"copy"}
    assert (tmp_path / "report/leaks.png").exists()
    assert "testing faces 6 have an equal one" in (leak_warning(faces, ["data"]) or "")


def test_a_colour_face_has_the_fingerprint_of_its_grey_version() -> None:
    frame_bgr = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    grey, rgb = (crop_face(frame_bgr, whole_frame(frame_bgr), 48, colour=c) for c in ("grey", "rgb"))

    for one, other in zip(fingerprints_of([0], [48.0], [grey]), fingerprints_of([0], [48.0], [rgb]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_faces_without_any_colour_are_told(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / "data" / ("smile", "frown")[number % 2]
        write_picture(folder / f"{number}.png", np.full((20, 20), 9 * number, np.uint8))
    told = "every face is grey, with equal red, green and blue"

    report = prepare(tmp_path / "data", tmp_path / "set.npz", size=SIZE, colour="rgb")

    assert any(told in line for line in report.notes)
    assert any(told in line for line in check(tmp_path / "set.npz", None, DataSettings()).notes)
    assert not any(told in line for line in prepare(tmp_path / "data", tmp_path / "grey.npz", size=SIZE).notes)
    assert not any(
        told in line for line in prepare(colours(tmp_path / "c"), tmp_path / "c.npz", size=SIZE, colour="rgb").notes
    )


def test_command_makes_either_and_refuses_colour_where_nothing_is_written(fer_edge: FerEdge, tmp_path: Path) -> None:
    root = colours(tmp_path / "data")
    made = fer_edge("prepare", "--data", root, "--out", tmp_path / "a.npz", "--colour", "rgb")
    plain = fer_edge("prepare", "--data", root, "--out", tmp_path / "b.npz")
    looked = fer_edge("prepare", "--data", root, "--check", "--colour", "rgb")

    assert (made.code, plain.code, looked.code) == (0, 0, 2)
    assert [FaceSet.load(tmp_path / name).colour for name in ("a.npz", "b.npz")] == ["rgb", "grey"]
    assert "leave out --imgsz, --colour and --link" in looked.stderr


@pytest.mark.parametrize(("made", "wanted"), [("grey", "rgb"), ("rgb", "grey")])
def test_a_set_of_the_other_colour_is_refused_with_what_to_type(tmp_path: Path, made: Any, wanted: Any) -> None:
    prepare(colours(tmp_path / "data"), tmp_path / "set.npz", size=SIZE, colour=made)

    with pytest.raises(DataError, match=f"ones are needed; prepare it again: --colour {wanted} --imgsz 24"):
        load_faces(tmp_path / "set.npz", size=24, colour=wanted)


def test_training_takes_grey_faces_only(fer_edge: FerEdge, tmp_path: Path) -> None:
    prepared(colours(tmp_path / "data"))

    told = fer_edge("train", "--data", tmp_path / "set.npz", "--project", tmp_path / "runs", code=1).stderr

    assert told.replace("\n", "").endswith("grey ones are needed; prepare it again: --colour grey --imgsz 48")


def test_an_rgb_network_is_evaluated_in_rgb_on_folders_and_sets(tmp_path: Path, model: EvaluatedModel) -> None:
    root = colours(tmp_path / "data")
    prepare(root, tmp_path / "set.npz", size=SIZE, colour="rgb")
    prepare(root, tmp_path / "out", size=SIZE, colour="rgb")

    for data in (root, tmp_path / "set.npz", tmp_path / "out"):
        _, figures = evaluate(model, load_faces_for(model, data, DataSettings(), "all"), "all")
        assert (figures["n"], figures["accuracy"]) == (30, 1.0)


def test_an_rgb_network_is_not_evaluated_on_a_grey_set(tmp_path: Path, model: EvaluatedModel) -> None:
    prepared(colours(tmp_path / "data"), "grey")

    with pytest.raises(DataError, match=r"set\.npz holds grey faces, RGB ones are needed"):
        load_faces_for(model, tmp_path / "set.npz", DataSettings(), "all")


def test_an_rgb_network_is_refused_as_a_teacher(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.tflite takes RGB faces; networks are trained on grey ones"):
        load_teachers([str(as_tflite(tmp_path / "model"))], tuple(PLAIN))
