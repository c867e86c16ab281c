"""FER2013 (Goodfellow et al. 2013): one CSV file with an emotion and 48x48 grey pixels per row.

Published as `fer2013.csv` (emotion, pixels, Usage), as `icml_face_data.csv` (the same in another order), and as
`train.csv` (without Usage).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge_train.data.table import Skipped, Table, make_rows, read_lines

FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
USAGES = {"Training": "training", "PublicTest": "validation", "PrivateTest": "testing", "": ""}
LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Class of each number in the column emotion."""
LICENCE = "FER2013 challenge, for research"
LONGEST_HEADER = 1000


class Row(NamedTuple):
    """One picture of the table."""

    line: int
    name: str
    """fer0000000.png for the first row, as FER+ names it."""
    emotion: str
    usage: str
    grey: Pixels
    """(48, 48) uint8."""


def recognises(root: Path) -> bool:
    """Whether `root` is FER2013's table, or a folder with it."""
    return _table(root) is not None


def read(root: Path) -> Table:
    """Read FER2013.

    Raises:
        DataError: The table is missing, or cannot be read.
    """
    path = _table(root)
    if path is None:
        raise DataError(f"{root}: none of {', '.join(FILES)} with columns emotion and pixels")
    faces: list[dict[str, object]] = []
    skipped: list[Skipped] = []
    embedded: dict[str, Pixels] = {}
    for row in read_rows(path, skipped):
        origin = f"{path.name}:{row.line}"
        if row.emotion not in map(str, range(len(LABELS))):
            skipped.append(Skipped(origin, f"unknown emotion {row.emotion!r}; FER2013 has 0 to 6"))
        elif row.usage not in USAGES:
            skipped.append(
                Skipped(origin, f"unknown Usage {row.usage!r}; FER2013 has {', '.join(filter(None, USAGES))}")
            )
        else:
            label, split = LABELS[int(row.emotion)], USAGES[row.usage]
            faces.append({"picture": row.name, "label": label, "split": split, "origin": origin})
            embedded[row.name] = row.grey
    rows, duplicates = make_rows(faces)
    return Table(
        path.parent, "fer2013", rows, EXPRESSIONS, (*skipped, *duplicates), (path.name,), LICENCE, embedded=embedded
    )


def read_rows(path: Path, skipped: list[Skipped]) -> Iterator[Row]:
    """Yield the pictures of the table at `path`; rows without 48x48 pixels are added to `skipped`.

    Raises:
        DataError: The table cannot be read, or has no column pixels.
    """
    lines = read_lines(path)
    header = [name.lower() for name in next(lines, (0, []))[1]]
    if "pixels" not in header:
        raise DataError(f"{path}:1: a header with pixels and Usage is missing; use fer2013.csv as published")
    for number, (line, fields) in enumerate(lines):
        values = dict(zip(header, fields, strict=False))
        pixels = np.array(values.get("pixels", "").split(), dtype=object)
        try:
            grey: Pixels = pixels.astype(np.uint8).reshape(48, 48)
        except (ValueError, OverflowError):
            skipped.append(Skipped(f"{path.name}:{line}", "pixels are not 48x48 values from 0 to 255"))
            continue
        yield Row(line, f"fer{number:07d}.png", values.get("emotion", ""), values.get("usage", ""), grey)


def _table(root: Path) -> Path | None:
    candidates = [root] if root.suffix.lower() == ".csv" else [root / name for name in FILES]
    return next((path for path in candidates if path.is_file() and {"emotion", "pixels"} <= _header(path)), None)


def _header(path: Path) -> set[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        return {name.strip(' "\n').lower() for name in stream.readline(LONGEST_HEADER).split(",")}
