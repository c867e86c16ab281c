"""The wheel in two fresh environments, LiteRT with numpy 2 and tflite-runtime with numpy 1.26; neither heavy."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.imaging.images import write_picture
from fer_edge.model.contract import read_model, write_model
from fer_edge.recognition.classifier import BUNDLED
from fer_edge.synthetic.render import draw_face
from support.flatbuffers import with_custom
from support.paths import ROOT, TINY

HEAVY = ("tensorflow", "keras", "pandas", "matplotlib")
REQUIREMENTS = {"litert": ("{wheel}", "numpy>=2"), "tflite": ("{wheel}[tflite]", "numpy==1.26.*")}
"""What is installed for each runtime; the second brings tflite-runtime 2.14 and, through numpy, OpenCV 4.11."""

ANSWERS = """
import json, sys
from pathlib import Path
import numpy
from fer_edge.model.contract import read_model
from fer_edge.model.interpreter import Network
model = read_model(Path(sys.argv[1]))
network = Network(model, reference=True)
logits = network.logits(model.golden.pixels).tolist()
print(json.dumps({"runtime": network.runtime, "numpy": numpy.__version__, "logits": logits}))
"""

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*command: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with no trace of this environment's Python in its surroundings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env={**kept, **environment}, timeout=600
    )


@pytest.fixture(scope="module")
def wheel(registry: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module", params=REQUIREMENTS)
def runtime(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Name of a runtime and the bin folder of an environment that has it."""
    name: str = request.param
    if name == "tflite" and sys.version_info >= (3, 12):
        pytest.skip("needs Python 3.11 or older: tflite-runtime has no newer wheel")
    folder = tmp_path_factory.mktemp(name)
    made = call(sys.executable, "-m", "venv", folder)
    assert made.returncode == 0, made.stderr
    wanted = [requirement.format(wheel=wheel) for requirement in REQUIREMENTS[name]]
    installed = call(folder / "bin" / "pip", "install", "--quiet", *wanted)
    assert installed.returncode == 0, installed.stderr
    return name, folder / "bin"


@pytest.fixture
def run(runtime: tuple[str, Path], tmp_path: Path) -> Run:
    """Runs a program of the environment, with an empty HOME and the runtime it is there for."""
    name, folder = runtime

    def run_program(program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return call(folder / program, *arguments, FER_EDGE_RUNTIME=name, HOME=str(tmp_path))

    return run_program


def document(finished: "subprocess.CompletedProcess[str]") -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("path", [TINY, BUNDLED], ids=["tiny", "bundled"])
def test_golden_faces_get_the_same_answers_to_the_bit(run: Run, runtime: tuple[str, Path], path: Path) -> None:
    answers = document(run("python", "-c", ANSWERS, path))

    expected = {"litert": ("ai_edge_litert", "2"), "tflite": ("tflite_runtime", "1.26")}[runtime[0]]
    model = read_model(path)
    assert (answers["runtime"], answers["numpy"].startswith(expected[1])) == (expected[0], True)
    assert len(model.golden.logits) == 16
    np.testing.assert_array_equal(answers["logits"], model.golden.logits)


@pytest.mark.parametrize("path", [TINY, BUNDLED, *BUNDLED_DETECTORS.values()], ids=["tiny", "edge", *BUNDLED_DETECTORS])
def test_selftest_passes(run: Run, path: Path) -> None:
    assert document(run("fer-edge", "selftest", path, "--json"))["passed"]


def test_the_reference_kernels_of_the_detector_give_its_golden_maps_to_the_bit(run: Run) -> None:
    told = document(run("fer-edge", "selftest", BUNDLED_DETECTORS["int8"], "--json"))

    assert {stage["name"]: stage["worst"] for stage in told["stages"]}["network"] == 0


def test_selftest_names_the_stage_that_differs(run: Run, tmp_path: Path) -> None:
    model = read_model(TINY)
    golden = replace(model.golden, logits=model.golden.logits + 1)
    write_model(tmp_path / "other.tflite", model.flatbuffer, model.contract, golden)

    finished = run("fer-edge", "selftest", tmp_path / "other.tflite")

    assert finished.returncode == 1
    assert "differs from the reference output: network, fast kernels;" in finished.stderr


@pytest.mark.parametrize(("place", "byte"), [(6612, 12), (11033, 209)], ids=["segmentation fault", "division by zero"])
def test_a_flatbuffer_on_which_the_runtime_crashes_is_one_line(run: Run, tmp_path: Path, place: int, byte: int) -> None:
    model = read_model(TINY)
    content = bytearray(model.flatbuffer)
    content[place] = byte
    write_model(tmp_path / "broken.tflite", bytes(content), model.contract, model.golden)

    finished = run("fer-edge", "selftest", tmp_path / "broken.tflite")

    assert finished.returncode == 1
    [line] = finished.stderr.splitlines()
    assert "cannot run it: it crashes" in line


def test_an_operator_that_no_device_has_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    model = read_model(TINY)
    write_model(tmp_path / "flex.tflite", with_custom(model.flatbuffer, b"FlexErf"), model.contract, model.golden)

    finished = run("fer-edge", "selftest", tmp_path / "flex.tflite")

    assert finished.returncode == 1
    assert "operators that are not built into TFLite: 'FlexErf'; " in finished.stderr


def test_run_reads_a_picture(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "face.png"
    write_picture(picture, draw_face("happiness", seed=1)[0])

    line = document(run("fer-edge", "run", "--model", TINY, "--source", picture, "--detector", "none", "--json"))

    assert set(line["faces"][0]["probs"]) == set(read_model(TINY).contract.labels)


def test_help_is_there(run: Run) -> None:
    finished = run("fer-edge", "--help")

    assert finished.returncode == 0
    assert "export" in finished.stdout


@pytest.mark.parametrize("package", HEAVY)
def test_nothing_heavy_is_installed(run: Run, package: str) -> None:
    assert f"No module named '{package}'" in run("python", "-c", f"import {package}").stderr


@pytest.mark.parametrize(
    "command", ["prepare --check --data x", "train --data x", "evaluate --data x", "export x", "runs", "demo"]
)
def test_commands_of_a_workstation_say_in_one_line_what_to_install(run: Run, command: str) -> None:
    finished = run("fer-edge", *command.split())

    assert finished.returncode == 1
    assert finished.stdout == ""
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("is not installed; type, in your clone of fer-edge: pip install '.[train]'")
