"""Class folders: `DIR/<class>/*.jpg`, with or without training, validation and testing folders above the classes.

This is also what `fer-edge prepare` writes; its `manifest.csv` then gives the group of each face, and the photo it was
cropped from.
"""

import os
import re
import shlex
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fer_edge.imaging.images import is_picture
from fer_edge.labels import class_list, fold, match
from fer_edge_train.data.table import Skipped, Table, licence_in, make_rows, read_lines

SPLIT_NAMES = {
    "training": "training",
    "train": "training",
    "dev": "validation",
    "publictest": "validation",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "privatetest": "testing",
    "testing": "testing",
    "test": "testing",
}
MANIFEST = "manifest.csv"


class _Picture(NamedTuple):
    """One picture in a class folder."""

    path: str
    """Relative to the data set, with `/`."""
    name: str
    """The class folder's name."""
    split: str


class _ManifestRow(NamedTuple):
    """Manifest entry of one file."""

    group: str
    digest: str
    """sha256 (hex) of the photo that it was cropped from."""


def recognises(root: Path) -> bool:
    """Whether `root` has two class folders or more, or one named like an expression."""
    names = {picture.name for picture in _pictures(root)[0]} if root.is_dir() else set()
    return len(names) > 1 or any(fold(name) for name in names)


def read(root: Path, known: tuple[str, ...] = ()) -> Table:
    """Read class folders; each name is mapped to one of the eight expressions if it can be.

    Args:
        root: The data set.
        known: Classes of the model to evaluate on it: folders with these names keep them.
    """
    pictures, skipped = _pictures(root)
    names = {picture.name for picture in pictures}
    classes = class_list(names, known)
    labels = {name: match(name, classes) for name in names}
    manifest = _manifest(root)
    faces: list[dict[str, object]] = [
        {
            "picture": picture.path,
            "label": labels[picture.name],
            "split": picture.split,
            "group": manifest[picture.path].group if picture.path in manifest else picture.path,
            "origin": picture.path,
        }
        for picture in pictures
    ]
    originals = {path: face.digest for path, face in manifest.items() if re.fullmatch("[0-9a-f]{64}", face.digest)}
    rows, _ = make_rows(faces)  # a file is in its folder only once
    return Table(root, "folders", rows, classes, tuple(skipped), licence=licence_in(root), originals=originals)


def _pictures(root: Path) -> tuple[list[_Picture], list[Skipped]]:
    """List the pictures in the class folders, and all other non-hidden files as skipped."""
    folders, loose = _inside(root, "")
    splits = [folder for folder in folders if folder.lower() in SPLIT_NAMES]
    beside = "is beside training or testing folders; move it into one of them"
    skipped = [
        Skipped(path, beside)
        for folder in folders
        if splits and folder not in splits
        for path in _pictures_below(root, folder) or [folder]
    ]
    pictures: list[_Picture] = []
    for parent in splits or [""]:
        class_folders, files = _inside(root, parent) if parent else (folders, [])
        loose += files
        for folder in class_folders:
            found, others = _in_class_folder(root, folder)
            name, split = PurePosixPath(folder).name.strip(), SPLIT_NAMES.get(parent.lower(), "")
            pictures += [_Picture(path, name, split) for path in found]
            skipped += others
    skipped += [Skipped(path, "is in no class folder") for path in loose if is_picture(Path(path))]
    return pictures, sorted(skipped)


def _in_class_folder(root: Path, folder: str) -> tuple[list[str], list[Skipped]]:
    """List the pictures of one class, in subfolders too, and all other files as skipped."""
    folders = _inside(root, folder)[0]
    own = [path for path in folders if fold(name := PurePosixPath(path).name) or name.lower() in SPLIT_NAMES]
    if own:
        reason = f"is in a data set of its own; read it with --data {shlex.quote(str(root / folder))}"
        return [], [Skipped(path, reason) for path in _pictures_below(root, folder)]
    files = _files_below(root, folder)
    pictures = [path for path in files if is_picture(Path(path))]
    skipped = []
    if len(pictures) < len(files):
        skipped += [Skipped(path, "not a picture by its extension") for path in sorted({*files} - {*pictures})]
    if not files:
        skipped = [Skipped(folder, "class folder without pictures")]
    shown = {path: path.encode(errors="backslashreplace").decode() for path in pictures}
    skipped += [Skipped(shown[path], "its name is not UTF-8; rename it") for path in pictures if shown[path] != path]
    return [path for path in pictures if shown[path] == path], skipped


def _pictures_below(root: Path, folder: str) -> list[str]:
    return [path for path in _files_below(root, folder) if is_picture(Path(path))]


def _files_below(root: Path, folder: str) -> list[str]:
    """List the files in `folder` and its subfolders; a link to a folder above is not followed."""
    folders, files = _inside(root, folder)
    for inside in folders:
        if not (root / folder).resolve().is_relative_to((root / inside).resolve()):
            files += _files_below(root, inside)
    return files


def _inside(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """List folders and files in `folder`, relative to `root`, without hidden ones."""
    with os.scandir(root / folder) as entries:  # no stat call for each of 100,000 files
        inside = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    above = f"{folder}/" if folder else ""
    folders = sorted(above + name for name, is_folder in inside if is_folder)
    return folders, [above + name for name, is_folder in inside if not is_folder]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()  # is_dir() alone fails on a link to itself


def _manifest(root: Path) -> dict[str, _ManifestRow]:
    """Read the manifest of `fer-edge prepare`, in `root` or, if `root` is a split, in its parent."""
    root = root.resolve()
    for folder in (root, root.parent):
        lines = read_lines(folder / MANIFEST) if (folder / MANIFEST).is_file() else iter(())
        header = next(lines, (0, []))[1]
        if {"file", "group"} <= set(header):
            rows = (dict(zip(header, fields, strict=False)) for _, fields in lines)
            prefix = root.relative_to(folder).as_posix() + "/" if root != folder else ""
            return {
                row["file"].removeprefix(prefix): _ManifestRow(row["group"], row.get("digest", ""))
                for row in rows
                if len(row) == len(header) and row["file"].startswith(prefix)
            }
    return {}
