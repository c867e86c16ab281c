"""The model file: a flatbuffer with everything that a device must know about it in a zip behind it.

LiteRT and tflite-runtime ignore what follows the flatbuffer; `unzip -l` and `zipfile` read it. The zip holds

metadata.json   the contract below
labels.txt      class names in output order, for people
golden.npz      rendered faces with the outputs the workstation got, which `fer-edge selftest` repeats

This module knows bytes and facts, and nothing about running a network.
"""

import io
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.files import sha256, write_bytes
from fer_edge.images import Pixels

FORMAT = "fer-edge-model"
VERSION = 1
CROP_RULE = "square around the box, border replicated, area down, linear up, grey BT.601"
MAX_TAIL_MEMBER = 16 << 20
"""Bytes a member of the zip may unpack to: a model file comes from anywhere, and a zip bomb is one line of Python."""

REMEDY = "make one: fer-edge export RUN"


@dataclass(frozen=True)
class Contract:
    """What a model promises and what it asks for; `metadata.json` is this, field by field."""

    labels: tuple[str, ...]
    """Class names in output order."""
    size: int
    """Side of the input in pixels; the input is (1, size, size, 1) grey."""
    recipe: str
    """int8: uint8 pixels in at scale 1/255, int8 logits out. float32: grey in [0, 1] in, float logits out."""
    crop_scale: float = 1.0
    """Side of the crop over the longer side of the face box (`fer_edge.crop`)."""
    temperature: float = 1.0
    """Divides the logits before the softmax; fitted on validation faces."""
    uncertain_below: float = 0.4
    """A best score below this is answered with "uncertain"."""
    network: dict[str, Any] = field(default_factory=dict)
    """Name, parameters, multiply-accumulates."""
    data: dict[str, Any] = field(default_factory=dict)
    """Data sets with digest, licence, split and seed (`FaceSet.source`), and the calibration faces."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures of the float and the int8 model on the held-out faces."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made the file."""

    def to_json(self, flatbuffer: bytes) -> str:
        """Write the contract of `flatbuffer` as metadata.json."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "output": "logits",
            "crop_rule": CROP_RULE,
            "flatbuffer": {"bytes": len(flatbuffer), "sha256": sha256(flatbuffer)},
            **asdict(self),
        }
        return json.dumps(document, indent=1) + "\n"


@dataclass(frozen=True)
class Golden:
    """Rendered faces and what the workstation made of them, stage by stage."""

    frames: Pixels
    """(n, height, width, 3) uint8 BGR."""
    boxes: npt.NDArray[np.float32]
    """(n, 4): x, y, w, h of the face box in each frame."""
    pixels: Pixels
    """(n, size, size) uint8: the crops."""
    logits: npt.NDArray[np.float32]
    """(n, classes): the outputs."""


@dataclass(frozen=True)
class ModelFile:
    """A model with its contract, read and checked."""

    path: Path
    flatbuffer: bytes
    contract: Contract
    golden: Golden


def write_model(path: Path, flatbuffer: bytes, contract: Contract, golden: Golden) -> None:
    """Write one file that can be moved alone to a device; the same input gives the same bytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, frames=golden.frames, boxes=golden.boxes, pixels=golden.pixels, logits=golden.logits)
    members = {
        "metadata.json": contract.to_json(flatbuffer).encode(),
        "labels.txt": "".join(f"{label}\n" for label in contract.labels).encode(),
        "golden.npz": stream.getvalue(),
    }
    whole = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as tail:
        for name, content in members.items():
            tail.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    write_bytes(path, whole.getvalue())


def read_model(path: Path) -> ModelFile:
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
    except (KeyError, ValueError, TypeError, AttributeError, EOFError, OSError, zlib.error) as error:
        raise ModelError(f"{path}: its contract is damaged ({error}); copy it again, or {REMEDY}") from error


def _parse(path: Path, content: bytes) -> ModelFile:
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
    contract = Contract(
        labels=tuple(str(label) for label in document["labels"]),
        size=int(document["size"]),
        recipe=str(document["recipe"]),
        crop_scale=float(document["crop_scale"]),
        temperature=float(document["temperature"]),
        uncertain_below=float(document["uncertain_below"]),
        network=dict(document["network"]),
        data=dict(document["data"]),
        metrics=dict(document["metrics"]),
        made_with=dict(document["made_with"]),
    )
    return ModelFile(path, flatbuffer, contract, golden)


def _member(path: Path, tail: zipfile.ZipFile, name: str) -> bytes:
    if tail.getinfo(name).file_size > MAX_TAIL_MEMBER:
        raise ModelError(f"{path}: {name} unpacks to more than {MAX_TAIL_MEMBER >> 20} MB; {REMEDY}")
    return tail.read(name)


def _read_golden(path: Path, content: bytes) -> Golden:
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        for member in members.infolist():
            _member(path, members, member.filename)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Golden(arrays["frames"], arrays["boxes"], arrays["pixels"], arrays["logits"])
