"""`fer-edge train --task detect` as a user types it, on a handful of drawn photos."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_photos import COLUMNS, people, tiny_detector
from typer.testing import CliRunner, Result

from fer_edge.cli import app
from fer_edge.errors import DataError, ModelError
from fer_edge.faceset import FaceSet
from fer_edge.photoset import PhotoSet
from fer_edge_train.detector import fit
from fer_edge_train.detector.network import face_detector
from fer_edge_train.detector.settings import DetectorSettings
from fer_edge_train.evaluate import load_network

SETTINGS = "width: 96\nheight: 64\nepochs: 4\nbatch: 4\nema: 0.5\nterms: for tests only\n"


def fer_edge(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.stderr
    return result


def refusal(*arguments: str | Path, code: int) -> str:
    """The one line that a command is refused with."""
    [line] = fer_edge(*arguments, code=code).stderr.strip().splitlines()
    return str(line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    people(folder / "people")
    (folder / "people" / "LICENSE").write_text("drawn by a test\n")
    (folder / "small.yaml").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "face_detector", tiny_detector)
        yield


def typed(folder: Path, name: str, *others: str) -> list[str]:
    settings = ["--config", str(folder / "small.yaml"), "--data", str(folder / "people")]
    return ["train", "--task", "detect", *settings, "--project", str(folder / "runs"), "--name", name, *others]


@pytest.fixture(scope="module")
def trained(folder: Path) -> Result:
    return fer_edge(*typed(folder, "whole", "--json"))


@pytest.fixture(scope="module")
def run(folder: Path, trained: Result) -> Path:
    return folder / "runs" / "whole"


def test_a_run_leaves_every_file_that_it_promises(run: Path) -> None:
    expected = ".lock best.keras config.json config.yaml history.csv history.png last.keras metrics.json photos.npz"
    assert sorted(path.name for path in run.iterdir()) == expected.split()
    assert (run / "history.png").stat().st_size > 5000


def test_people_see_every_epoch_and_what_to_type_next(run: Path, trained: Result) -> None:
    assert "epoch 4/4  " in trained.stderr
    assert "pictures/s, loss " in trained.stderr
    assert "validation: recall " in trained.stderr
    assert "testing, 4 photos: finds " in trained.stderr
    assert f"wrote {run}; next: fer-edge export {run}\n" in trained.stderr


def test_programs_get_the_figures_of_the_run(run: Path, trained: Result) -> None:
    document = json.loads(trained.stdout)

    assert document.pop("run") == str(run)
    assert document == json.loads((run / "metrics.json").read_text())
    assert document["epochs"] == 4
    assert {"photos", "faces", "recall", "threshold"} == set(document["testing"]) == set(document["validation"])
    assert document["testing"]["photos"] == 4


def test_the_run_says_what_it_was_made_of(run: Path, folder: Path) -> None:
    config = json.loads((run / "config.json").read_text())

    assert config["task"] == "detect"
    assert config["settings"]["data"] == str(folder / "people")
    assert (config["network"]["width"], config["network"]["height"]) == (96, 64)
    assert sum(config["photos"].values()) == 18
    assert config["photos"]["testing"] == 4
    assert (config["source"]["name"], config["source"]["terms"]) == ("people", "for tests only")


def test_the_run_keeps_training_photos_and_all_that_were_held_out(run: Path) -> None:
    kept = PhotoSet.load(run / "photos.npz")
    config = json.loads((run / "config.json").read_text())

    assert {split: len(kept.part(split)) for split in config["photos"]} == config["photos"]  # fewer than 300
    assert kept.source == config["source"]
    assert len({photo.name for photo in kept.photos}) == 18


HISTORY = ("epoch", "loss", "heat_loss", "geometry_loss", "val_recall", "learning_rate")


def history(run: Path) -> "np.ndarray":
    return np.atleast_1d(np.genfromtxt(run / "history.csv", delimiter=",", names=True))


def test_a_run_that_was_killed_goes_on_where_it_stood(run: Path, folder: Path) -> None:
    killed = folder / "runs" / "killed"
    patched = (
        "from fer_edge_train.detector import fit; import tiny_photos; fit.face_detector = tiny_photos.tiny_detector"
    )
    command = [sys.executable, "-c", f"{patched}; from fer_edge.cli import app; app()", *typed(folder, "killed")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 240
    while not (killed / "last.keras").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    told = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, told
    assert 1 <= len(history(killed)) < 4, "killed too late to show anything"

    fer_edge("train", "--resume", killed)

    assert history(killed)["epoch"].tolist() == [1, 2, 3, 4]
    for name in HISTORY:
        np.testing.assert_allclose(history(killed)[name], history(run)[name], rtol=1e-3, atol=1e-6)
    assert (killed / "metrics.json").exists()


def test_a_finished_run_is_reported_again_and_not_trained_on(run: Path) -> None:
    before = (run / "last.keras").read_bytes()

    assert "wrote " in fer_edge("train", "--resume", run).stderr
    assert (run / "last.keras").read_bytes() == before


def test_photos_that_have_changed_are_not_gone_on_with(run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    people(tmp_path / "people", testing=3)
    config["settings"]["data"] = str(tmp_path / "people")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))

    line = refusal("train", "--resume", tmp_path / "run", code=1)

    assert "people has changed since" in line
    assert "start a new run without --resume" in line


def test_a_history_shorter_than_the_weights_is_one_clear_line(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "history.csv").unlink()

    assert "history.csv lacks epochs" in refusal("train", "--resume", copy, code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "8"], "--batch is not for --task detect; settings of a detector go into --config FILE"),
        (["--imgsz", "48"], "--imgsz is not for --task detect"),
        (["--network", "edge"], "--network is not for --task detect"),
        (["--no-flip"], "--no-flip is not for --task detect"),
        (["--class-weights"], "--class-weights is not for --task detect"),
        (["--lr", "0.1"], "--lr is not for --task detect"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    project = ["--project", str(tmp_path / "runs")]
    assert message in refusal("train", "--task", "detect", "--data", "nowhere", *project, *arguments, code=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--task", "detect"], "give either --data DIR, or --resume RUN", 2),
        (["--task", "detect", "--resume", "nowhere"], "--task cannot be changed by --resume", 2),
        (["--config", "a.yaml", "--resume", "nowhere"], "--config cannot be changed by --resume", 2),
        (["--epochs", "3", "--resume", "nowhere"], "--epochs cannot be changed by --resume", 2),
        (["--config", "a.yaml", "--data", "nowhere"], "--config a.yaml: No such file", 2),
        (["--task", "detect", "--data", "nowhere", "--config", "no.yaml"], "--config no.yaml: No such file", 2),
        (["--task", "detect", "--data", "nowhere"], "nowhere/faces.csv: No such file or directory", 1),
        (["--resume", "nowhere"], "nowhere is not a run folder; make one: fer-edge train", 1),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], message: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert message in refusal("train", *arguments, code=code)
    assert not list(tmp_path.iterdir())


def test_epochs_and_seed_that_are_typed_stand_above_the_file(
    run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[DetectorSettings] = []

    def train(settings: DetectorSettings, *_: object, **__: object) -> Path:
        given.append(settings)
        return run

    monkeypatch.setattr(fit, "train", train)
    fer_edge(*typed(folder, "x", "--epochs", "7", "--seed", "5"))
    fer_edge(*typed(folder, "x"))

    assert [(settings.epochs, settings.seed, settings.batch) for settings in given] == [(7, 5, 4), (4, 0, 4)]


def in_faces_csv(folder: Path, tmp_path: Path, change: dict[str, str]) -> Path:
    """The drawn people with words of their faces.csv changed."""
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "pictures").symlink_to(folder / "people" / "pictures")
    text = (folder / "people" / "faces.csv").read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    (tmp_path / "people" / "faces.csv").write_text(text)
    return tmp_path / "people"


def refused_data(folder: Path, data: Path, *others: str | Path) -> str:
    project = ["--project", str(data.parent / "runs")]
    config = ["--config", str(folder / "small.yaml")]
    line = refusal("train", "--task", "detect", "--data", data, *config, *project, *others, code=1)
    assert not (data.parent / "runs").exists()
    return line


def test_photos_without_a_training_face_are_refused_before_there_is_a_run(folder: Path, tmp_path: Path) -> None:
    data = in_faces_csv(folder, tmp_path, {",train,": ",val,"})

    assert "people has no training photo with a face; faces.csv needs more rows of split train" in refused_data(
        folder, data
    )


def test_one_photo_cannot_train_and_choose_as_well(folder: Path, tmp_path: Path) -> None:
    data = in_faces_csv(folder, tmp_path, {})
    (data / "faces.csv").write_text(f"{COLUMNS}\n00.png,train,10,10,30,30,20,20,30,20,0.9\n")

    assert "has no validation photo with a face" in refused_data(folder, data)


def test_a_side_that_the_network_cannot_have_is_refused_before_there_is_a_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "face_detector", face_detector)
    (tmp_path / "odd.yaml").write_text("width: 100\nheight: 64\n")
    arguments: list[str | Path] = ["--config", tmp_path / "odd.yaml", "--project", tmp_path / "runs"]

    line = refusal("train", "--task", "detect", "--data", folder / "people", *arguments, code=2)

    assert "input 100x64: sides must be multiples of 8 from 64 on" in line
    assert not (tmp_path / "runs").exists()


def test_pictures_left_out_are_counted_and_the_first_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(fit, "warn", warnings.append)
    data = in_faces_csv(folder, tmp_path, {"05.png": "gone.png", "06.png": "lost.png"})
    fit._read(DetectorSettings(data=str(data), batch=4))

    [warning] = warnings
    assert warning.startswith(f"2 photos of {data} are left out, the first is gone.png: ")
    assert warning.endswith("No such file or directory")


def test_ready_crops_of_the_training_part_alone_are_laid_over(folder: Path, tmp_path: Path, bars: Path) -> None:
    FaceSet.load(bars).part("testing").save(tmp_path / "held_out.npz")

    assert fit._crops(bars).faces.shape == (150, 24, 24)
    with pytest.raises(DataError, match="has no training face to lay over photos"):
        fit._crops(tmp_path / "held_out.npz")


def test_a_run_says_whose_ready_crops_it_used(folder: Path, bars: Path) -> None:
    settings = DetectorSettings(data=str(folder / "people"), crops=str(bars), width=96, height=64)

    photos, _ = fit._read(settings)

    assert photos.source["crops"] == FaceSet.load(bars).source


def test_a_training_begins_with_the_weights_of_another_run_whatever_its_input(run: Path) -> None:
    network = tiny_detector(128, 160)

    fit._take_weights(network, run)

    given = load_network(run / "best.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), given, strict=True))


def test_weights_of_another_network_are_refused(run: Path) -> None:
    with pytest.raises(ModelError, match=r"best.keras holds no face network; name a run of --task detect"):
        fit._take_weights(face_detector(64, 96), run)


def test_evaluate_says_where_a_detectors_figures_are(run: Path, tmp_path: Path) -> None:
    line = refusal("evaluate", "--model", run, "--data", "nowhere", "--project", tmp_path / "runs", code=2)

    assert f"{run} is a run of a face detector; its figures: {run}/metrics.json" in line
    assert not list(tmp_path.iterdir())


def test_the_run_is_exported_as_it_is(run: Path) -> None:
    fer_edge("export", run, "--max-drop", "1")

    assert "faces" in fer_edge("info", run / "export" / "model_int8.tflite").stderr
    assert fer_edge("selftest", run / "export" / "model_int8.tflite").exit_code == 0
