"""Photos with every face marked, in memory and as one `.npz`: where a detector's training and export meet."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.centre_points import Floats
from fer_edge.errors import DAMAGE, DataError
from fer_edge.faceset import Split
from fer_edge.files import replacing
from fer_edge.images import Pixels

FORMAT = 1


@dataclass(frozen=True)
class Photo:
    """One photo and the faces marked in it."""

    name: str
    """File, relative to its data set."""
    split: Split
    pixels: Pixels
    """(height, width) uint8 grey."""
    boxes: Floats
    """(n, 4): x, y, w, h in pixels of the photo; may reach over its edge."""
    eyes: Floats
    """(n, 4): right eye x, y, left eye x, y in pixels; right and left are the person's own."""
    sure: npt.NDArray[np.bool_]
    """(n,): whether the mark is a face beyond doubt; others are neither face nor background."""


@dataclass(frozen=True)
class PhotoSet:
    """Photos of one data set."""

    photos: list[Photo]
    source: dict[str, Any] = field(default_factory=dict)
    """Where they came from: data set, digest, terms, teacher, seed; goes into the detector's contract."""

    def __len__(self) -> int:
        return len(self.photos)

    def part(self, split: Split) -> list[Photo]:
        """The photos of one split."""
        return [photo for photo in self.photos if photo.split == split]

    def save(self, path: Path) -> None:
        """Write the set to `path` (.npz), whole or not at all."""
        photos = self.photos
        meta = {"format": FORMAT, "source": self.source}
        none = np.zeros((0, 4), np.float32)
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(  # photos hardly get smaller, and a run waits for this
                stream,
                meta=np.array(json.dumps(meta)),
                names=np.array([photo.name for photo in photos]),
                split=np.array([photo.split for photo in photos]),
                sizes=np.array([photo.pixels.shape for photo in photos], np.int64).reshape(-1, 2),
                pixels=np.concatenate([np.zeros(0, np.uint8), *(photo.pixels.reshape(-1) for photo in photos)]),
                faces=np.array([len(photo.boxes) for photo in photos], np.int64),
                boxes=np.concatenate([none, *(photo.boxes for photo in photos)]),
                eyes=np.concatenate([none, *(photo.eyes for photo in photos)]),
                sure=np.concatenate([np.zeros(0, np.bool_), *(photo.sure for photo in photos)]),
            )

    @staticmethod
    def load(path: Path) -> "PhotoSet":
        """Read a set.

        Raises:
            DataError: The file is missing, damaged, or no such set.
        """
        try:
            with np.load(path, allow_pickle=False) as columns:
                meta = json.loads(str(columns["meta"]))
                if meta["format"] != FORMAT:
                    raise DataError(f"{path}: photo set of format {meta['format']}; this fer-edge reads {FORMAT}")
                sizes = columns["sizes"]
                pixels = _shared_out(columns["pixels"], sizes.prod(axis=1))
                marks = [_shared_out(columns[name], columns["faces"]) for name in ("boxes", "eyes", "sure")]
                photos = [
                    Photo(str(name), str(split), grey.reshape(size), boxes, eyes, sure)  # type: ignore[arg-type]
                    for name, split, size, grey, boxes, eyes, sure in zip(
                        columns["names"], columns["split"], sizes, pixels, *marks, strict=True
                    )
                ]
                return PhotoSet(photos, meta["source"])
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file; make a run: fer-edge train --task detect --data DIR") from error
        except DAMAGE as error:
            raise DataError(f"{path}: not a set of photos with marked faces; make a new run") from error


def _shared_out(column: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> list[npt.NDArray[Any]]:
    """Give each photo its rows of a column."""
    if len(column) != counts.sum():
        raise ValueError(f"{len(column)} rows instead of {counts.sum()}")
    return np.split(column, np.cumsum(counts))[:-1]
