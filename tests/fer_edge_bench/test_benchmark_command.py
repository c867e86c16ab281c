import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.detection.detector_contract import read_detector, write_detector
from fer_edge.errors import BenchmarkError, ModelError
from fer_edge.imaging.images import InputColour, write_picture
from fer_edge.model.contract import read_model, write_model
from fer_edge.synthetic.render import draw_face
from fer_edge_bench.benchmark import check, find_float_model
from support.command import FerEdge
from support.paths import TINY

SHORT = ("--detector", "none", "--warmup-runs", "1", "--num-runs", "4")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    write_picture(path, draw_face("happiness", seed=1)[0])
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """The tiny int8 model and its float32 version in one folder, as fer-edge export writes them."""
    (tmp_path / "model_float32.tflite").write_bytes(TINY.with_name("tiny_float32.tflite").read_bytes())
    (tmp_path / "model_int8.tflite").write_bytes(TINY.read_bytes())
    return tmp_path / "model_int8.tflite"


@pytest.fixture
def benchmark(fer_edge: FerEdge) -> FerEdge:
    """Calls `fer-edge benchmark`."""
    return partial(fer_edge, "benchmark")


def test_every_stage_is_timed_for_every_frame(benchmark: FerEdge, picture: Path) -> None:
    result = benchmark("--model", TINY, "--source", picture, *SHORT, "--json")

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert {stage: row["n"] for stage, row in report["ms"].items()} == {
        "capture": 4,
        "detect": 4,
        "crop": 4,
        "classify": 4,
        "total": 4,
    }
    assert (report["threads"], report["num_runs"], report["detector"], report["faces_per_frame"]) == (1, 4, "none", 1.0)
    assert report["memory_mb"] > 10
    assert report["machine"]["packages"]["numpy"] == np.__version__


def test_float_model_next_to_it_is_timed_on_the_same_faces(benchmark: FerEdge, pair: Path, picture: Path) -> None:
    report = json.loads(benchmark("--model", pair, "--source", picture, *SHORT, "--json").stdout)

    assert report["float_model"]["recipe"] == "float32"
    assert report["ms"]["classify_float"]["n"] == report["float_over_int8"]["n"] == 4


def test_table_is_printed_on_stderr(benchmark: FerEdge, pair: Path, picture: Path) -> None:
    result = benchmark("--model", pair, "--source", picture, *SHORT)

    assert result.stdout == ""
    assert "classify (float32)" in result.stderr
    assert "times as long as int8 on the same faces" in result.stderr


def test_without_a_source_drawn_frames_are_used_and_capture_is_not_timed(benchmark: FerEdge) -> None:
    report = json.loads(benchmark("--model", TINY, *SHORT, "--json").stdout)

    assert report["source"] == "drawn frames, 640x480"
    assert report["ms"]["capture"] == {"n": 0}


def test_passed_assertion_exits_with_0_and_is_in_the_file(benchmark: FerEdge, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"

    result = benchmark("--model", TINY, "--source", picture, *SHORT, "--assert", "total.p90<60000", "--out", out)

    assert result.code == 0, result.stderr
    assert json.loads(out.read_text())["assertions"][0]["passed"] is True


def test_failed_assertion_exits_with_5_after_the_report(benchmark: FerEdge, picture: Path) -> None:
    result = benchmark("--model", TINY, "--source", picture, *SHORT, "--json", "--assert", "total.p90<0.0001")

    assert result.code == 5
    assert "error: assertion failed: total.p90<0.0001 (measured: " in result.stderr
    assert json.loads(result.stdout)["assertions"][0]["passed"] is False


def test_frames_without_a_face_exit_with_5(benchmark: FerEdge, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTORS["int8"])
    blind = tmp_path / "blind.tflite"
    write_detector(blind, model.flatbuffer, replace(model.contract, threshold=1.0), model.golden)

    result = benchmark("--model", TINY, "--detector-model", blind, "--num-runs", 2)

    assert result.code == 5
    assert "blind detected no face in 2 frames" in result.stderr


def test_report_names_the_detector(benchmark: FerEdge, picture: Path, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTORS["int8"])
    eager = tmp_path / "eager.tflite"
    write_detector(eager, model.flatbuffer, replace(model.contract, threshold=0.02), model.golden)

    result = benchmark("--model", TINY, "--source", picture, "--detector-model", eager, *SHORT[2:], "--json")

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["detector"] == "eager"
    assert report["ms"]["detect"]["n"] == 4


def test_int8_model_as_float_is_refused() -> None:
    with pytest.raises(ModelError, match="--float-model takes a float32 model"):
        find_float_model(read_model(TINY), TINY)


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_float_model_with_other_classes_or_for_colour_is_refused(tmp_path: Path, colour: InputColour) -> None:
    tiny = read_model(TINY)
    labels, pixels = tiny.contract.labels, tiny.golden.pixels
    other = replace(tiny.contract, recipe="float32", colour=colour, labels=labels if colour == "rgb" else labels[::-1])
    golden = replace(tiny.golden, pixels=pixels[..., None].repeat(3, axis=3) if colour == "rgb" else pixels)
    write_model(tmp_path / "other.tflite", tiny.flatbuffer, other, golden)

    with pytest.raises(ModelError, match="classes or the input of"):
        find_float_model(tiny, tmp_path / "other.tflite")


def test_run_on_a_throttled_machine_is_invalid() -> None:
    with pytest.raises(BenchmarkError, match="the run is invalid: the processor was throttled 2 times") as refusal:
        check({"invalid": "the processor was throttled 2 times during the run", "assertions": []})

    assert refusal.value.exit_code == 5
