"""`fer-edge info` and `fer-edge selftest`, as a user types them, on models of either task."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_operators import with_custom

from fer_edge.contract import read_model, write_model
from fer_edge.detect import BUNDLED_DETECTOR
from fer_edge.detector_contract import read_detector, write_detector
from fer_edge.images import write_picture
from fer_edge.labels import EXPRESSIONS
from fer_edge.render import draw_face

FerEdge = Callable[..., "subprocess.CompletedProcess[str]"]


def test_info_shows_the_contract(fer_edge: FerEdge, tiny: Path) -> None:
    people, programs = fer_edge("info", tiny), fer_edge("info", tiny, "--json")

    assert "32x32 grey" in people.stderr
    assert "tiny, 5,624 parameters, 131,072 multiply-accumulates" in people.stderr
    assert re.search(r"trained on +not stated", people.stderr)
    document = json.loads(programs.stdout)
    assert (document["labels"], document["size"], document["recipe"]) == (list(EXPRESSIONS), 32, "int8")
    assert document["bytes"] == tiny.stat().st_size
    assert "1 QUANTIZE, 3 CONV_2D, 1 SHAPE" in people.stderr
    assert (document["operators"]["CONV_2D"], len(document["operators"])) == (3, 7)


def test_info_shows_no_escape_sequence_of_a_contract(fer_edge: FerEdge, tiny: Path, tmp_path: Path) -> None:
    model = read_model(tiny)
    contract = replace(model.contract, made_with={"[/red]": "\x1b[2J1.0", "huge": "9" * 400})
    write_model(tmp_path / "other.tflite", model.flatbuffer, contract, model.golden)

    finished = fer_edge("info", tmp_path / "other.tflite")

    assert finished.returncode == 0
    assert "[/red]  [2J1.0" in finished.stderr
    assert "\x1b" not in finished.stderr


def test_info_shows_figures_too_large_to_be_any_as_not_stated(fer_edge: FerEdge, tiny: Path, tmp_path: Path) -> None:
    model = read_model(tiny)
    contract = replace(model.contract, metrics={"float32": {"accuracy": 10**400}, "int8": {}, "drop": 0})
    write_model(tmp_path / "other.tflite", model.flatbuffer, contract, model.golden)

    assert re.search(r"accuracy +not stated", fer_edge("info", tmp_path / "other.tflite").stderr)


@pytest.mark.parametrize("command", ["info", "selftest", "run"])
def test_an_operator_that_no_device_has_is_refused_by_name(
    fer_edge: FerEdge, tiny: Path, tmp_path: Path, command: str
) -> None:
    model = read_model(tiny)
    path = tmp_path / "flex.tflite"
    write_model(path, with_custom(model.flatbuffer, b"FlexErf"), model.contract, model.golden)
    given = ["--model", path, "--source", tmp_path] if command == "run" else [path]
    write_picture(tmp_path / "face.png", draw_face("happiness", seed=1)[0])

    finished = fer_edge(command, *given)

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.splitlines()[-1].startswith(
        f"error: {path}: operators that are not TFLite's own, and that no device's runtime has: 'FlexErf'; "
    )


def test_info_shows_the_contract_of_a_detector(fer_edge: FerEdge) -> None:
    people, programs = fer_edge("info", BUNDLED_DETECTOR), fer_edge("info", BUNDLED_DETECTOR, "--json")

    assert "faces, their boxes and eyes, from a score of " in people.stderr
    assert "320x240 grey; maps of stride 8" in people.stderr
    assert "not stated" not in people.stderr
    document = json.loads(programs.stdout)
    assert (document["task"], document["width"], document["height"], document["stride"]) == ("faces", 320, 240, 8)
    assert document["bytes"] == BUNDLED_DETECTOR.stat().st_size


def test_info_of_a_detector_says_what_its_contract_does_not_state(fer_edge: FerEdge, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTOR)
    contract = replace(model.contract, data={}, metrics={"recall": "good"}, network={})
    write_detector(tmp_path / "other.tflite", model.flatbuffer, contract, model.golden)

    shown = fer_edge("info", tmp_path / "other.tflite").stderr

    assert re.findall(r"(\S.*\S) +not stated", shown) == ["network", "trained on", "judged on", "recall"]


def test_info_without_a_model_shows_both_bundled_ones(fer_edge: FerEdge) -> None:
    people, programs = fer_edge("info"), fer_edge("info", "--json")

    assert people.returncode == 0
    assert "edge.tflite\n" in people.stderr
    assert "face.tflite\n" in people.stderr
    documents = json.loads(programs.stdout)["models"]
    assert [(Path(one["model"]).name, one["task"]) for one in documents] == [
        ("edge.tflite", "expressions"),
        ("face.tflite", "faces"),
    ]


def test_selftest_without_a_model_repeats_both_bundled_ones(fer_edge: FerEdge) -> None:
    finished = fer_edge("selftest", "--json")

    assert finished.returncode == 0
    documents = json.loads(finished.stdout)["models"]
    assert [(Path(one["model"]).name, one["passed"]) for one in documents] == [
        ("edge.tflite", True),
        ("face.tflite", True),
    ]


def test_selftest_of_a_detector_that_answers_otherwise_exits_1(fer_edge: FerEdge, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTOR)
    golden = replace(model.golden, heat=model.golden.heat + 10)  # so that there are other boxes in it, too
    write_detector(tmp_path / "other.tflite", model.flatbuffer, model.contract, golden)

    finished = fer_edge("selftest", tmp_path / "other.tflite", "--json")

    assert finished.returncode == 1
    assert json.loads(finished.stdout)["passed"] is False
    assert "not as on the workstation: network, fast kernels, boxes" in finished.stderr.splitlines()[-1]


def test_selftest_passes_and_says_so(fer_edge: FerEdge, tiny: Path) -> None:
    finished = fer_edge("selftest", tiny, "--json")

    assert finished.returncode == 0
    assert json.loads(finished.stdout)["passed"] is True
    first, *stages = finished.stderr.splitlines()
    assert first == f"{tiny}:"
    assert [line.strip().split(":")[0] for line in stages] == ["crop", "network", "fast kernels"]


def test_selftest_of_a_model_that_answers_otherwise_exits_1(fer_edge: FerEdge, tiny: Path, tmp_path: Path) -> None:
    model = read_model(tiny)
    golden = replace(model.golden, logits=model.golden.logits + 1)
    write_model(tmp_path / "other.tflite", model.flatbuffer, model.contract, golden)

    finished = fer_edge("selftest", tmp_path / "other.tflite", "--json")

    assert finished.returncode == 1
    assert json.loads(finished.stdout)["passed"] is False
    assert "not as on the workstation: network, fast kernels" in finished.stderr.splitlines()[-1]
