"""The contract of an expression model: what it promises and what it asks for."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DAMAGE, ModelError
from fer_edge.imaging.images import InputColour, Pixels, face_shape
from fer_edge.model.package import (
    Arrays,
    Packed,
    array,
    damaged,
    facts,
    integer,
    number,
    pictures,
    read_packed,
    text,
    write_packed,
)

CROP_RULE: dict[InputColour, str] = {
    "grey": "square around the box, turned with the eyes, border replicated, area down, linear up, grey BT.601",
    "rgb": "square around the box, turned with the eyes, border replicated, area down, linear up, RGB",
}
LARGEST_SIZE = 4096
"""Pixels of the input's side: a network for crops takes far fewer."""
CROP_SCALES = 0.1, 10.0
"""Between these lies the crop's side over the face box's: beyond them there is no face to see."""
TEMPERATURES = 1e-3, 1e3
"""Between these lies what the logits are divided by."""


@dataclass(frozen=True)
class Contract:
    """What a model promises and what it asks for; `metadata.json` is this, field by field."""

    labels: tuple[str, ...]
    """Class names in output order."""
    size: int
    """Side of the input in pixels; the input is (1, size, size, 1) grey, or (1, size, size, 3) RGB."""
    recipe: str
    """int8: uint8 pixels in at scale 1/255, int8 logits out. int16x8: int16 both. Others: floats, pixels in [0, 1]."""
    colour: InputColour = "grey"
    """What the network looks at; a file that does not say was made before there was a choice."""
    crop_scale: float = 1.0
    """Side of the crop over the longer side of the face box (`fer_edge.imaging.crop`)."""
    temperature: float = 1.0
    """Divides the logits before the softmax; fitted on validation faces."""
    uncertain_below: float = 0.4
    """A best score below this is answered with "uncertain"."""
    network: dict[str, Any] = field(default_factory=dict)
    """Name, parameters, multiply-accumulates."""
    data: dict[str, Any] = field(default_factory=dict)
    """Data sets with digest, licence, split and seed (`FaceSet.source`), and the calibration faces."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures of the float and the int8 model on the held-out faces, and what the gate said."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made the file."""

    @property
    def face_shape(self) -> tuple[int, ...]:
        """Shape of one face's pixels: (size, size) grey, or (size, size, 3) RGB."""
        return face_shape(self.size, self.colour)


@dataclass(frozen=True)
class Golden:
    """Rendered faces and what the workstation made of them, stage by stage."""

    frames: Pixels
    """(n, height, width, 3) uint8 BGR."""
    boxes: npt.NDArray[np.float32]
    """(n, 4): x, y, w, h of the face box in each frame."""
    pixels: Pixels
    """(n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB: the crops."""
    logits: npt.NDArray[np.float32]
    """(n, classes): the outputs."""


@dataclass(frozen=True)
class Model:
    """A network with its contract."""

    path: Path
    """Where it lies, or will lie; stands for it in messages."""
    flatbuffer: bytes
    contract: Contract


@dataclass(frozen=True)
class ModelFile(Model):
    """A model as its file holds it, read and checked."""

    golden: Golden


def write_model(path: Path, flatbuffer: bytes, contract: Contract, golden: Golden) -> None:
    """Write one file that can be moved alone to a device (`fer_edge.model.package`)."""
    document = {"output": "logits", "crop_rule": CROP_RULE[contract.colour], **asdict(contract)}
    arrays: Arrays = {"frames": golden.frames, "boxes": golden.boxes, "pixels": golden.pixels, "logits": golden.logits}
    write_packed(path, flatbuffer, "expressions", document, arrays, contract.labels)


def read_model(path: Path) -> ModelFile:
    """Read an expression model and check that it is whole.

    Raises:
        ModelError: Missing, no TFLite file, without contract, of a newer version, damaged, or a face detector.
    """
    return as_model(read_packed(path))


def as_model(packed: Packed) -> ModelFile:
    """Read the contract of an expression model.

    Raises:
        ModelError: It is damaged, or a face detector's.
    """
    path, document, golden = packed.path, packed.document, packed.golden
    if packed.task != "expressions":
        raise ModelError(
            f"{path}: finds faces and names no expressions; give it as --detector-model {quote(str(path))}"
        )
    try:
        contract = Contract(
            labels=_labels(document),
            size=integer(document, "size", 1, LARGEST_SIZE),
            recipe=text(document, "recipe"),
            colour=_colour(document),
            crop_scale=number(document, "crop_scale", *CROP_SCALES),
            temperature=number(document, "temperature", *TEMPERATURES),
            uncertain_below=number(document, "uncertain_below", 0, 1),
            network=facts(document, "network"),
            data=facts(document, "data"),
            metrics=facts(document, "metrics"),
            made_with=facts(document, "made_with"),
        )
        vectors = Golden(
            pictures(golden),
            array(golden, "boxes", np.float32, 2),
            array(golden, "pixels", np.uint8, 1 + len(contract.face_shape)),
            array(golden, "logits", np.float32, 2),
        )
    except DAMAGE as error:
        raise damaged(path, error) from error
    return ModelFile(path, packed.flatbuffer, contract, vectors)


def _labels(document: dict[str, Any]) -> tuple[str, ...]:
    labels = document.get("labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError("labels is not a list of names")
    if len(set(labels)) < len(labels) or not all(label.isprintable() and label.strip() for label in labels):
        raise ValueError("labels are not names that differ and can be printed")
    return tuple(labels)


def _colour(document: dict[str, Any]) -> InputColour:
    colour = text(document, "colour") if "colour" in document else "grey"
    if colour == "grey":
        return "grey"
    if colour == "rgb":
        return "rgb"
    raise ValueError(f"colour is {colour[:20]!r}, neither 'grey' nor 'rgb'")
