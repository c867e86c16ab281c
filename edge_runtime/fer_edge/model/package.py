"""The model file: a flatbuffer followed by a zip with its metadata.

LiteRT and tflite-runtime ignore what follows the flatbuffer; `unzip -l` and `zipfile` read it. The zip contains

metadata.json   the contract: `model.contract` for expressions, `detection.detector_contract` for faces
labels.txt      class names in output order, for the user (expressions)
golden.npz      rendered images with reference outputs, which `fer-edge selftest` reproduces

This module handles the file format only, not the meaning of its fields or inference.
"""

import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DAMAGE, ModelError, one_line
from fer_edge.files import sha256, write_bytes
from fer_edge.model.operators import refuse_custom

Task = Literal["expressions", "faces"]
FORMAT = "fer-edge-model"
VERSION = 1
MAX_FILE = 512 << 20
"""Maximum bytes of a model file."""
MAX_TAIL_MEMBER = 16 << 20
"""Maximum unpacked bytes of golden.npz, and of its arrays together: protection against zip bombs."""
MAX_METADATA = 1 << 20
"""Maximum unpacked bytes of metadata.json."""
DEEPEST = 32
"""Maximum nesting of lists and objects in metadata.json, which is processed recursively."""
LARGEST_GOLDEN = 1e6
"""Upper limit of the numbers in golden vectors, small enough that nothing computed from them overflows."""

REMEDY = "make one: fer-edge export RUN"
REMEDY_OTHERS = f"{REMEDY}, or of a network of others: fer-edge export FILE.keras --data SET.npz"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Packed:
    """A validated model file of this version."""

    path: Path
    flatbuffer: bytes
    task: Task
    document: dict[str, Any]
    """metadata.json."""
    golden: Arrays


def write_packed(
    path: Path, flatbuffer: bytes, task: Task, document: dict[str, Any], golden: Arrays, labels: tuple[str, ...] = ()
) -> None:
    """Write a self-contained model file; the same input gives the same bytes on one machine."""
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
    packed = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as tail:
        for name, content in members.items():
            tail.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    write_bytes(path, packed.getvalue())


def read_packed(path: Path) -> Packed:
    """Read a model file and check its integrity.

    Raises:
        ModelError: Missing, not a TFLite file, without contract, of a newer version, or damaged.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # reading a named pipe would block forever
            raise ModelError(f"{path}: neither a file nor a folder; {REMEDY}")
        if path.stat().st_size > MAX_FILE:
            raise ModelError(f"{path}: larger than {MAX_FILE >> 20} MB; {REMEDY}")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; {REMEDY}") from error
    if not content:
        raise ModelError(f"{path}: the file is empty; copy it again")
    if path.suffix == ".keras" or (content[:4] == b"PK\x03\x04" and path.suffix != ".tflite"):
        raise ModelError(f"{path}: a Keras file, which only a workstation can run; {REMEDY}")
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: not a TFLite model; {REMEDY}")
    try:
        return _parse(path, content)
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(io.BytesIO(content)):
            raise damaged(path, error) from error
        raise ModelError(f"{path}: no fer-edge contract, or truncated; {REMEDY_OTHERS}") from error
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> ModelError:
    """Return the error for an invalid contract."""
    return ModelError(f"{path}: its contract is damaged ({one_line(error)}); copy it again, or {REMEDY}")


def text(document: dict[str, Any], name: str) -> str:
    """Get a string from metadata.json.

    Raises:
        ValueError: It is missing or of another type.
    """
    value = document.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_abbreviate(value)}, not a string")
    return value


def number(document: dict[str, Any], name: str, least: float, most: float) -> float:
    """Get a number from `least` to `most` from metadata.json.

    Raises:
        ValueError: It is missing, out of range, or of another type.
    """
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} is {_abbreviate(value)}, not a number from {least:g} to {most:g}")
    return float(value)


def integer(document: dict[str, Any], name: str, least: int, most: int) -> int:
    """Get an integer from `least` to `most` from metadata.json.

    Raises:
        ValueError: It is missing, out of range, or of another type.
    """
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is {_abbreviate(value)}, not an integer from {least} to {most}")
    return value


def facts(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Get an object from metadata.json.

    Raises:
        ValueError: It is missing or of another type.
    """
    value = document.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {_abbreviate(value)}, not an object")
    return value


def array(golden: Arrays, name: str, kind: type[np.generic], axes: int) -> npt.NDArray[Any]:
    """Get an array of dtype `kind` with `axes` dimensions from the golden vectors.

    Raises:
        ValueError: It is missing, of another dtype or shape, or holds NaN or too large numbers.
    """
    if name not in golden:
        raise ValueError(f"golden.npz has no {name}")
    values = golden[name]
    if values.dtype != kind or values.ndim != axes:
        wanted = f"not {axes}-dimensional {np.dtype(kind).name}"
        raise ValueError(f"golden {name} of {_abbreviate(values.shape)} {values.dtype.name}, {wanted}")
    if not (np.abs(values) < LARGEST_GOLDEN).all():  # false for NaN too
        raise ValueError(f"golden {name}: NaN or numbers beyond {LARGEST_GOLDEN:g}")
    return values


def pictures(golden: Arrays) -> npt.NDArray[np.uint8]:
    """Get the frames from the golden vectors: (n, height, width, 3) uint8.

    Raises:
        ValueError: They are missing or not images.
    """
    frames = array(golden, "frames", np.uint8, 4)
    if frames.shape[3] != 3 or 0 in frames.shape[1:3]:
        raise ValueError(f"golden frames of shape {_abbreviate(frames.shape)}")
    return frames


def _abbreviate(value: Any) -> str:
    """Format any value from a file in a few characters."""
    short = isinstance(value, (str, float, tuple, type(None))) or (isinstance(value, int) and abs(value) < 10**15)
    return repr(value)[:60] if short else f"a {type(value).__name__}"


def _parse(path: Path, content: bytes) -> Packed:
    with zipfile.ZipFile(io.BytesIO(content)) as tail:
        if "metadata.json" not in tail.namelist():
            raise ModelError(f"{path}: no fer-edge contract; {REMEDY_OTHERS}")
        document = _read_json(_member(path, tail, "metadata.json", MAX_METADATA))
        if document.get("format") != FORMAT:
            raise ModelError(f"{path}: no fer-edge contract; {REMEDY_OTHERS}")
        version = integer(document, "version", 1, 1_000_000)
        if version != VERSION:
            raise ModelError(
                f"{path}: contract version {version}, this fer-edge reads {VERSION}; "
                "update fer-edge, or export the model again"
            )
        golden = _read_golden(path, _member(path, tail, "golden.npz", MAX_TAIL_MEMBER))
    stated = facts(document, "flatbuffer")
    flatbuffer = content[: integer(stated, "bytes", 0, len(content))]
    if sha256(flatbuffer) != stated.get("sha256"):
        raise ModelError(f"{path}: the model is damaged (its sha256 differs); copy it again, or {REMEDY}")
    refuse_custom(path, flatbuffer)
    task: Task = "faces" if document.get("task") == "faces" else "expressions"
    return Packed(path, flatbuffer, task, document, golden)


def _member(path: Path, tail: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Unpack a member of at most `most` bytes."""
    member = tail.getinfo(name)
    if member.file_size > most:
        raise ModelError(f"{path}: {name} unpacks to more than {most >> 20} MB; {REMEDY}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA may need gigabytes
        raise ValueError(f"{name} uses compression method {member.compress_type}, not stored or deflated")
    return tail.read(member)


def _read_json(content: bytes) -> dict[str, Any]:
    document = json.loads(content, parse_constant=_finite, parse_float=_finite)
    _require_valid(document)
    if not isinstance(document, dict):
        raise ValueError(f"metadata.json holds {_abbreviate(document)}, not an object")
    return document


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{digits[:20]} is not finite")
    return value


def _require_valid(value: Any, depth: int = 0) -> None:
    """Check that strings are valid Unicode and that the nesting is limited."""
    if depth > DEEPEST:
        raise ValueError(f"lists and objects nested deeper than {DEEPEST}")
    if isinstance(value, str):
        value.encode()  # JSON may hold a lone surrogate
    for part in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_valid(part, depth + 1)


def _read_golden(path: Path, content: bytes) -> Arrays:
    """Read arrays as `numpy.savez` writes them, and no other format that numpy reads."""
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        if sum(member.file_size for member in members.infolist()) > MAX_TAIL_MEMBER:
            raise ModelError(f"{path}: golden.npz unpacks to more than {MAX_TAIL_MEMBER >> 20} MB; {REMEDY}")
        names = [name for name in members.namelist() if name.endswith(".npy")]
        return {name.removesuffix(".npy"): _read_array(_member(path, members, name, MAX_TAIL_MEMBER)) for name in names}


def _read_array(content: bytes) -> npt.NDArray[Any]:
    """Read a .npy file of numbers; numpy's own reader would allocate whatever its header says."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array whose format version is not 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    count = math.prod(shape)
    if dtype.kind not in "uif" or min(shape, default=0) < 0 or stream.tell() + count * dtype.itemsize != len(content):
        raise ValueError(f"an array that is not {_abbreviate(shape)} numbers")
    return np.frombuffer(content, dtype, count, stream.tell()).reshape(shape, order="F" if fortran_order else "C")
