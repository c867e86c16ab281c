"""FER+: votes of ten annotators on each FER2013 picture, `label.csv` per split or `fer2013new.csv` + `fer2013.csv`.

The two differ in a few hundred rows; papers use `label.csv`, so it is preferred.
"""

import re
from pathlib import Path

from fer_edge.imaging.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge_train.data.readers.fer2013 import USAGES, read_rows
from fer_edge_train.data.table import Skipped, Table, make_rows, read_lines

SPLIT_FOLDERS = {"FER2013Train": "training", "FER2013Valid": "validation", "FER2013Test": "testing"}
COLUMNS = len(EXPRESSIONS) + 2
"""Votes per row: the eight emotions, then "unknown" and "NF" (not a face)."""

LICENCE = "labels: MIT (Microsoft FER+); pictures: FER2013 challenge, for research"


def recognises(root: Path) -> bool:
    """Whether `root` has the layout of FER+."""
    return bool(_label_files(root)) or ((root / "fer2013new.csv").is_file() and (root / "fer2013.csv").is_file())


def read(root: Path) -> Table:
    """Read FER+ in either of its two layouts.

    Raises:
        DataError: Neither layout is there, or one of the files cannot be read.
    """
    faces: list[dict[str, object]] = []
    skipped: list[Skipped] = []
    embedded: dict[str, Pixels] = {}
    label_files = _label_files(root)
    if label_files:
        for path in label_files:
            _read_label_csv(root, path, faces, skipped)
    else:
        label_files = [root / "fer2013new.csv", root / "fer2013.csv"]
        pictures = {row.name: row for row in read_rows(label_files[1], skipped)}
        _read_new_csv(label_files[0], {name: row.usage for name, row in pictures.items()}, faces, skipped)
        embedded = {str(face["picture"]): pictures[str(face["picture"])].grey for face in faces}
    names = tuple(path.relative_to(root).as_posix() for path in label_files)
    rows, duplicates = make_rows(faces)
    return Table(root, "ferplus", rows, EXPRESSIONS, (*skipped, *duplicates), names, LICENCE, embedded=embedded)


def majority(votes: list[int]) -> bool:
    """Whether a picture counts under the majority protocol, from its ten columns of votes.

    Single votes are dropped as outliers; then one of the eight emotions must have more than half of the rest.

    >>> majority([4, 0, 0, 1, 3, 2, 0, 0, 0, 0]), majority([6, 0, 1, 1, 0, 0, 0, 0, 2, 0])
    (False, True)
    """
    remaining = [count if count > 1 else 0 for count in votes]
    return 2 * max(remaining[: len(EXPRESSIONS)]) > sum(remaining)


def _label_files(root: Path) -> list[Path]:
    candidates = (base / folder / "label.csv" for base in (root / "data", root) for folder in SPLIT_FOLDERS)
    return [path for path in candidates if path.is_file()]


def _read_label_csv(root: Path, path: Path, faces: list[dict[str, object]], skipped: list[Skipped]) -> None:
    """Read one split's `label.csv`: picture, box (always the whole picture), ten votes; no header."""
    folder = path.parent.relative_to(root).as_posix()
    for line, fields in read_lines(path):
        origin = f"{path.relative_to(root).as_posix()}:{line}"
        face = _face(fields[2:], skipped, origin)
        if face:
            faces.append({**face, "picture": f"{folder}/{fields[0]}", "split": SPLIT_FOLDERS[path.parent.name]})


def _read_new_csv(path: Path, usages: dict[str, str], faces: list[dict[str, object]], skipped: list[Skipped]) -> None:
    """Read `fer2013new.csv`: usage, picture, ten votes; the picture's number is its row in `fer2013.csv`."""
    for line, fields in read_lines(path):
        origin = f"{path.name}:{line}"
        if fields[0] == "Usage":
            continue
        name = fields[1] if len(fields) > 1 else ""
        if usages.get(name) != fields[0] or fields[0] not in USAGES:
            skipped.append(Skipped(origin, f"fer2013.csv has no {fields[0]} picture {name or '(no name)'}"))
            continue
        face = _face(fields[2:], skipped, origin)
        if face:
            faces.append({**face, "picture": name, "split": USAGES[fields[0]]})


def _face(fields: list[str], skipped: list[Skipped], origin: str) -> dict[str, object] | None:
    """Parse ten fields of votes into the columns of one face; invalid ones are added to `skipped`."""
    if len(fields) < COLUMNS:
        skipped.append(Skipped(origin, f"too few columns: {len(fields)} votes instead of {COLUMNS}"))
        return None
    if not all(re.fullmatch(r"\d{1,9}(\.0*)?", value) for value in fields[:COLUMNS]):
        skipped.append(Skipped(origin, "votes are not whole numbers"))
        return None
    votes = [int(float(value)) for value in fields[:COLUMNS]]
    emotions = votes[: len(EXPRESSIONS)]
    if not any(emotions):
        skipped.append(Skipped(origin, "no vote for one of the eight emotions"))
        return None
    columns = {f"votes.{name}": count for name, count in zip(EXPRESSIONS, emotions, strict=True)}
    label = EXPRESSIONS[emotions.index(max(emotions))]
    return {"label": label, "agreed": majority(votes), "origin": origin, **columns}
