"""The common table that every data set layout is read into; knows nothing about pixels.

Columns of `Table.rows`, one row per face, sorted by picture:

| column | type | meaning |
|---|---|---|
| picture | str | path of the picture, relative to the data set, with `/` |
| x, y, w, h | float | box in pixels of the upright picture, framed by `Table.framing`; NaN: the whole picture |
| label | str | class name, one of `Table.classes` |
| confidence | float | confidence of the data set's face detector, in its own unit; NaN: none |
| agreed | bool | counts under FER+'s majority protocol; true if a face has one label |
| split | str | training, validation or testing, or "" if the data set has no splits |
| group | str | faces of one group are kept in one split |
| origin | str | file and line that name the face, `label.lst:17`, or the picture itself |
| votes.CLASS | float | number of votes for CLASS; all of these columns or none |
"""

import csv
from collections.abc import Iterator, Mapping
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
"""Defaults of optional columns."""


class Framing(NamedTuple):
    """Conversion of a data set's box to fer-edge's face box, for `fer_edge.imaging.crop.reframed`."""

    scale: float = 1.0
    """Side of the face box over that of the data set's box."""
    down: float = 0.0
    """Downward shift of the centre, over the height of the data set's box."""


AS_YUNET = Framing()
"""No conversion: the data set has face boxes, or no boxes."""


class Skipped(NamedTuple):
    """A row or picture that was skipped."""

    origin: str
    """File and line, or the picture."""
    reason: str
    """Why it was skipped."""
    kind: Literal["unusable", "repeated", "contradictory"] = "unusable"
    """unusable: invalid; repeated: duplicate with the same label; contradictory: duplicate with another label."""


@dataclass(frozen=True)
class Table:
    """A data set, as read."""

    root: Path
    """Folder that `picture` is relative to."""
    format: str
    """Layout: expw, legend, ferplus or folders."""
    rows: pd.DataFrame
    """One row per face, columns as in this module's docstring."""
    classes: tuple[str, ...]
    """Class names in output order."""
    skipped: tuple[Skipped, ...] = ()
    """Skipped rows: invalid ones, then duplicates, each in file order."""
    label_files: tuple[str, ...] = ()
    """Label files, relative to `root`; part of the data set's digest."""
    licence: str = "unknown"
    """Licence of the data set, if known."""
    framing: Framing = AS_YUNET
    """Framing of the data set's boxes."""
    dropped: int = 0
    """Faces dropped for their low confidence."""
    originals: dict[str, str] = field(default_factory=dict)
    """Pictures made by `fer-edge prepare`: name -> sha256 of the photo that it was cropped from."""
    embedded: dict[str, Pixels] = field(default_factory=dict)
    """Pictures stored in a table instead of files: name -> (height, width) uint8 grey."""

    @property
    def votes(self) -> npt.NDArray[np.float32]:
        """(n, classes): votes of each face, one-hot if it has one label."""
        columns = [f"votes.{name}" for name in self.classes]
        if columns[0] in self.rows:
            return np.asarray(self.rows[columns], np.float32)
        index = [self.classes.index(label) for label in self.rows["label"]]
        return np.asarray(np.eye(len(self.classes))[index], np.float32)

    def keep(self, mask: npt.NDArray[np.bool_]) -> "Table":
        """Keep the rows where `mask` (n,) is true."""
        return replace(self, rows=self.rows[mask].reset_index(drop=True))


def make_rows(faces: list[dict[str, object]]) -> tuple[pd.DataFrame, list[Skipped]]:
    """Convert the faces found by a reader to table rows, sorted, so that directory order does not matter.

    A face (picture and box) listed twice with the same label, or the same votes, counts once. One listed with
    different labels is skipped altogether, as either may be wrong.

    Args:
        faces: Columns by name, in file order; those in `DEFAULTS` are optional, and `group` defaults to the picture.

    Returns:
        The rows, and the skipped duplicates.
    """
    votes = [column for column in (faces[0] if faces else {}) if column.startswith("votes.")]
    columns = {name: [face.get(name, DEFAULTS.get(name)) for face in faces] for name in (*COLUMNS, *votes)}
    columns["group"] = [face.get("group", face["picture"]) for face in faces]
    rows: pd.DataFrame = pd.DataFrame(columns)
    skipped = _duplicates(rows, ["label", *votes])
    ordered = rows.drop(index=list(skipped)).sort_values(["picture", "x", "y", "origin"], kind="stable")
    return ordered.reset_index(drop=True), [skipped[row] for row in sorted(skipped)]


def _duplicates(rows: pd.DataFrame, label_columns: list[str]) -> dict[int, Skipped]:
    """Find the rows to skip because their face has another row; `label_columns` must agree."""
    key = ["picture", "x", "y", "w", "h"]
    repeated = rows[rows.duplicated(key, keep=False)]
    by_face: dict[int, list[int]] = {}
    for face, row in zip(repeated.groupby(key, dropna=False).ngroup(), repeated.index, strict=True):
        by_face.setdefault(face, []).append(row)
    labels = dict(zip(repeated.index, repeated[label_columns].itertuples(index=False, name=None), strict=True))
    details = repeated[[*key, "label", "origin"]].to_dict("index")
    skipped: dict[int, Skipped] = {}
    for of_face in by_face.values():
        lines = [(details[row]["label"], details[row]["origin"].rpartition(":")[2]) for row in of_face]
        if len({labels[row] for row in of_face}) == 1:
            reason = f"{_face_name(details[of_face[0]])} is listed already, with the same label, in line {lines[0][1]}"
            skipped.update({row: Skipped(details[row]["origin"], reason, "repeated") for row in of_face[1:]})
            continue
        what = "labels" if len({label for label, _ in lines}) > 1 else "votes"
        which = ", ".join(f"{label} in line {line}" for label, line in lines)
        reason = f"{_face_name(details[of_face[0]])} has contradictory {what} ({which})"
        skipped.update({row: Skipped(details[row]["origin"], reason, "contradictory") for row in of_face})
    return skipped


def _face_name(row: Mapping[Any, Any]) -> str:
    """Describe a face in a message: its picture, and its box if there is one."""
    if np.isnan(row["x"]):
        return str(row["picture"])
    return "{picture}, box x {x:g}, y {y:g}, w {w:g}, h {h:g},".format_map(row)


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and fields of each non-blank line of a CSV file.

    Unlike in CSV, a record ends with its line: no data set has a line break in a field, and a stray quote would
    otherwise swallow all rows up to the next one. An unparsable line is one field.

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
    """Yield line number (from 1) and text of each non-blank line of a text file.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(stream, start=1) if line.strip())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def licence_in(root: Path) -> str:
    """Licence of a data set: the first line of its LICENSE file, or "unknown"."""
    for path in sorted(path for path in root.glob("LICEN[CS]E*") if path.is_file()):
        return next((text.strip() for _, text in read_text_lines(path)), "unknown")
    return "unknown"
