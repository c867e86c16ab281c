"""The one table that every data set layout is read into; knows nothing about pixels.

Columns of `Table.rows`, one row per face, sorted by picture:

| column | type | meaning |
|---|---|---|
| picture | str | path of the picture, relative to the data root, with `/` |
| x, y, w, h | float | box in pixels of the upright picture, framed as `Table.framing` says; NaN: the whole picture |
| label | str | class name, one of `Table.classes` |
| confidence | float | how sure the data set's face detector was, in its own unit; NaN where there is none |
| agreed | bool | counts under FER+'s majority protocol; true where a face has one label |
| split | str | training, validation or testing, or "" where the data set brings none |
| group | str | faces of one group never stand in two splits |
| origin | str | file and line that name the face, `label.lst:17`, or the picture itself |
| votes.CLASS | float | how many people chose CLASS; all of these columns or none |
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from fer_edge.errors import DataError
from fer_edge.images import Pixels

COLUMNS = ("picture", "x", "y", "w", "h", "label", "confidence", "agreed", "split", "group", "origin")

DEFAULTS: dict[str, object] = {
    "x": np.nan,
    "y": np.nan,
    "w": np.nan,
    "h": np.nan,
    "confidence": np.nan,
    "agreed": True,
    "split": "",
}
"""What a reader need not state."""


class Framing(NamedTuple):
    """What turns a data set's box into fer-edge's face box, as `fer_edge.crop.reframed` takes it."""

    scale: float = 1.0
    """Face box over data set's box."""
    down: float = 0.0
    """How far the centre moves down, over the height of the data set's box."""


AS_YUNET = Framing()
"""The data set's boxes are face boxes as they are, or there are none."""


class Skipped(NamedTuple):
    """A row or picture that was left out."""

    origin: str
    """File and line, or the picture."""
    reason: str
    """What was wrong with it."""
    kind: Literal["unusable", "repeated", "contradictory"] = "unusable"
    """Whether the row was bad, or listed before with the same label, or with another one."""


@dataclass(frozen=True)
class Table:
    """One data set as it was read."""

    root: Path
    """Folder that `picture` is relative to."""
    format: str
    """Layout: expw, legend, ferplus or folders."""
    rows: pd.DataFrame
    """One row per face, columns as in this module's docstring."""
    classes: tuple[str, ...]
    """Class names in output order."""
    skipped: tuple[Skipped, ...] = ()
    """Rows left out, in the order of the files."""
    label_files: tuple[str, ...] = ()
    """Files that hold the labels, relative to `root`; part of the data set's digest."""
    licence: str = "unknown"
    """Terms of the data set, as far as they are known."""
    framing: Framing = AS_YUNET
    """How this data set frames a face."""
    dropped: int = 0
    """Faces left out because their confidence was too low."""
    embedded: dict[str, Pixels] = field(default_factory=dict)
    """Pictures that stand in a table instead of a file of their own: name -> (height, width, 3) uint8 BGR."""

    @property
    def votes(self) -> npt.NDArray[np.float32]:
        """(n, classes): votes of each face, one-hot where it has one label."""
        columns = [f"votes.{name}" for name in self.classes]
        if columns[0] in self.rows:
            return np.asarray(self.rows[columns], np.float32)
        index = [self.classes.index(label) for label in self.rows["label"]]
        return np.asarray(np.eye(len(self.classes))[index], np.float32)

    def keep(self, mask: npt.NDArray[np.bool_]) -> "Table":
        """Keep the rows where `mask` (n,) is true."""
        return replace(self, rows=self.rows[mask].reset_index(drop=True))


def make_rows(faces: list[dict[str, object]]) -> pd.DataFrame:
    """Turn the faces a reader found into the table's rows, sorted so that directory order never matters.

    Args:
        faces: Columns by name; those in `DEFAULTS` may be left out, and `group` is the picture where it is.
    """
    for face in faces:
        face.update({**DEFAULTS, "group": face["picture"], **face})
    votes = [column for column in (faces[0] if faces else {}) if column.startswith("votes.")]
    rows: pd.DataFrame = pd.DataFrame(faces, columns=[*COLUMNS, *votes])
    ordered: pd.DataFrame = rows.sort_values(["picture", "x", "y", "origin"], kind="stable", ignore_index=True)
    return ordered


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and fields of each line of a CSV file that is not blank.

    Raises:
        DataError: The file cannot be read, or is no CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.reader(stream)
            for fields in reader:
                if any(fields):
                    yield reader.line_num, [value.strip() for value in fields]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file: {error}") from error


def read_text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and text of each line of a text file that is not blank.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    yield from ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def licence_in(root: Path) -> str:
    """Name the terms of a data set by the first line of its LICENSE, or "unknown"."""
    for path in sorted(root.glob("LICEN[CS]E*")):
        return next((text.strip() for _, text in read_text_lines(path)), "unknown")
    return "unknown"
