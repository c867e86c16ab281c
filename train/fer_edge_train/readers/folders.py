"""Class folders: `DIR/<class>/*.jpg`, with or without training, validation and testing above the classes.

This is also what `fer-edge prepare` writes; its `manifest.csv` then tells which faces belong to one group.
"""

from pathlib import Path
from typing import NamedTuple

from fer_edge.images import is_picture
from fer_edge.labels import class_list, fold
from fer_edge_train.table import Table, licence_in, make_rows, read_lines

SPLIT_NAMES = {
    "training": "training",
    "train": "training",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "testing": "testing",
    "test": "testing",
}
MANIFEST = "manifest.csv"


class _Picture(NamedTuple):
    """One picture in a class folder."""

    path: str
    """Relative to the data root, with `/`."""
    name: str
    """The class folder's name."""
    split: str


def recognises(root: Path) -> bool:
    """Tell whether `root` holds two class folders or more."""
    return len({picture.name for picture in _pictures(root)}) > 1


def read(root: Path) -> Table:
    """Read class folders; names that do not all fold onto the eight expressions stay as they are."""
    pictures = _pictures(root)
    classes = class_list(picture.name for picture in pictures)
    groups = _groups(root)
    faces: list[dict[str, object]] = [
        {
            "picture": picture.path,
            "label": picture.name if picture.name in classes else fold(picture.name),
            "split": picture.split,
            "group": groups.get(picture.path, picture.path),
            "origin": picture.path,
        }
        for picture in pictures
    ]
    return Table(root, "folders", make_rows(faces), classes, licence=licence_in(root))


def _pictures(root: Path) -> list[_Picture]:
    """List the pictures in the class folders; loose ones, deeper ones and hidden folders do not count."""
    splits = [path for path in _subfolders(root) if path.name.lower() in SPLIT_NAMES]
    parents = [(path, SPLIT_NAMES[path.name.lower()]) for path in splits] or [(root, "")]
    return [
        _Picture(path.relative_to(root).as_posix(), class_folder.name.strip(), split)
        for parent, split in parents
        for class_folder in _subfolders(parent)
        for path in class_folder.iterdir()
        if is_picture(path) and not path.name.startswith(".")
    ]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _groups(root: Path) -> dict[str, str]:
    """Read the group of each file from the manifest that `fer-edge prepare` left, if it did."""
    if not (root / MANIFEST).is_file():
        return {}
    lines = read_lines(root / MANIFEST)
    heading = next(lines, (0, []))[1]
    if not {"file", "group"} <= set(heading):
        return {}
    file, group = heading.index("file"), heading.index("group")
    return {fields[file]: fields[group] for _, fields in lines if len(fields) > max(file, group)}
