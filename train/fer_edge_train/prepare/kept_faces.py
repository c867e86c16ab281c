"""The faces that `prepare` kept, as columns, for its report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge_train.data.fingerprints import Fingerprints, Hashes, hashes_of
from fer_edge_train.data.table import Table

Numbers = npt.NDArray[np.floating[Any]]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class KeptFaces:
    """The kept faces, one row each."""

    labels: Names
    split: Names
    names: Names
    """Pictures that they were cropped from."""
    groups: Names
    photos: npt.NDArray[np.uint64]
    """As in `FaceSet.photos`; (n,) even if unknown."""
    hashes: Hashes
    brightness: Numbers
    """Mean grey value, 0 to 255."""
    sides: Numbers
    """Longer side in pixels of the source picture; (0,) if unknown."""
    confidence: Numbers
    """Confidence of the data set's face detector; NaN, or (0,), if there is none."""

    @staticmethod
    def of_table(table: Table, fingerprints: Fingerprints, split: Names, photos: npt.NDArray[np.uint64]) -> "KeptFaces":
        """Make it from the rows of `table` in `fingerprints`, with their `split` (n,)."""
        rows = table.rows.iloc[fingerprints.rows]
        return KeptFaces(
            labels=rows["label"].to_numpy(np.str_),
            split=split,
            names=rows["picture"].to_numpy(np.str_),
            groups=rows["group"].to_numpy(np.str_),
            photos=photos,
            hashes=fingerprints.hashes,
            brightness=fingerprints.brightness,
            sides=fingerprints.sides,
            confidence=rows["confidence"].to_numpy(float),
        )

    @staticmethod
    def of_set(faces: FaceSet) -> "KeptFaces":
        """Make it from a prepared set, which does not record box sizes."""
        photos = faces.photos if faces.tells_photos else np.unique(faces.names, return_inverse=True)[1]
        grey = faces.grey
        return KeptFaces(
            labels=np.array(faces.classes)[faces.labels],
            split=faces.split,
            names=faces.names,
            groups=faces.group,
            photos=photos.astype(np.uint64),
            hashes=hashes_of(grey),
            brightness=grey.mean(axis=(1, 2)),
            sides=np.zeros(0),
            confidence=np.zeros(0),
        )
