import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import ModelError
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import CROP_RULE, read_model, write_model
from fer_edge.model.package import MAX_FILE, MAX_METADATA


def repacked(path: Path) -> dict[str, bytes]:
    """Members of a model file's tail."""
    with zipfile.ZipFile(path) as tail:
        return {name: tail.read(name) for name in tail.namelist()}


def with_members(tiny: Path, path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Put another tail behind the tiny model's flatbuffer."""
    stream = io.BytesIO(read_model(tiny).flatbuffer)
    with zipfile.ZipFile(stream, "a", method) as tail:
        for name, member in members.items():
            tail.writestr(name, member)
    path.write_bytes(stream.getvalue())
    return path


def with_metadata(tiny: Path, path: Path, **changed: Any) -> Path:
    """Copy the tiny model with some fields of its metadata.json changed."""
    members = repacked(tiny)
    members["metadata.json"] = json.dumps(json.loads(members["metadata.json"]) | changed).encode()
    return with_members(tiny, path, members)


def test_what_was_written_is_read(tmp_path: Path, tiny: Path) -> None:
    model = read_model(tiny)
    contract = replace(model.contract, temperature=1.25, uncertain_below=0.5, metrics={"int8": {"accuracy": 0.9}})
    write_model(tmp_path / "copy.tflite", model.flatbuffer, contract, model.golden)

    copy = read_model(tmp_path / "copy.tflite")

    assert copy.contract == contract
    assert copy.flatbuffer == model.flatbuffer
    np.testing.assert_array_equal(copy.golden.logits, model.golden.logits)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, tiny: Path) -> None:
    """Not compared with the committed file: another machine's zlib may pack the same members into other bytes."""
    model = read_model(tiny)
    for name in ("one.tflite", "two.tflite"):
        write_model(tmp_path / name, model.flatbuffer, model.contract, model.golden)

    assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.tflite") as tail:
        assert {member.date_time for member in tail.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_unzip_lists_the_tail(tiny: Path) -> None:
    names = zipfile.ZipFile(tiny).namelist()

    assert names == ["metadata.json", "labels.txt", "golden.npz"]
    assert zipfile.ZipFile(tiny).read("labels.txt").decode().split() == list(EXPRESSIONS)


def test_the_tiny_model_stays_tiny(tiny: Path) -> None:
    assert tiny.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("name", "make", "complaint"),
    [
        ("a.tflite", lambda path: path.touch(), "the file is empty"),
        ("a.tflite", lambda path: path.write_bytes(b"just some text\n"), "not a TFLite model"),
        ("a.tflite", lambda path: path.write_bytes(b"PK\x03\x04 and so on"), "not a TFLite model"),
        ("a.tflite", os.mkfifo, "neither a file nor a folder"),
        ("a.tflite", lambda path: (path.touch(), os.truncate(path, MAX_FILE + 1)), "larger than 512 MB"),
        ("none.tflite", lambda path: None, "No such file or directory; make one"),
        (
            "best.keras",
            lambda path: path.write_bytes(b"PK\x03\x04"),
            "which only a workstation can run; make one: fer-edge export",
        ),
    ],
    ids=["empty", "text", "zip", "pipe", "huge", "missing", "keras"],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, make: Callable[[Path], Any], complaint: str) -> None:
    make(tmp_path / name)

    with pytest.raises(ModelError, match=complaint):
        read_model(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_model_cut_short_is_refused(tmp_path: Path, tiny: Path, share: float) -> None:
    content = tiny.read_bytes()
    (tmp_path / "short.tflite").write_bytes(content[: int(share * len(content))])

    with pytest.raises(ModelError, match="truncated"):
        read_model(tmp_path / "short.tflite")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"labels": 5}, "labels is not a list of names"),
        ({"labels": "neutral"}, "labels is not a list of names"),
        ({"labels": []}, "labels is not a list of names"),
        ({"labels": ["a", 1]}, "labels is not a list of names"),
        ({"labels": ["a", "a"]}, "labels are not distinct printable names"),
        ({"labels": ["a", "\x1b[2J"]}, "labels are not distinct printable names"),
        ({"size": -48}, "size is -48, not an integer from 1 to 4096"),
        ({"size": 10**400}, "size is a int, not an integer"),
        ({"size": 48.5}, "size is 48.5, not an integer"),
        ({"size": "wide"}, "size is 'wide', not an integer"),
        ({"size": True}, "size is True, not an integer"),
        ({"crop_scale": 0}, "crop_scale is 0, not a number from 0.1 to 10"),
        ({"crop_scale": None}, "crop_scale is None, not a number"),
        ({"crop_scale": float("nan")}, "NaN is not finite"),
        ({"metrics": {"accuracy": float("inf")}}, "Infinity is not finite"),
        ({"temperature": "warm"}, "temperature is 'warm', not a number"),
        ({"uncertain_below": 40}, "uncertain_below is 40, not a number from 0 to 1"),
        ({"recipe": None}, "recipe is None, not a string"),
        ({"colour": "bgr"}, "colour is 'bgr', neither 'grey' nor 'rgb'"),
        ({"colour": "RGB"}, "colour is 'RGB', neither"),
        ({"colour": None}, "colour is None, not a string"),
        ({"colour": ["rgb"]}, "colour is a list, not a string"),
        ({"colour": "rgb"}, "golden pixels of (16, 32, 32) uint8, not 4-dimensional"),
        ({"network": ["edge"]}, "network is a list, not an object"),
        ({"data": {"name": "\ud800"}}, "surrogates not allowed"),
        ({"version": "1"}, "version is '1', not an integer"),
        ({"flatbuffer": 3}, "flatbuffer is 3, not an object"),
        ({"flatbuffer": {"bytes": 1 << 40, "sha256": ""}}, "bytes is 1099511627776, not an integer"),
    ],
    ids=str,
)
def test_a_fact_of_the_wrong_kind_is_named(tmp_path: Path, tiny: Path, changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_model(with_metadata(tiny, tmp_path / "bad.tflite", **changed))

    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'bad.tflite'}: its contract is damaged (")
    assert complaint in line
    assert "\n" not in line


def test_a_file_that_says_nothing_of_colour_is_grey(tmp_path: Path, tiny: Path) -> None:
    """So are all that were made before there was a choice."""
    members = repacked(with_metadata(tiny, tmp_path / "grey.tflite", colour="grey"))
    document = json.loads(members["metadata.json"])
    del document["colour"]
    members["metadata.json"] = json.dumps(document).encode()

    older = read_model(with_members(tiny, tmp_path / "older.tflite", members))

    assert older.contract == read_model(tmp_path / "grey.tflite").contract
    assert older.contract.colour == "grey"


def test_a_grey_file_has_one_more_fact_than_it_had_before(tmp_path: Path, tiny: Path) -> None:
    model = read_model(tiny)
    write_model(tmp_path / "copy.tflite", model.flatbuffer, model.contract, model.golden)
    before, after = (json.loads(repacked(path)["metadata.json"]) for path in (tiny, tmp_path / "copy.tflite"))

    assert after == {**before, "task": "expressions", "colour": "grey", "crop_rule": CROP_RULE["grey"]}


@pytest.mark.parametrize("depth", [40, 900, 10_000])
def test_facts_within_facts_without_end_are_refused(tmp_path: Path, tiny: Path, depth: int) -> None:
    path = with_metadata(tiny, tmp_path / "deep.tflite", data="DEEP")
    members = repacked(path)
    members["metadata.json"] = members["metadata.json"].replace(b'"DEEP"', b"[" * depth + b"]" * depth)

    with pytest.raises(
        ModelError, match=r"its contract is damaged \((lists and objects nested deeper than 32|maximum recursion depth)"
    ):
        read_model(with_members(tiny, path, members))


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("frames", np.zeros((16, 64, 56, 1), np.uint8), r"golden frames of shape \(16, 64, 56, 1\)"),
        ("frames", np.zeros((16, 0, 56, 3), np.uint8), r"golden frames of shape \(16, 0, 56, 3\)"),
        ("frames", np.zeros((16, 64, 56, 3), np.int64), "int64, not 4-dimensional uint8"),
        ("boxes", np.full((16, 4), np.nan, np.float32), "golden boxes: NaN"),
        ("logits", np.full((16, 8), 1e30, np.float32), "beyond 1e"),
        ("logits", np.zeros((16, 8), ">f4"), "not 2-dimensional float32"),
        ("logits", np.zeros(16, np.float32), "not 2-dimensional float32"),
        ("logits", np.array([{}], object), "Object arrays|an array that is not"),
        ("pixels", np.array(["a"]), "an array that is not"),
        ("pixels", None, "golden.npz has no pixels"),
    ],
)
def test_a_golden_array_of_the_wrong_kind_is_named(
    tmp_path: Path, tiny: Path, name: str, values: Any, complaint: str
) -> None:
    members = repacked(tiny)
    arrays = dict(np.load(io.BytesIO(members["golden.npz"]))) | {name: values}
    stream = io.BytesIO()
    np.savez(stream, **{key: array for key, array in arrays.items() if array is not None})

    with pytest.raises(ModelError, match=rf"its contract is damaged \(.*({complaint})"):
        read_model(with_members(tiny, tmp_path / "bad.tflite", members | {"golden.npz": stream.getvalue()}))


def test_golden_arrays_that_are_together_too_large_are_not_unpacked(tmp_path: Path, tiny: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **{f"part{number}": np.zeros(3 << 20, np.uint8) for number in range(6)})

    with pytest.raises(ModelError, match=r"golden.npz unpacks to more than 16 MB"):
        read_model(with_members(tiny, tmp_path / "a.tflite", repacked(tiny) | {"golden.npz": stream.getvalue()}))


def test_an_array_that_promises_more_than_there_is_makes_no_room_for_it(tmp_path: Path, tiny: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as members:
        members.writestr("frames.npy", b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(100))

    with pytest.raises(ModelError, match=r"an array that is not \(1000000000000,\) numbers"):
        read_model(with_members(tiny, tmp_path / "a.tflite", repacked(tiny) | {"golden.npz": stream.getvalue()}))


@pytest.mark.parametrize("name", ["metadata.json", "golden.npz"])
def test_one_wrong_byte_in_the_tail_is_noticed(tmp_path: Path, tiny: Path, name: str) -> None:
    with zipfile.ZipFile(tiny) as tail:
        place = tail.getinfo(name).header_offset + 30 + len(name) + 200
    content = bytearray(tiny.read_bytes())
    content[place] ^= 1
    (tmp_path / "bad.tflite").write_bytes(content)

    with pytest.raises(ModelError, match=r"bad\.tflite: its contract is damaged \(.+\); copy it again"):
        read_model(tmp_path / "bad.tflite")


def test_a_tail_packed_otherwise_is_refused(tmp_path: Path, tiny: Path) -> None:
    path = with_members(tiny, tmp_path / "a.tflite", repacked(tiny), zipfile.ZIP_LZMA)

    with pytest.raises(ModelError, match=r"metadata\.json uses compression method 14"):
        read_model(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, tiny: Path) -> None:
    path = with_members(tiny, tmp_path / "a.tflite", {"metadata.json": b" " * (MAX_METADATA + 1)}, zipfile.ZIP_DEFLATED)

    with pytest.raises(ModelError, match=r"metadata.json unpacks to more than 1 MB"):
        read_model(path)
