import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.contract import read_model, write_model
from fer_edge.errors import ModelError
from fer_edge.labels import EXPRESSIONS
from fer_edge.model_file import MAX_TAIL_MEMBER


def with_metadata(tiny: Path, path: Path, **changed: Any) -> Path:
    """Copy the tiny model with some fields of its metadata.json changed."""
    content = tiny.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as tail:
        members = {name: tail.read(name) for name in tail.namelist()}
    document = json.loads(members["metadata.json"]) | changed
    members["metadata.json"] = json.dumps(document).encode()
    stream = io.BytesIO(content[: document["flatbuffer"]["bytes"]])
    with zipfile.ZipFile(stream, "a") as tail:
        for name, member in members.items():
            tail.writestr(name, member)
    path.write_bytes(stream.getvalue())
    return path


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
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"just some text\n", "not a TFLite model"),
        (b"PK\x03\x04 and so on", "not a TFLite model"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.tflite").write_bytes(content)

    with pytest.raises(ModelError, match=complaint):
        read_model(tmp_path / "a.tflite")


def test_a_keras_file_is_sent_to_export(tmp_path: Path) -> None:
    (tmp_path / "best.keras").write_bytes(b"PK\x03\x04")

    with pytest.raises(ModelError, match="runs on the workstation only; make one: fer-edge export RUN"):
        read_model(tmp_path / "best.keras")


def test_a_model_without_contract_is_refused_with_the_command_that_makes_one(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "bare.tflite").write_bytes(read_model(tiny).flatbuffer)

    with pytest.raises(ModelError, match=r"no fer-edge contract in it.*fer-edge export RUN"):
        read_model(tmp_path / "bare.tflite")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_model_cut_short_is_refused(tmp_path: Path, tiny: Path, share: float) -> None:
    content = tiny.read_bytes()
    (tmp_path / "short.tflite").write_bytes(content[: int(share * len(content))])

    with pytest.raises(ModelError, match="cut short"):
        read_model(tmp_path / "short.tflite")


def test_one_wrong_byte_in_the_network_is_noticed(tmp_path: Path, tiny: Path) -> None:
    content = bytearray(tiny.read_bytes())
    content[1000] ^= 1
    (tmp_path / "bad.tflite").write_bytes(content)

    with pytest.raises(ModelError, match="its sha256 differs"):
        read_model(tmp_path / "bad.tflite")


def test_a_newer_contract_asks_for_a_newer_fer_edge(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(ModelError, match="contract version 2, this fer-edge reads 1"):
        read_model(with_metadata(tiny, tmp_path / "new.tflite", version=2))


@pytest.mark.parametrize("changed", [{"labels": 5}, {"size": "wide"}, {"flatbuffer": 3}, {"crop_scale": None}])
def test_a_damaged_contract_is_refused(tmp_path: Path, tiny: Path, changed: dict[str, Any]) -> None:
    path = tmp_path / "bad.tflite"
    if "flatbuffer" in changed:
        with_metadata(tiny, path)
        content = path.read_bytes().replace(b'"flatbuffer": {', b'"flatbuffer_": {')
        path.write_bytes(content)
    else:
        with_metadata(tiny, path, **changed)

    with pytest.raises(ModelError, match=r"its contract is damaged|cut short"):
        read_model(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, tiny: Path) -> None:
    stream = io.BytesIO(read_model(tiny).flatbuffer)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as tail:
        tail.writestr("metadata.json", b" " * (MAX_TAIL_MEMBER + 1))
    (tmp_path / "bomb.tflite").write_bytes(stream.getvalue())

    with pytest.raises(ModelError, match="unpacks to more than 16 MB"):
        read_model(tmp_path / "bomb.tflite")


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file or directory; make one"):
        read_model(tmp_path / "none.tflite")
