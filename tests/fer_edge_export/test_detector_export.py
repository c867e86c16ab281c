"""`fer-edge export` of a face detector, on a network whose weights are set by hand: nothing here has to be trained."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fer_edge.centre_points import TYPICAL, Floats, decode
from fer_edge.detect import CentrePoints
from fer_edge.detector_contract import read_detector
from fer_edge.errors import ModelError
from fer_edge.interpreter import Engine
from fer_edge.photoset import Photo, PhotoSet
from fer_edge_export.convert import convert
from fer_edge_export.detector import as_markdown
from fer_edge_export.network import load_detector
from fer_edge_export.recipes import RECIPES

WIDTH, HEIGHT, FACE = 96, 64, 24
SOURCE = {"name": "squares", "digest": "3" * 64, "terms": "drawn by a test"}
FILES = ["export_report.json", "export_report.md", "model_float32.tflite", "model_int8.tflite"]


def fer_edge(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app(), [str(argument) for argument in arguments])
    assert result.exit_code == code, result.stderr
    return result


def app() -> Any:
    from fer_edge.cli import app

    return app


def draw(number: int, split: Any, *, faces: int = 1) -> Photo:
    """Bright squares of 24 pixels on dark noise, each about the middle of a cell; no two photos are alike."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 40, (HEIGHT, WIDTH)).astype(np.uint8)
    boxes = []
    for place in range(faces):
        x, y = 8 * int(rng.integers(2, 4)) + 40 * place, 8 * int(rng.integers(2, 4))
        pixels[y : y + FACE, x : x + FACE] += np.uint8(rng.integers(150, 200))
        boxes.append((x, y, FACE, FACE))
    marks = np.array(boxes, np.float32).reshape(-1, 4)
    eyes = (marks[:, [0, 1, 0, 1]] + np.array([7, 9, 17, 9])).astype(np.float32)
    return Photo(f"{number}.png", split, pixels, marks, eyes, np.ones(faces, bool))


def squares() -> list[Photo]:
    parts = ("training", "training", "validation", "testing")
    return [draw(number, parts[number % 4], faces=1 + number % 2) for number in range(32)]


def finder() -> Any:
    """A window that is brighter inside than around it, 8 pixels apart: right on every picture of `draw`.

    What is flat, whether black or white, leaves the window at 0, so that int8 ranges calibrated with nothing else are
    far too narrow for faces.
    """
    import keras
    from keras import layers

    grey = keras.Input((HEIGHT, WIDTH, 1), name="grey")
    x = layers.Conv2D(1, 40, strides=8, activation="relu", name="window")(grey)
    x = layers.ZeroPadding2D(2)(x)
    maps = {"heat": layers.Conv2D(1, 1, name="heat")(x), "geometry": layers.Conv2D(8, 1, name="geometry")(x)}
    network = keras.Model(grey, maps, name="finder")
    window = np.full((40, 40, 1, 1), -1 / (40 * 40 - FACE * FACE), np.float32)
    window[8:32, 8:32] = 1 / (FACE * FACE)
    size = np.log(FACE / TYPICAL)
    geometry = np.array([0, 0, size, size, -0.2, -0.1, 0.2, -0.1], np.float32)
    network.get_layer("window").set_weights([window, np.zeros(1, np.float32)])
    network.get_layer("heat").set_weights([np.full((1, 1, 1, 1), 30, np.float32), np.array([-10], np.float32)])
    network.get_layer("geometry").set_weights([np.full((1, 1, 1, 8), 0.01, np.float32), geometry])
    return network


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finder") / "finder.keras"
    finder().save(path)
    return path


@pytest.fixture
def make_run(tmp_path: Path, keras_file: Path) -> Callable[..., Path]:
    """Makes a run folder as fer-edge train --task detect leaves it; a file named in `without` is missing."""

    def make(*without: str, photos: list[Photo] | None = None) -> Path:
        return written(tmp_path / "run", keras_file, photos, without)

    return make


def written(run: Path, keras_file: Path, photos: list[Photo] | None = None, without: tuple[str, ...] = ()) -> Path:
    run.mkdir()
    config = {"task": "detect", "settings": {}, "network": {"name": "finder"}, "source": SOURCE}
    (run / "config.json").write_text(json.dumps(config))
    for name in ("best.keras", "last.keras"):
        (run / name).write_bytes(keras_file.read_bytes())
    PhotoSet(squares() if photos is None else photos, SOURCE).save(run / "photos.npz")
    for name in without:
        (run / name).unlink()
    return run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, keras_file: Path) -> tuple[Path, Result]:
    run = written(tmp_path_factory.mktemp("exported") / "run", keras_file)
    return run, fer_edge("export", run, "--json")


def test_a_run_becomes_two_models_and_a_report(exported: tuple[Path, Result]) -> None:
    run, result = exported
    report = json.loads(result.stdout)

    assert sorted(path.name for path in (run / "export").iterdir()) == FILES
    assert report == json.loads((run / "export" / "export_report.json").read_text())
    assert report["task"] == "faces"
    assert report["input"] == [96, 64]
    assert report["heldout"] == {"split": "testing"}
    assert report["calibration"] == {"photos": 16, "seed": 0}
    assert report["gate"] == {"max_drop": 0.01, "passed": True}
    comparison = report["comparison"]
    assert (comparison["photos"], comparison["faces"], comparison["drop"]) == (8, 16, 0.0)
    assert comparison["float32"]["recall"] == comparison["int8"]["recall"] == 1.0
    for recipe, file in report["files"].items():
        assert file["bytes"] == (run / "export" / f"model_{recipe}.tflite").stat().st_size


def test_people_read_the_comparison_on_stderr(exported: tuple[Path, Result]) -> None:
    run, result = exported
    text = (run / "export" / "export_report.md").read_text()

    assert "8 testing photos, 16 faces from 16 pixels on. int8 drop 0.0000 (passed; allowed 0.01)." in text
    assert "| float32 | 1.0000 | " in text
    assert "recall at 0.3 false alarms per photo" in result.stderr
    assert f"wrote {run}/export; try it: fer-edge selftest {run}/export/model_int8.tflite" in result.stderr


@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_both_models_carry_the_whole_contract(exported: tuple[Path, Result], recipe: str) -> None:
    model = read_detector(exported[0] / "export" / f"model_{recipe}.tflite")
    contract = model.contract

    assert (contract.width, contract.height, contract.stride, contract.recipe) == (96, 64, 8, recipe)
    # 4x8 places of the window, 8x12 of the maps
    assert contract.network == {"name": "finder", "parameters": 1619, "macs": 4 * 8 * 1600 + 8 * 12 * 9}
    assert contract.data == {
        "training": SOURCE,
        "judged_on": {"split": "testing"},
        "calibration": {"photos": 16, "seed": 0},
    }
    assert contract.metrics["int8"]["recall"] == 1.0
    assert {"fer-edge", "keras", "tensorflow"} <= contract.made_with.keys()
    assert model.golden.frames.shape == (1, 288, 352, 3)
    assert model.golden.geometry.shape == (1, 8, 12, 8)


@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_at_its_threshold_a_model_finds_what_its_threshold_was_chosen_by(
    exported: tuple[Path, Result], recipe: str
) -> None:
    """Also the faintest face, whose score is the threshold."""
    detector = CentrePoints(exported[0] / "export" / f"model_{recipe}.tflite")
    assert 0.02 < detector.threshold < 1
    for photo in squares():
        if photo.split == "validation":
            np.testing.assert_allclose(detector.find(photo.pixels).boxes, photo.boxes, atol=1.5)


def test_exported_models_pass_their_own_selftest_and_tell_what_they_are(exported: tuple[Path, Result]) -> None:
    for recipe in ("float32", "int8"):
        model = exported[0] / "export" / f"model_{recipe}.tflite"
        assert "network" in fer_edge("selftest", model).stderr
        assert json.loads(fer_edge("info", model, "--json").stdout)["width"] == 96


def test_same_run_and_seed_give_the_same_bytes(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run()
    for name in ("one", "two"):
        fer_edge("export", run, "--out", tmp_path / name, "--calib-samples", 5)

    assert json.loads((tmp_path / "one" / "export_report.json").read_text())["calibration"]["photos"] == 5
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_same_weights_are_exported_at_another_size(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run()
    report = json.loads(fer_edge("export", run, "--imgsz", "128x96", "--max-drop", "1", "--json").stdout)
    model = read_detector(run / "export" / "model_int8.tflite")

    assert report["input"] == [128, 96]
    assert (model.contract.width, model.contract.height) == (128, 96)
    assert model.contract.network["parameters"] == 1619
    assert model.golden.heat.shape == (1, 12, 16, 1)
    fer_edge("selftest", run / "export" / "model_int8.tflite")
    picture = np.zeros((96, 128), np.uint8)
    picture[40:64, 80:104] = 200
    found = CentrePoints(model).find(picture)
    np.testing.assert_allclose(found.boxes[0], (80, 40, 24, 24), atol=1.5)


@pytest.mark.parametrize(("width", "height"), [(104, 72), (160, 120)])
def test_the_real_network_at_another_size_answers_as_one_built_for_it(tmp_path: Path, width: int, height: int) -> None:
    """Among them maps with 9, 5 and 3 rows: where one is odd, what is enlarged has a row too many."""
    import keras

    from fer_edge_train.detector.network import face_detector

    keras.utils.set_random_seed(0)
    trained, there = face_detector(64, 96), face_detector(height, width)
    there.set_weights(trained.get_weights())
    trained.save(tmp_path / "best.keras")

    resized = load_detector(tmp_path / "best.keras", (width, height))

    pictures = np.random.default_rng(0).random((1, height, width, 1), np.float32)
    for name, channels in (("heat", 1), ("geometry", 8)):
        ours, wanted = (np.asarray(network(pictures)[name]) for network in (resized, there))
        assert ours.shape == (1, height // 8, width // 8, channels)
        assert np.ptp(wanted) > 1e-5  # an untrained network's answers hardly differ from place to place
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=0.01 * np.ptp(wanted))


@pytest.mark.parametrize("shape", [(64, 64), (96, 128), (256, 160)])
def test_the_exported_network_answers_for_inputs_of_other_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    import keras

    from fer_edge_train.detector.network import face_detector

    keras.utils.set_random_seed(0)
    trained, there = face_detector(72, 96), face_detector(*shape)
    there.set_weights(trained.get_weights())
    trained.save(tmp_path / "best.keras")

    network = load_detector(tmp_path / "best.keras", None)
    engine = Engine(
        Path("m"), convert(network, RECIPES["float32"], np.zeros((1, 96, 96), np.uint8)), shape=(1, *shape, 1)
    )
    rows, columns = shape[0] // 8, shape[1] // 8
    engine.expect((1, *shape, 1), (1, rows, columns, 1), (1, rows, columns, 8))

    assert network.input_shape == (None, 96, 96, 1)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    wanted = there((pixels / np.float32(255))[None, ..., None])
    for ours, name in zip(engine.run(pixels), ("heat", "geometry"), strict=True):
        answer = np.asarray(wanted[name][0])
        assert np.ptp(answer) > 1e-5
        np.testing.assert_allclose(ours, answer, rtol=0, atol=0.01 * np.ptp(answer))


@pytest.mark.parametrize(("size", "multiple"), [("128x96", 32), ("104x72", 0)])
def test_a_detector_takes_other_sizes_where_no_map_is_cropped(
    make_run: Callable[..., Path], size: str, multiple: int
) -> None:
    run = make_run()
    fer_edge("export", run, "--imgsz", size, "--max-drop", "1")
    model = read_detector(run / "export" / "model_int8.tflite")

    assert model.contract.multiple == multiple
    CentrePoints(model).detect(np.zeros((480, 640, 3), np.uint8))


@pytest.mark.parametrize(
    "size", ["", "x", "128", "128x", "x96", "128x96x3", "128X96", "-128x96", "12.8x96", "128 x 96", "٣x٤", "9" * 30]
)
def test_a_size_that_is_none_is_refused(make_run: Callable[..., Path], size: str) -> None:
    run = make_run()

    line = fer_edge("export", run, f"--imgsz={size}", code=2).stderr.strip()

    assert line == f"error: --imgsz {size}: give width and height, such as 320x240"
    assert not (run / "export").exists()


@pytest.mark.parametrize("size", ["100x96", "128x100", "56x64", "0x0"])
def test_sides_that_no_detector_can_have_are_refused(make_run: Callable[..., Path], size: str) -> None:
    run = make_run()

    line = fer_edge("export", run, "--imgsz", size, code=2).stderr.strip()

    assert line == f"error: --imgsz {size}: sides must be multiples of 8 from 64 on, such as 320x240"
    assert not (run / "export").exists()


def test_photos_of_nothing_for_calibration_fail_the_gate(make_run: Callable[..., Path]) -> None:
    dark = [
        replace(photo, pixels=np.full_like(photo.pixels, 20)) if photo.split == "training" else photo
        for photo in squares()
    ]
    run = make_run(photos=dark)

    result = fer_edge("export", run, "--json", code=3)

    assert json.loads(result.stdout)["gate"] == {"max_drop": 0.01, "passed": False}
    assert sorted(path.name for path in (run / "export").iterdir()) == FILES
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        "error: int8 lost 1.0000 of recall (1.0000 -> 0.0000, n=16); allowed is 0.01. "
        f"The files are in {run}/export. Try: other calibration photos: --seed 1; "
        "a longer training: fer-edge train --task detect; or accept the drop: --max-drop"
    )
    assert "(FAILED; allowed 0.01)" in (run / "export" / "export_report.md").read_text()
    fer_edge("export", run, "--max-drop", "1")  # accepted


def test_without_testing_photos_int8_is_judged_on_the_validation_photos(make_run: Callable[..., Path]) -> None:
    run = make_run(photos=[photo for photo in squares() if photo.split != "testing"])

    assert json.loads(fer_edge("export", run, "--json").stdout)["heldout"] == {"split": "validation"}


@pytest.mark.parametrize("doubtful", [True, False])
def test_a_gate_without_a_face_to_judge_on_is_refused(make_run: Callable[..., Path], doubtful: bool) -> None:
    photos = [photo for photo in squares() if photo.split == "training"]
    if doubtful:
        photos += [replace(draw(50 + n, "testing"), sure=np.zeros(1, bool)) for n in range(3)]
    run = make_run(photos=photos)

    line = fer_edge("export", run, code=1).stderr.strip()

    assert f"{run}/photos.npz" in line
    assert "to judge int8 on" in line
    assert "\n" not in line
    assert not (run / "export").exists()


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("photos.npz", "photos.npz: no such file; make a run: fer-edge train --task detect --data DIR"),
        ("best.keras", "best.keras: no such file; make one: fer-edge train"),
        ("config.json", "is not a run folder; make one: fer-edge train"),
    ],
)
def test_an_incomplete_run_folder_is_one_clear_line(make_run: Callable[..., Path], missing: str, line: str) -> None:
    run = make_run(missing)

    told = fer_edge("export", run, code=1).stderr.strip()

    assert line in told
    assert "\n" not in told


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_damaged_photos_are_one_clear_line(make_run: Callable[..., Path], place: float) -> None:
    run = make_run()
    content = (run / "photos.npz").read_bytes()
    (run / "photos.npz").write_bytes(content[: int(place * len(content))])

    told = fer_edge("export", run, code=1).stderr.strip()

    assert told == f"error: {run}/photos.npz: not a set of photos with marked faces; make a new run"


def test_a_set_of_faces_is_nothing_for_a_detector(make_run: Callable[..., Path]) -> None:
    told = fer_edge("export", make_run(), "--data", "set.npz", code=2).stderr

    assert "--data is for expression networks" in told


@pytest.mark.parametrize("option", [("--recipe", "float16"), ("--auto",), ("--gate", "bound"), ("--c-array",)])
def test_other_recipes_are_nothing_for_a_detector(make_run: Callable[..., Path], option: tuple[str, ...]) -> None:
    told = fer_edge("export", make_run(), *option, code=2).stderr

    assert "--recipe, --auto, --gate, --c-array are for expression networks" in told


def test_last_weights_are_exported_where_they_are_asked_for(make_run: Callable[..., Path]) -> None:
    run = make_run("best.keras")

    assert json.loads(fer_edge("export", run, "--use-weights", "last", "--json").stdout)["weights"] == "last.keras"
    assert json.loads(fer_edge("export", run / "last.keras", "--json").stdout)["weights"] == "last.keras"


def test_a_network_of_another_kind_is_no_detector(make_run: Callable[..., Path]) -> None:
    import keras

    run = make_run()
    keras.Sequential([keras.Input((64, 96, 1)), keras.layers.Conv2D(9, 8, strides=8)]).save(run / "best.keras")

    with pytest.raises(ModelError, match=r"best.keras: no face detector; make one: fer-edge train --task detect"):
        load_detector(run / "best.keras", None)
    assert "no face detector" in fer_edge("export", run, code=1).stderr


def test_a_size_is_nothing_for_an_expression_network(tmp_path: Path) -> None:
    assert "--imgsz is for face detectors" in fer_edge("export", tmp_path, "--imgsz", "128x96", code=2).stderr


def test_the_float_model_answers_as_the_network_does(exported: tuple[Path, Result]) -> None:
    photo = draw(7, "testing", faces=2)
    maps = finder()(np.float32(photo.pixels[None, :, :, None] / 255))
    heat, geometry = (np.asarray(maps[name])[0] for name in ("heat", "geometry"))

    ours: tuple[Floats, ...] = tuple(
        CentrePoints(exported[0] / "export" / "model_float32.tflite").engine.run(photo.pixels)
    )

    np.testing.assert_allclose(ours[0], heat, atol=1e-3)
    np.testing.assert_allclose(ours[1], geometry, atol=1e-4)
    best = decode(heat, geometry, 0.5).boxes[:2]
    assert sorted(best[:, 0].round().tolist()) == sorted(photo.boxes[:, 0].tolist())


def test_the_markdown_names_what_it_was_made_with(exported: tuple[Path, Result]) -> None:
    report = json.loads(exported[1].stdout)

    text = as_markdown(report)

    assert text.startswith("# Export of finder, 96x64\n")
    assert "- Network: finder, 1,619 parameters, 52,064 multiply-accumulates" in text
    assert "- Calibrated with 16 training photos, seed 0" in text
    assert f"keras {report['made_with']['keras']}" in text
