"""The faces that `prepare` kept, as columns: what its report is made from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge_train.data.fingerprints import Looks, Marks, marks_of
from fer_edge_train.data.table import Table

Numbers = npt.NDArray[np.floating[Any]]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Kept:
    """The faces that were kept, one row each."""

    labels: Names
    split: Names
    names: Names
    """Pictures they were cut from."""
    groups: Names
    photos: npt.NDArray[np.uint64]
    """As in `FaceSet.photos`; (n,) even where nobody knows them."""
    marks: Marks
    brightness: Numbers
    """Mean grey value, 0 to 255."""
    sides: Numbers
    """Longer side in pixels of the source picture; (0,) where that is not known."""
    confidence: Numbers
    """How sure the data set's face detector was; NaN, or (0,), where there is none."""

    @staticmethod
    def of_table(table: Table, looks: Looks, split: Names, photos: npt.NDArray[np.uint64]) -> "Kept":
        """Those rows of `table` that `looks` knows, split as `split` (n,) says."""
        rows = table.rows.iloc[looks.rows]
        return Kept(
            labels=rows["label"].to_numpy(np.str_),
            split=split,
            names=rows["picture"].to_numpy(np.str_),
            groups=rows["group"].to_numpy(np.str_),
            photos=photos,
            marks=looks.marks,
            brightness=looks.brightness,
            sides=looks.sides,
            confidence=rows["confidence"].to_numpy(float),
        )

    @staticmethod
    def of_set(faces: FaceSet) -> "Kept":
        """Those of a prepared set, which does not tell what they were cut from."""
        photos = faces.photos if faces.tells_photos else np.unique(faces.names, return_inverse=True)[1]
        grey = faces.grey
        return Kept(
            labels=np.array(faces.classes)[faces.labels],
            split=faces.split,
            names=faces.names,
            groups=faces.group,
            photos=photos.astype(np.uint64),
            marks=marks_of(grey),
            brightness=grey.mean(axis=(1, 2)),
            sides=np.zeros(0),
            confidence=np.zeros(0),
        )
