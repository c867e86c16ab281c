"""Record the images that a network was trained and selected on, so that it is not evaluated on them by mistake.

A face is identified by its original image, however it was cropped, resized, renamed, copied or split. `seen.npz` is
stored beside the weights in a run folder and beside exported models. It is not part of the model file, which would grow
by a tenth and disclose the photos of the training set.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DAMAGE, DataError
from fer_edge.files import replacing

FILE = "seen.npz"

DIVISION = ("group", "person_pattern", "split", "validation", "seed")
"""Settings of `FaceSet.source` that decide which face of a data set goes into which split."""


@dataclass(frozen=True)
class UsedPictures:
    """Images that a network was trained or selected on, as in `FaceSet.photos`."""

    training: npt.NDArray[np.uint64]
    """Images of the training set."""
    validation: npt.NDArray[np.uint64]
    """Images that its best epoch was selected on."""

    @staticmethod
    def of(faces: FaceSet) -> "UsedPictures | None":
        """Return the images of a data set by its splits; None if its images are unknown."""
        if not faces.tells_photos:
            return None
        return UsedPictures(*(np.unique(faces.part(split).photos) for split in ("training", "validation")))

    def roles(self, faces: FaceSet) -> npt.NDArray[np.str_]:
        """Return the role of each face for the network, (n,): training, validation, or ""."""
        selected = np.where(np.isin(faces.photos, self.validation), "validation", "")
        return np.where(np.isin(faces.photos, self.training), "training", selected)


def write_used_pictures(folder: Path, seen: UsedPictures | None, source: dict[str, Any]) -> None:
    """Write `seen` beside the weights or models in `folder`, or remove an older file.

    Args:
        folder: Run folder, or folder of exported models.
        seen: None if unknown.
        source: The network's training data (`FaceSet.source`), which identifies the network.
    """
    if seen is None:
        (folder / FILE).unlink(missing_ok=True)
        return
    with replacing(folder / FILE) as temporary, temporary.open("wb") as stream:
        np.savez(stream, training=seen.training, validation=seen.validation, source=np.array(_canonical_json(source)))


def read_used_pictures(folder: Path, source: dict[str, Any]) -> UsedPictures | None:
    """Read the file of `write_used_pictures`; None if there is none, or it belongs to other training data.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as columns:
            own = str(columns["source"]) == _canonical_json(source)
            return UsedPictures(columns["training"], columns["validation"]) if own else None
    except DAMAGE as error:
        raise DataError(f"{path} is damaged; to write it again, type: fer-edge train --resume RUN") from error


def used_in(faces: FaceSet, source: dict[str, Any], seen: UsedPictures | None) -> UsedPictures | None:
    """Return the images that a network was trained on, to compare with `faces`; None if they are unknown.

    Without `seen`, they are known only if `faces` is the complete training data set with the same split.

    Args:
        faces: A complete data set.
        source: The network's training data.
        seen: The record stored beside the network.
    """
    if not faces.tells_photos:
        return None
    if seen is None and faces.source.get("digest") and _split_settings(faces.source) == _split_settings(source):
        return UsedPictures.of(faces)
    return seen


def _canonical_json(source: dict[str, Any]) -> str:
    return json.dumps(source, sort_keys=True)


def _split_settings(source: dict[str, Any]) -> list[Any]:
    settings = source.get("settings", {})
    return [source.get("digest"), *(settings.get(name) for name in DIVISION)]
