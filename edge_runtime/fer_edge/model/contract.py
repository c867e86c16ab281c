"""The contract of an expression model: its inputs, outputs and preprocessing."""

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
"""Upper limit of the input side in pixels, far above any network for face crops."""
CROP_SCALES = 0.1, 10.0
"""Limits of the crop's side over the face box's; outside them no face is visible."""
TEMPERATURES = 1e-3, 1e3
"""Limits of the temperature."""


@dataclass(frozen=True)
class Contract:
    """An expression model's contract; `metadata.json` holds these fields."""

    labels: tuple[str, ...]
    """Class names in output order."""
    size: int
    """Input side in pixels; the input is (1, size, size, 1) grey, or (1, size, size, 3) RGB."""
    recipe: str
    """int8: uint8 pixels in at scale 1/255, int8 logits out. int16x8: int16 both. Others: floats, pixels in [0, 1]."""
    colour: InputColour = "grey"
    """Input colour; grey in files from before there was a choice."""
    crop_scale: float = 1.0
    """Side of the crop over the longer side of the face box (`fer_edge.imaging.crop`)."""
    temperature: float = 1.0
    """Divides the logits before the softmax; fitted on validation faces."""
    uncertain_below: float = 0.4
    """A prediction whose best score is below this is "uncertain"."""
    network: dict[str, Any] = field(default_factory=dict)
    """Name, parameters, multiply-accumulates."""
    data: dict[str, Any] = field(default_factory=dict)
    """Data sets with digest, licence, split and seed (`FaceSet.source`), and the calibration faces."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Metrics of the float and the int8 model on the held-out faces, and the verdict of the gate."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that wrote the file."""

    @property
    def face_shape(self) -> tuple[int, ...]:
        """Shape of one face's pixels: (size, size) grey, or (size, size, 3) RGB."""
        return face_shape(self.size, self.colour)


@dataclass(frozen=True)
class Golden:
    """Golden vectors: rendered faces and their reference output of each stage."""

    frames: Pixels
    """(n, height, width, 3) uint8 BGR."""
    boxes: npt.NDArray[np.float32]
    """(n, 4): x, y, w, h of the face box in each frame."""
    pixels: Pixels
    """(n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB: the crops."""
    logits: npt.NDArray[np.float32]
    """(n, classes): the network's output."""


@dataclass(frozen=True)
class Model:
    """A network with its contract."""

    path: Path
    """Its path, also before it is written; used in messages."""
    flatbuffer: bytes
    contract: Contract


@dataclass(frozen=True)
class ModelFile(Model):
    """A validated model file."""

    golden: Golden


def default_threshold(classes: int) -> float:
    """Score below which a prediction among so many classes is "uncertain": 0.4 for the eight expressions.

    It is as far from chance, on the way to 1, whatever the number of classes.

    >>> default_threshold(8), default_threshold(3), default_threshold(2)
    (0.4, 0.543, 0.657)
    """
    chance, far = 1 / classes, (0.4 - 1 / 8) / (1 - 1 / 8)
    return round(chance + far * (1 - chance), 3)


def write_model(path: Path, flatbuffer: bytes, contract: Contract, golden: Golden) -> None:
    """Write a self-contained model file (`fer_edge.model.package`)."""
    document = {"output": "logits", "crop_rule": CROP_RULE[contract.colour], **asdict(contract)}
    arrays: Arrays = {"frames": golden.frames, "boxes": golden.boxes, "pixels": golden.pixels, "logits": golden.logits}
    write_packed(path, flatbuffer, "expressions", document, arrays, contract.labels)


def read_model(path: Path) -> ModelFile:
    """Read and validate an expression model.

    Raises:
        ModelError: Missing, not a TFLite file, without contract, of a newer version, damaged, or a face detector.
    """
    return as_model(read_packed(path))


def as_model(packed: Packed) -> ModelFile:
    """Return a packed file as an expression model.

    Raises:
        ModelError: Its contract is damaged, or it is a face detector.
    """
    path, document, golden = packed.path, packed.document, packed.golden
    if packed.task != "expressions":
        raise ModelError(f"{path}: a face detector, not an expression model; type: --detector-model {quote(str(path))}")
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
        raise ValueError("labels are not distinct printable names")
    return tuple(labels)


def _colour(document: dict[str, Any]) -> InputColour:
    colour = text(document, "colour") if "colour" in document else "grey"
    if colour == "grey":
        return "grey"
    if colour == "rgb":
        return "rgb"
    raise ValueError(f"colour is {colour[:20]!r}, neither 'grey' nor 'rgb'")
