"""Which pictures a network was trained and selected on, so that it is not evaluated on them unnoticed.

A face is known by the picture that it was cut from, whatever was done to it since: cropped, resized, renamed, copied
into class folders, split anew. `seen.npz` lies beside the weights in a run folder and beside the models exported from
it. It is no part of the model file: that would grow by a tenth, and would tell whoever gets it whose photos it met.
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
    """Pictures that a network has met, as in `FaceSet.photos`."""

    training: npt.NDArray[np.uint64]
    """Those that it was trained on."""
    validation: npt.NDArray[np.uint64]
    """Those that its best epoch was chosen on."""

    @staticmethod
    def of(faces: FaceSet) -> "UsedPictures | None":
        """Those of a whole data set, by its splits; None where the set does not tell its pictures."""
        if not faces.tells_photos:
            return None
        return UsedPictures(*(np.unique(faces.part(split).photos) for split in ("training", "validation")))

    def roles(self, faces: FaceSet) -> npt.NDArray[np.str_]:
        """What each face was to the network, (n,): training, validation, or "" where it never met the picture."""
        chosen = np.where(np.isin(faces.photos, self.validation), "validation", "")
        return np.where(np.isin(faces.photos, self.training), "training", chosen)


def write_used_pictures(folder: Path, seen: UsedPictures | None, source: dict[str, Any]) -> None:
    """Write `seen` beside the weights or models in `folder`, or remove what another network left there.

    Args:
        folder: Run folder, or folder of exported models.
        seen: None where it is not known.
        source: The network's training data (`FaceSet.source`): ties the file to the network.
    """
    if seen is None:
        (folder / FILE).unlink(missing_ok=True)
        return
    with replacing(folder / FILE) as temporary, temporary.open("wb") as stream:
        np.savez(stream, training=seen.training, validation=seen.validation, source=np.array(_as_text(source)))


def read_used_pictures(folder: Path, source: dict[str, Any]) -> UsedPictures | None:
    """Read what `write_used_pictures` wrote; None where nothing was, or of a network with other training data.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as columns:
            own = str(columns["source"]) == _as_text(source)
            return UsedPictures(columns["training"], columns["validation"]) if own else None
    except DAMAGE as error:
        raise DataError(f"{path} is damaged; write it again: fer-edge train --resume RUN") from error


def used_in(faces: FaceSet, source: dict[str, Any], seen: UsedPictures | None) -> UsedPictures | None:
    """Find what a network has met, to ask it about `faces`; None where that cannot be known.

    Without `seen`, it is known only where `faces` is the network's own data set, whole and divided as it was then.

    Args:
        faces: A whole data set.
        source: The network's training data.
        seen: What lay beside the network.
    """
    if not faces.tells_photos:
        return None
    if seen is None and faces.source.get("digest") and _division(faces.source) == _division(source):
        return UsedPictures.of(faces)
    return seen


def _as_text(source: dict[str, Any]) -> str:
    return json.dumps(source, sort_keys=True)


def _division(source: dict[str, Any]) -> list[Any]:
    settings = source.get("settings", {})
    return [source.get("digest"), *(settings.get(name) for name in DIVISION)]
