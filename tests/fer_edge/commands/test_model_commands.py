"""`fer-edge info` and `fer-edge selftest`, as a user types them, on models of either task."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.detection.detector_contract import read_detector, write_detector
from fer_edge.device.processor import detector_recipe
from fer_edge.files import sha256
from fer_edge.imaging.images import write_picture
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import read_model, write_model
from fer_edge.synthetic.render import draw_face
from support.command import FerEdge, Finished
from support.flatbuffers import with_custom


def test_info_shows_the_contract(fer_edge: FerEdge, tiny: Path) -> None:
    people, programs = fer_edge("info", tiny), fer_edge("info", tiny, "--json")

    assert "32x32 grey" in people.stderr
    assert "tiny, 5,624 parameters, 131,072 multiply-accumulates" in people.stderr
    assert re.search(r"trained on +drawn faces +\n", people.stderr)
    document = json.loads(programs.stdout)
    assert (document["labels"], document["size"], document["recipe"]) == (list(EXPRESSIONS), 32, "int8")
    assert document["bytes"] == tiny.stat().st_size
    assert document["flatbuffer"] == {"bytes": 11184, "sha256": sha256(read_model(tiny).flatbuffer)}
    assert "1 QUANTIZE, 3 CONV_2D, 1 SHAPE" in people.stderr
    assert (document["operators"]["CONV_2D"], len(document["operators"])) == (3, 7)


FIGURES: dict[str, Any] = {
    "n": 1200,
    "drop": 0.0041,
    "drop_interval": [-0.0012, 0.0094],
    "lost": 12,
    "gained": 7,
    "mcnemar_p": 0.359283,
    "agreement": 0.983,
    "per_class": {
        "neutral": {"n": 1190, "float32": 0.9, "float16": 0.88, "change": -0.02, "interval": [-0.031, -0.009]},
        **{
            name: {"n": 0, "float32": None, "float16": None, "change": None, "interval": None}
            for name in EXPRESSIONS[1:]
        },
    },
    "float32": {"accuracy": 0.85, "balanced_accuracy": 0.7, "macro_f1": 0.71, "calibration_error": 0.01},
    "float16": {"accuracy": 0.8459, "balanced_accuracy": 0.69, "macro_f1": None, "calibration_error": 0.02},
    "gate": {"rule": "bound", "max_drop": 0.01, "passed": True, "failures": [], "findings": ["1,200 are few"]},
}
"""As fer-edge export writes them, with a recipe that is not the default."""
DATA: dict[str, Any] = {
    "training": {
        "name": "ours",
        "licence": "CC0",
        "split": 0.2,
        "seed": 3,
        "settings": {"group": "person"},
        "digest": "5" * 64,
    },
    "heldout": {"name": "theirs", "licence": "MIT", "digest": "7" * 64},
    "judged_on": {"split": "testing", "protocol": "majority"},
    "calibration": {"faces": 2, "seed": 1, "per_class": {"neutral": 2}, "doubts": ["only 2 faces"]},
}


@pytest.fixture
def altered(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny model with another contract."""

    def write(**changed: Any) -> Path:
        model = read_model(tiny)
        write_model(tmp_path / "other.tflite", model.flatbuffer, replace(model.contract, **changed), model.golden)
        return tmp_path / "other.tflite"

    return write


def shown(finished: Finished) -> dict[str, str]:
    """What `info` says, by the name of the row; the recalls' lines are joined to one."""
    assert finished.code == 0, finished.stderr
    rows: dict[str, list[str]] = {}
    for line in finished.stderr.splitlines()[1:]:
        name, value = line[:15].strip(), " ".join(line[15:].split())
        rows.setdefault(name or list(rows)[-1], []).append(value)
    return {name: " | ".join(values) for name, values in rows.items()}


CALIBRATION: dict[str, Any] = {"faces": 50, "seed": 0, "rule": "percentile", "learning": {"epochs": 5}}
GATE: dict[str, Any] = {"rule": "point", "max_drop": 0.003, "failures": ["fear collapsed"], "findings": []}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"recipe": "float16", "metrics": FIGURES, "data": DATA},
            {
                "accuracy": "84.59%; balanced 69.00%",
                "drop": "0.41 points against float32 (85.00%); 95 % interval -0.12 to 0.94",
                "same answer": "98.3%; 12 faces lost and 7 gained (McNemar p 0.36)",
                "gate": "passed: allowed drop 1.00 points; by the interval's upper end; 1,200 are few",
                "recall": " | ".join(
                    [
                        "n float16 points 95 %",
                        "neutral 1,190 88.0% -2.0 -3.1 to -0.9",
                        *(f"{name} 0 - - -" for name in EXPRESSIONS[1:]),
                    ]
                ),
                "trained on": "ours; CC0; 20% held out by person, seed 3; sha256 555555555555",
                "evaluated on": "1,200 testing faces, protocol: majority; theirs; MIT; sha256 777777777777",
                "calibrated": None,  # float16 has no ranges
            },
        ),
        (
            {"recipe": "float32", "metrics": FIGURES, "data": DATA},
            {
                "accuracy": "85.00%; balanced 70.00%; macro-F1 71.00%",
                "recall": " | ".join(
                    ["n float32", "neutral 1,190 90.0%", *(f"{name} 0 -" for name in EXPRESSIONS[1:])]
                ),
                **dict.fromkeys(("drop", "same answer", "gate", "calibrated")),
            },
        ),
        ({"data": DATA}, {"calibrated": "2 training faces, seed 1; neutral 2; only 2 faces"}),
        (
            {"data": {"calibration": CALIBRATION | {"other_faces": {"faces": 40, "same_answer": 0.991}}}},
            {
                "calibrated": "50 training faces, seed 0; ranges by percentile; then fine-tuned for 5 epochs; "
                "99.1% same answer with 40 others"
            },
        ),
        (
            {"metrics": {"gate": GATE | {"passed": False}}},
            {"gate": "FAILED: allowed drop 0.30 points; fear collapsed"},
        ),
    ],
    ids=["float16", "float32", "int8", "other ranges", "gate failed"],
)
def test_info_tells_what_the_recipe_cost_and_the_data_with_terms_and_digest(
    fer_edge: FerEdge, altered: Callable[..., Path], changed: dict[str, Any], told: dict[str, str | None]
) -> None:
    rows = shown(fer_edge("info", altered(**changed)))

    assert {name: rows.get(name) for name in told} == told


def test_info_of_a_model_that_states_nothing(fer_edge: FerEdge, altered: Callable[..., Path]) -> None:
    rows = shown(fer_edge("info", altered(data={}, metrics={}, network={}, made_with={})))

    empty = ["accuracy", "drop", "same answer", "gate", "evaluated on", "recall", "network", "trained on", "calibrated"]
    assert [name for name, told in rows.items() if told == "not stated"] == [*empty, "exported with"]


def test_info_prints_the_complete_contract_as_json(fer_edge: FerEdge, altered: Callable[..., Path]) -> None:
    path = altered(recipe="float16", metrics=FIGURES, data=DATA)

    document = json.loads(fer_edge("info", path, "--json").stdout)

    assert json.loads(json.dumps(asdict(read_model(path).contract))).items() <= document.items()
    assert document["golden_faces"] == 16
    assert document["here"]["numpy"] == np.__version__


def test_info_shows_no_escape_sequence_of_a_contract(fer_edge: FerEdge, altered: Callable[..., Path]) -> None:
    data = {"training": {"name": "\u202eetihw [bold]x[/red]\x9b2J", "licence": ":warning:\r\n\x1b]0;owned\x07"}}
    path = altered(made_with={"[/red]": "\x1b[2J1.0", "huge": "9" * 400}, data=data)

    finished = fer_edge("info", path)

    assert "[/red]  [2J1.0" in finished.stderr
    assert shown(finished)["trained on"] == "etihw [bold]x[/red] 2J; :warning: ]0;owned"
    assert all(sign.isprintable() or sign == "\n" for sign in finished.stderr)


def test_info_cuts_what_has_no_end(fer_edge: FerEdge, altered: Callable[..., Path]) -> None:
    labels = tuple(f"class {number}" for number in range(5000))
    per_class = {label: {"n": 1, "int8": 1.0} for label in labels}
    path = altered(labels=labels, metrics={"per_class": per_class}, data={"training": {"name": "x" * 300_000}})

    finished = fer_edge("info", path)

    assert len(finished.stderr) < 20_000
    assert shown(finished)["trained on"].endswith("x...")
    assert "class 39 " in finished.stderr
    assert "class 40 " not in finished.stderr


@pytest.mark.parametrize(
    "metrics",
    [
        {"int8": {"accuracy": 10**400}, "drop": 0},
        {"int8": [], "drop": [], "per_class": 7, "gate": "passed", "agreement": {}},
        {"int8": {"accuracy": "86 %"}, "drop_interval": [1], "per_class": {"neutral": {"n": "x"}}},
    ],
)
def test_info_shows_figures_that_are_none_as_not_stated(
    fer_edge: FerEdge, altered: Callable[..., Path], metrics: dict[str, Any]
) -> None:
    rows = shown(fer_edge("info", altered(metrics=metrics)))

    assert {rows[name] for name in ("accuracy", "recall", "gate", "same answer")} == {"not stated"}


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

    assert finished.code == 1
    assert finished.stdout == ""
    assert finished.stderr.splitlines()[-1].startswith(
        f"error: {path}: operators that are not built into TFLite: 'FlexErf'; "
    )


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_info_shows_the_contract_of_a_detector(fer_edge: FerEdge, recipe: str) -> None:
    path = BUNDLED_DETECTORS[recipe]

    people, programs = fer_edge("info", path), fer_edge("info", path, "--json")

    rows = shown(people)
    assert rows["detects"] == "faces with boxes and five landmarks, from a score of 0.6"
    assert rows["input"] == "320x256 BGR, or other multiples of 32"
    assert rows["network"] == "yunet, 53,104 parameters, 68,844,800 multiply-accumulates"
    assert rows["file"].startswith(f"{path.stat().st_size / 1e3:,.0f} KB, {recipe}; ")
    assert rows["weights"].startswith("face_detection_yunet_2023mar.onnx (OpenCV Zoo, models/face_detection_yunet); ")
    assert "sha256 8f2383e4dd3c; MIT, Copyright (c) 2020 Shiqi Yu; trained on WIDER FACE" in rows["weights"]
    assert rows.get("calibrated") == ("160 drawn images, seed 0" if recipe == "int8" else None)
    assert "not stated" not in rows.values()
    document = json.loads(programs.stdout)
    assert (document["task"], document["width"], document["height"]) == ("faces", 320, 256)
    assert (document["decoding"], np.shape(document["scale"]), np.shape(document["offset"])) == (
        *("yunet", (3, 16)),
        (3, 16),
    )
    assert document["auto_takes"] == detector_recipe()
    assert document["bytes"] == path.stat().st_size


def test_info_says_which_form_is_used_on_this_processor(fer_edge: FerEdge) -> None:
    told = {shown(fer_edge("info", path))["auto selects"] for path in BUNDLED_DETECTORS.values()}

    assert told == {f"the bundled detector's {detector_recipe()} form on this processor"}


def test_info_of_a_detector_says_what_its_contract_does_not_state(fer_edge: FerEdge, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTORS["int8"])
    contract = replace(model.contract, data={"calibration": "well"}, network={}, made_with={})
    write_detector(tmp_path / "other.tflite", model.flatbuffer, contract, model.golden)

    told = fer_edge("info", tmp_path / "other.tflite").stderr

    assert re.findall(r"(\S.*\S) +not stated", told) == ["network", "weights", "calibrated", "exported with"]


def test_info_without_a_model_shows_all_bundled_ones(fer_edge: FerEdge) -> None:
    people, programs = fer_edge("info"), fer_edge("info", "--json")

    assert people.code == 0
    documents = json.loads(programs.stdout)["models"]
    assert [(Path(one["model"]).name, one["task"]) for one in documents] == [
        ("edge.tflite", "expressions"),
        ("yunet_int8.tflite", "faces"),
        ("yunet_float16.tflite", "faces"),
    ]
    assert all(f"{Path(one['model']).name}\n" in people.stderr for one in documents)
    assert {one["auto_takes"] for one in documents[1:]} == {detector_recipe()}


def test_selftest_without_a_model_repeats_all_bundled_ones(fer_edge: FerEdge) -> None:
    finished = fer_edge("selftest", "--json")

    assert finished.code == 0
    documents = json.loads(finished.stdout)["models"]
    assert [(Path(one["model"]).name, one["passed"]) for one in documents] == [
        ("edge.tflite", True),
        ("yunet_int8.tflite", True),
        ("yunet_float16.tflite", True),
    ]


def test_selftest_of_a_detector_that_answers_otherwise_exits_1(fer_edge: FerEdge, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTORS["int8"])
    golden = replace(model.golden, maps=tuple(one + 10 for one in model.golden.maps))  # and so other faces, too
    write_detector(tmp_path / "other.tflite", model.flatbuffer, model.contract, golden)

    finished = fer_edge("selftest", tmp_path / "other.tflite", "--json")

    assert finished.code == 1
    assert json.loads(finished.stdout)["passed"] is False
    assert "differs from the reference output: network, fast kernels, faces" in finished.stderr.splitlines()[-1]


def test_selftest_passes_and_says_so(fer_edge: FerEdge, tiny: Path) -> None:
    finished = fer_edge("selftest", tiny, "--json")

    assert finished.code == 0
    assert json.loads(finished.stdout)["passed"] is True
    first, *stages = finished.stderr.splitlines()
    assert first == f"{tiny}:"
    assert [line.strip().split(":")[0] for line in stages] == ["crop", "network", "fast kernels"]


def test_selftest_of_a_model_that_answers_otherwise_exits_1(fer_edge: FerEdge, tiny: Path, tmp_path: Path) -> None:
    model = read_model(tiny)
    golden = replace(model.golden, logits=model.golden.logits + 1)
    write_model(tmp_path / "other.tflite", model.flatbuffer, model.contract, golden)

    finished = fer_edge("selftest", tmp_path / "other.tflite", "--json")

    assert finished.code == 1
    assert json.loads(finished.stdout)["passed"] is False
    assert "differs from the reference output: network, fast kernels" in finished.stderr.splitlines()[-1]


def test_selftest_of_a_crop_that_is_cut_otherwise_names_the_crop_alone(
    fer_edge: FerEdge, altered: Callable[..., Path]
) -> None:
    finished = fer_edge("selftest", altered(crop_scale=1.1))

    assert finished.code == 1
    assert "differs from the reference output: crop;" in finished.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["info", "selftest"])
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda content, _: content[:-40], "no fer-edge contract, or truncated; make one: fer-edge export RUN"),
        (lambda content, size: content[:size], "no fer-edge contract, or truncated; "),
        (lambda content, size: content[: size + 60] + b"????" + content[size + 64 :], "its contract is damaged ("),
        (lambda content, _: content[:5000] + b"????" + content[5004:], "the model is damaged (its sha256 differs); "),
        (lambda content, size: content[: size - 64] + content[size:], "the model is damaged (its sha256 differs); "),
    ],
    ids=["cut tail", "no tail", "damaged tail", "damaged network", "shortened network"],
)
def test_a_damaged_file_is_one_clear_line(
    fer_edge: FerEdge, tiny: Path, tmp_path: Path, command: str, damage: Callable[[bytes, int], bytes], told: str
) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(damage(tiny.read_bytes(), len(read_model(tiny).flatbuffer)))

    finished = fer_edge(command, path, "--json")

    assert (finished.code, finished.stdout) == (1, "")
    [line] = finished.stderr.splitlines()
    assert line.startswith(f"error: {path}: {told}")
