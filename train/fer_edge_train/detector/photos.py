"""Photos with every face marked: a folder with `faces.csv` and `pictures/`."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_edge.console import progress
from fer_edge.errors import DataError, FerEdgeError
from fer_edge.faceset import Split
from fer_edge.files import sha256
from fer_edge.images import Pixels, decode_picture, read_content, to_grey
from fer_edge.photoset import Photo, PhotoSet
from fer_edge_train.table import Skipped, licence_in, read_lines

TABLE = "faces.csv"
BOX = ("x", "y", "w", "h")
EYES = ("right_eye_x", "right_eye_y", "left_eye_x", "left_eye_y")
SPLITS: dict[str, Split] = {"train": "training", "val": "testing", "valid": "testing", "test": "testing"}
"""What the set calls its parts. Its held-out photos are the test: the checkpoint is chosen on others (`VALIDATION`)."""
VALIDATION = 0.08
"""Share of the training photos that choose the checkpoint."""
DOUBTFUL = 0.6
"""A box whose score is lower is neither face nor background, as the set's makers say of their own labels."""

FARTHEST = 1e6
"""Pixels: no photo is as large, and what lies farther is no place in one."""


class Read(NamedTuple):
    """A data set of photos, as far as it can be read."""

    photos: PhotoSet
    skipped: list[Skipped]


def read_photos(root: Path, seed: int) -> Read:
    """Read a folder that has `faces.csv` (one row per face, an empty box where a photo has none) and `pictures/`.

    Args:
        root: The folder.
        seed: Chooses the training photos that become validation photos.

    Raises:
        DataError: There is no such table, a column is missing, or no picture can be read.
    """
    rows = _read_rows(root / TABLE)
    names = sorted(rows)
    validating = np.random.default_rng(seed).random(len(names)) < VALIDATION
    photos, skipped, digests = [], [], []
    with progress() as bar:
        for name, validates in zip(bar.track(names, description="reading photos"), validating, strict=True):
            try:
                content = read_content(_inside(root / "pictures", name))
                pixels = to_grey(decode_picture(content, name))
            except FerEdgeError as error:
                skipped.append(Skipped(name, str(error)))
                continue
            digests.append(sha256(content))
            photos.append(_photo(name, rows[name], pixels, validates=bool(validates)))
    if not photos:
        raise DataError(
            f"{root / TABLE}: none of its {len(names)} pictures can be read; they belong in {root}/pictures"
        )
    table = sha256((root / TABLE).read_bytes())
    source = {
        "name": root.resolve().name,
        "digest": sha256("".join([table, *digests]).encode()),
        "terms": licence_in(root),
        "photos": len(photos),
        "faces": sum(len(photo.boxes) for photo in photos),
        "seed": seed,
    }
    return Read(PhotoSet(photos, source), skipped)


def _read_rows(path: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of each picture; columns are found by their names."""
    lines = read_lines(path)
    try:
        _, header = next(lines)
    except StopIteration:
        raise DataError(
            f"{path} is empty; it needs the columns picture, split, {', '.join(BOX + EYES)}, score"
        ) from None
    missing = [column for column in ("picture", "split", *BOX, *EYES, "score") if column not in header]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; its first line names the columns")
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for number, fields in lines:
        if len(fields) != len(header):
            raise DataError(f"{path}:{number}: {len(fields)} fields, the first line names {len(header)}")
        row = dict(zip(header, fields, strict=True))
        if row["split"] not in SPLITS:
            raise DataError(f"{path}:{number}: split {row['split']!r} is none of {', '.join(SPLITS)}")
        rows[row["picture"]].append(row | {"line": f"{path}:{number}"})
    if not rows:
        raise DataError(f"{path} names no picture")
    return rows


def _photo(name: str, rows: list[dict[str, str]], pixels: Pixels, *, validates: bool) -> Photo:
    marked = [_numbers(row) for row in rows if any(row[column] for column in BOX)]
    values = np.array(marked, np.float32).reshape(-1, 9)
    split = SPLITS[rows[0]["split"]]
    if split == "training" and validates:
        split = "validation"
    return Photo(name, split, pixels, values[:, :4], values[:, 4:8], values[:, 8] >= DOUBTFUL)


def _numbers(row: dict[str, str]) -> list[float]:
    try:
        values = [float(row[column]) for column in (*BOX, *EYES, "score")]
        if np.abs(values).max() > FARTHEST or np.isnan(values).any():
            raise ValueError
    except ValueError:
        raise DataError(f"{row['line']}: box, eyes and score must be numbers") from None
    if values[2] <= 0 or values[3] <= 0:
        raise DataError(f"{row['line']}: width and height of a box must be above 0")
    return values


def _inside(root: Path, name: str) -> Path:
    if "\0" in name:
        raise DataError(f"{name!r}: holds a NUL character; no file is called so")
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DataError(f"{name}: outside of {root}")
    return path
