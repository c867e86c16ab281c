"""The model file: a flatbuffer with everything that a device must know about it in a zip behind it.

LiteRT and tflite-runtime ignore what follows the flatbuffer; `unzip -l` and `zipfile` read it. The zip holds

metadata.json   the contract: `fer_edge.contract` for expressions, `fer_edge.detector_contract` for faces
labels.txt      class names in output order, for people (expressions)
golden.npz      rendered pictures with the outputs the workstation got, which `fer-edge selftest` repeats

This module knows bytes, and nothing about what the facts in them mean or about running a network.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DAMAGE, ModelError
from fer_edge.files import sha256, write_bytes

Task = Literal["expressions", "faces"]
FORMAT = "fer-edge-model"
VERSION = 1
MAX_TAIL_MEMBER = 16 << 20
"""Bytes a member of the zip may unpack to: a model file comes from anywhere, and a zip bomb is one line of Python."""

REMEDY = "make one: fer-edge export RUN"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Packed:
    """A model file as it was read: whole, undamaged, of this version."""

    path: Path
    flatbuffer: bytes
    task: Task
    document: dict[str, Any]
    """metadata.json."""
    golden: Arrays


def write_packed(
    path: Path, flatbuffer: bytes, task: Task, document: dict[str, Any], golden: Arrays, labels: tuple[str, ...] = ()
) -> None:
    """Write one file that can be moved alone to a device; the same input gives the same bytes on one machine."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **golden)  # type: ignore[arg-type]  # numpy's stub takes **arrays for its own flag
    header = {
        "format": FORMAT,
        "version": VERSION,
        "task": task,
        "flatbuffer": {"bytes": len(flatbuffer), "sha256": sha256(flatbuffer)},
    }
    members = {"metadata.json": (json.dumps(header | document, indent=1) + "\n").encode()}
    if labels:
        members["labels.txt"] = "".join(f"{label}\n" for label in labels).encode()
    members["golden.npz"] = stream.getvalue()
    whole = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as tail:
        for name, content in members.items():
            tail.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    write_bytes(path, whole.getvalue())


def read_packed(path: Path) -> Packed:
    """Read a model file and check that it is whole.

    Raises:
        ModelError: Missing, no TFLite file, without contract, of a newer version, or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; {REMEDY}") from error
    if not content:
        raise ModelError(f"{path}: the file is empty; copy it again")
    if path.suffix == ".keras" or (content[:4] == b"PK\x03\x04" and path.suffix != ".tflite"):
        raise ModelError(f"{path}: a Keras file runs on the workstation only; {REMEDY}")
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: not a TFLite model; {REMEDY}")
    try:
        return _parse(path, content)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path}: no fer-edge contract in it, or cut short; {REMEDY}") from error
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ModelError:
    """The error for a contract whose facts are not what they should be."""
    return ModelError(f"{path}: its contract is damaged ({error}); copy it again, or {REMEDY}")


def _parse(path: Path, content: bytes) -> Packed:
    with zipfile.ZipFile(io.BytesIO(content)) as tail:
        if "metadata.json" not in tail.namelist():
            raise ModelError(f"{path}: no fer-edge contract in it; {REMEDY}")
        document = json.loads(_member(path, tail, "metadata.json"))
        if document.get("format") != FORMAT:
            raise ModelError(f"{path}: no fer-edge contract in it; {REMEDY}")
        if document["version"] != VERSION:
            raise ModelError(
                f"{path}: contract version {document['version']}, this fer-edge reads {VERSION}; "
                "update fer-edge, or export the model again"
            )
        golden = _read_golden(path, _member(path, tail, "golden.npz"))
    flatbuffer = content[: document["flatbuffer"]["bytes"]]
    if sha256(flatbuffer) != document["flatbuffer"]["sha256"]:
        raise ModelError(f"{path}: the model is damaged (its sha256 differs); copy it again, or {REMEDY}")
    task: Task = "faces" if document.get("task") == "faces" else "expressions"
    return Packed(path, flatbuffer, task, document, golden)


def _member(path: Path, tail: zipfile.ZipFile, name: str) -> bytes:
    if tail.getinfo(name).file_size > MAX_TAIL_MEMBER:
        raise ModelError(f"{path}: {name} unpacks to more than {MAX_TAIL_MEMBER >> 20} MB; {REMEDY}")
    return tail.read(name)


def _read_golden(path: Path, content: bytes) -> Arrays:
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        for member in members.infolist():
            _member(path, members, member.filename)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
