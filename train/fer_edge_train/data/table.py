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
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels

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
    """What turns a data set's box into fer-edge's face box, as `fer_edge.imaging.crop.reframed` takes it."""

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
    """Rows left out: bad ones, then those listed twice, each in the order of the files."""
    label_files: tuple[str, ...] = ()
    """Files that hold the labels, relative to `root`; part of the data set's digest."""
    licence: str = "unknown"
    """Terms of the data set, as far as they are known."""
    framing: Framing = AS_YUNET
    """How this data set frames a face."""
    dropped: int = 0
    """Faces left out because their confidence was too low."""
    originals: dict[str, str] = field(default_factory=dict)
    """Pictures that `fer-edge prepare` made: name -> sha256 of the photo that it was cut from."""
    embedded: dict[str, Pixels] = field(default_factory=dict)
    """Pictures that stand in a table instead of a file of their own: name -> (height, width) uint8 grey."""

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


def make_rows(faces: list[dict[str, object]]) -> tuple[pd.DataFrame, list[Skipped]]:
    """Turn the faces a reader found into the table's rows, sorted so that directory order never matters.

    A face (picture and box) that is listed twice with the same label, or the same votes, counts once. One that is
    listed with two is left out altogether: nobody knows which is right.

    Args:
        faces: Columns by name, in the order of the files; those in `DEFAULTS` may be left out, and `group` is the
            picture where it is.

    Returns:
        The rows, and the listings left out.
    """
    votes = [column for column in (faces[0] if faces else {}) if column.startswith("votes.")]
    columns = {name: [face.get(name, DEFAULTS.get(name)) for face in faces] for name in (*COLUMNS, *votes)}
    columns["group"] = [face.get("group", face["picture"]) for face in faces]
    rows: pd.DataFrame = pd.DataFrame(columns)
    left_out = _listed_twice(rows, ["label", *votes])
    ordered = rows.drop(index=list(left_out)).sort_values(["picture", "x", "y", "origin"], kind="stable")
    return ordered.reset_index(drop=True), [left_out[row] for row in sorted(left_out)]


def _listed_twice(rows: pd.DataFrame, answers: list[str]) -> dict[int, Skipped]:
    """Find the rows to leave out because their face has another row; `answers` are the columns that must agree."""
    place = ["picture", "x", "y", "w", "h"]
    twice = rows[rows.duplicated(place, keep=False)]
    listings: dict[int, list[int]] = {}
    for face, row in zip(twice.groupby(place, dropna=False).ngroup(), twice.index, strict=True):
        listings.setdefault(face, []).append(row)
    said = dict(zip(twice.index, twice[answers].itertuples(index=False, name=None), strict=True))
    told = twice[[*place, "label", "origin"]].to_dict("index")
    left_out: dict[int, Skipped] = {}
    for of_face in listings.values():
        lines = [(told[row]["label"], told[row]["origin"].rpartition(":")[2]) for row in of_face]
        if len({said[row] for row in of_face}) == 1:
            reason = f"{_face_name(told[of_face[0]])} is listed already, with the same label, in line {lines[0][1]}"
            left_out.update({row: Skipped(told[row]["origin"], reason, "repeated") for row in of_face[1:]})
            continue
        what = "labels" if len({label for label, _ in lines}) > 1 else "votes"
        which = ", ".join(f"{label} in line {line}" for label, line in lines)
        reason = f"{_face_name(told[of_face[0]])} has contradictory {what} ({which}); it is left out"
        left_out.update({row: Skipped(told[row]["origin"], reason, "contradictory") for row in of_face})
    return left_out


def _face_name(row: dict[str, Any]) -> str:
    """Name a face for people: its picture, and its box where there is one."""
    if np.isnan(row["x"]):
        return str(row["picture"])
    return "{picture}, box x {x:g}, y {y:g}, w {w:g}, h {h:g},".format(**row)


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and fields of each line of a CSV file that is not blank.

    A record ends with its line, whatever CSV may allow: no data set has a line break in a field, and a stray quote
    would otherwise swallow all rows up to the next one. A line that cannot be taken apart is one field.

    Raises:
        DataError: The file cannot be read.
    """
    for number, line in read_text_lines(path):
        try:
            fields = next(csv.reader([line]))
        except csv.Error:  # a NUL character in Python 3.10, a field of over 131,072 characters
            fields = [line]
        yield number, [value.strip() for value in fields]


def read_text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and text of each line of a text file that is not blank.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(stream, start=1) if line.strip())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def licence_in(root: Path) -> str:
    """Name the terms of a data set by the first line of its LICENSE, or "unknown"."""
    for path in sorted(path for path in root.glob("LICEN[CS]E*") if path.is_file()):
        return next((text.strip() for _, text in read_text_lines(path)), "unknown")
    return "unknown"
