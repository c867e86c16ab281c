"""Lines on stdout: what they hold is as the schema says, and they come out whole."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fer_edge
from fer_edge.detection.detector import Landmarks
from fer_edge.imaging.images import write_picture
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks.stdout import StdoutSink, as_json
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Event, Result

SCHEMA = json.loads((Path(fer_edge.__file__).parent / "result.schema.json").read_text())


def result(path: Path | None, fps: float | None = None, index: int = 0, **more: Any) -> Result:
    t = more.pop("t", index / fps if fps else 0.0)
    name = path.name if path else "camera 0"
    return Result(
        Frame(name, index, t, np.zeros((4, 4, 3), np.uint8), 0.0, 0.0, path, fps), more.pop("faces", []), **more
    )


LANDMARKS = ((10.04, 15.06), (22, 16.0), (-0.5, 22.25), (11, 30), (21.9999, 31.25))


def face(label: str = "happiness", number: int | None = 7, landmarks: Landmarks | None = None) -> Face:
    probabilities = {"neutral": 0.2, "happiness": 0.8}
    return Face((1, 2, 30, 40), label, 0.8, probabilities, 0.9, landmarks=landmarks, id=number)


def faults(value: Any, schema: dict[str, Any], place: str = "line") -> Iterator[str]:
    """As much of JSON Schema as ours needs; a keyword that is not known here is a fault, too."""
    if set(schema) == {"$ref"}:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
        "number": (int, float), "null": type(None),
    }  # fmt: skip
    known = {"type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "minimum"}
    if unknown := set(schema) - known - {"maximum", "description", "title", "$schema", "$defs"}:
        yield f"{place}: the schema has {unknown}"
    allowed = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    right = any(isinstance(value, kinds[kind]) for kind in allowed)
    if not right or (isinstance(value, bool) and "boolean" not in allowed):
        yield f"{place} is {value!r}, not {allowed}"
        return
    if isinstance(value, dict):
        yield from (f"{place} lacks {key}" for key in schema.get("required", []) if key not in value)
        for key, part in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if not inner:
                yield f"{place} has {key}"
            else:
                yield from faults(part, inner, f"{place}.{key}")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{place} has {len(value)} items"
        for number, part in enumerate(value):
            yield from faults(part, schema["items"], f"{place}[{number}]")
    elif "minimum" in schema and not schema["minimum"] <= value <= schema.get("maximum", value):
        yield f"{place} is {value}"


EVENTS = [Event(0.5, 7, None, "happiness"), Event(0.5, 3, "neutral", None)]


@pytest.mark.parametrize(
    "line",
    [
        result(Path("a.png")),
        result(Path("a.png"), faces=[face(number=None), face("uncertain", None)]),
        result(None, 10, index=5, faces=[face()], events=EVENTS, ms={"detect": 1.23456, "total": 2}, dropped=3),
        result(None, 10, index=5, faces=[face(landmarks=LANDMARKS), face(number=8)]),
    ],
)
def test_a_json_line_is_as_its_schema_says(line: Result) -> None:
    assert list(faults(json.loads(json.dumps(as_json(line))), SCHEMA)) == []


def test_the_schema_describes_every_part_of_a_line() -> None:
    document = as_json(result(None, 10, index=5, faces=[face()], events=EVENTS))

    assert set(document) == set(SCHEMA["properties"])
    for part in ("faces", "events"):
        assert set(document[part][0]) == set(SCHEMA["properties"][part]["items"]["properties"])


def test_the_landmarks_of_a_face_go_by_their_names_in_tenths_of_a_pixel() -> None:
    with_them, without = as_json(result(None, 10, faces=[face(landmarks=LANDMARKS), face(number=8)]))["faces"]

    assert with_them["landmarks"] == {
        "right_eye": [10.0, 15.1],
        "left_eye": [22, 16.0],
        "nose": [-0.5, 22.2],
        "mouth_right": [11, 30],
        "mouth_left": [22.0, 31.2],
    }
    assert without["landmarks"] is None
    described = SCHEMA["properties"]["faces"]["items"]["properties"]["landmarks"]
    assert list(described["properties"]) == described["required"] == list(with_them["landmarks"])


POINTS = {"right_eye": [1, 2], "left_eye": [3.5, 2], "nose": [2, 3], "mouth_right": [1, 4], "mouth_left": [3, 4]}


@pytest.mark.parametrize(
    ("landmarks", "fault"),
    [
        ({**POINTS, "nose": [1]}, "landmarks.nose has 1 items"),
        ({**POINTS, "nose": [1, 2, 3]}, "landmarks.nose has 3 items"),
        ({**POINTS, "nose": ["1", 2]}, "landmarks.nose[0] is '1', not ['number']"),
        ({**POINTS, "chin": [1, 2]}, "landmarks has chin"),
        ({name: point for name, point in POINTS.items() if name != "nose"}, "landmarks lacks nose"),
        ([[1, 2]] * 5, "not ['object', 'null']"),
    ],
)
def test_the_schema_refuses_what_are_no_landmarks(landmarks: object, fault: str) -> None:
    line = as_json(result(None, 10, faces=[face()]))
    line["faces"][0]["landmarks"] = POINTS
    assert list(faults(line, SCHEMA)) == []
    line["faces"][0]["landmarks"] = landmarks

    (found,) = faults(line, SCHEMA)

    assert fault in found


@pytest.mark.parametrize(
    ("part", "value", "fault"),
    [
        ("t", -1, "line.t is -1"),
        ("frame", 0.5, "line.frame is 0.5, not ['integer']"),
        ("dropped", True, "line.dropped is True, not ['integer']"),
        ("faces", None, "line.faces is None, not ['array']"),
        ("mood", 1, "line has mood"),
        ("events", [{"t": 0, "id": 1, "before": 2, "after": None}], "is 2, not ['string', 'null']"),
    ],
)
def test_the_schema_refuses_what_is_no_line(part: str, value: object, fault: str) -> None:
    (found,) = faults({**as_json(result(None, 10)), part: value}, SCHEMA)

    assert fault in found


def test_lines_on_stdout_are_complete_whatever_their_names(capfd: pytest.CaptureFixture[str]) -> None:
    path = Path(os.fsdecode(b"gr\xff\xc3\xbc\xc3\x9f.png"))  # a name that is not UTF-8

    for kind in (True, False):
        StdoutSink(json=kind).write(result(path))

    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["source"] == path.name
    assert second.endswith("\u00fc\u00df.png: no face")


def test_a_full_disk_behind_stdout_is_told_in_one_line(tiny: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((48, 48, 3), np.uint8))
    arguments = ("run", "-m", tiny, "-s", tmp_path / "a.png", "--detector", "none")
    command = [sys.executable, "-m", "fer_edge", *map(str, arguments)]
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert finished.returncode == 1
    assert finished.stderr == "error: cannot write to standard output: No space left on device\n"


def test_a_line_names_the_detector() -> None:
    assert as_json(result(None, detector="yunet_int8"))["detector"] == "yunet_int8"
