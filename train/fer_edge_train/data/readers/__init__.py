"""Data set readers, one module per layout; each reads a folder into a table (`fer_edge_train.data.table`)."""

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_edge.errors import DataError, UsageError
from fer_edge_train.data.persons import compiled, person_by, person_of
from fer_edge_train.data.readers import expw, fer2013, ferplus, folders, legend
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.table import Table


class Layout(NamedTuple):
    """Layout of a data set on disk."""

    shape: str
    """Description of the files, for error messages."""
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Table]


LAYOUTS = {
    "expw": Layout("label.lst + origin/", expw.recognises, expw.read),
    "legend": Layout("data/legend.csv + images/", legend.recognises, legend.read),
    "ferplus": Layout("data/FER2013Train/label.csv, or fer2013new.csv + fer2013.csv", ferplus.recognises, ferplus.read),
    "fer2013": Layout("fer2013.csv or icml_face_data.csv, also the file itself", fer2013.recognises, fer2013.read),
    "folders": Layout(
        "<class>/*.jpg, also below training/ and testing/", folders.recognises, folders.read
    ),  # last: the others hold folders too
}


def read_table(root: Path, settings: DataSettings, known: tuple[str, ...] = ()) -> Table:
    """Read the data set in `root`, filter it by the settings, and group its faces.

    Args:
        root: Folder of the data set, or FER2013's table.
        settings: How to read it.
        known: Classes of the model to evaluate on it: class folders with these names keep them.

    Raises:
        DataError: The folder does not exist, or its layout is unknown.
        UsageError: The settings name an unknown layout, or ask for persons where the file names hold none.
    """
    layout = _layout(root, settings.format)
    table = folders.read(root, known) if layout.read is folders.read else layout.read(root)
    kept = ~(table.rows["confidence"].to_numpy(float) < settings.min_box_confidence)  # NaN, no confidence, is kept
    table = replace(table.keep(kept), dropped=int(np.count_nonzero(~kept)))
    if settings.group == "photo" and settings.person_pattern is not None:
        raise UsageError("--person-pattern needs --group person")
    return table if settings.group == "photo" else _grouped_by_person(table, settings.person_pattern)


def _grouped_by_person(table: Table, pattern: str | None) -> Table:
    """Group the faces by the person in their file names; a picture without one is a person of its own."""
    own = None if pattern is None else compiled(pattern)
    if own is None and table.format == "expw":  # angry_boy_12.jpg: search terms
        raise UsageError("--group person: ExpW's file names hold no persons; leave it out, or give --person-pattern")
    pictures = table.rows["picture"].tolist()
    persons = [person_of(picture) if own is None else person_by(picture, own) for picture in pictures]
    groups = [person or picture for person, picture in zip(persons, pictures, strict=True)]
    return replace(table, rows=table.rows.assign(group=groups))


def layout_of(root: Path) -> Layout | None:
    """Detect the layout of `root`; None if it is missing, or unknown."""
    return next((layout for layout in LAYOUTS.values() if layout.recognises(root)), None)


def _layout(root: Path, name: str | None) -> Layout:
    if not root.exists():
        raise DataError(f"{root}: no such folder; --data takes the folder of a data set, or a prepared set .npz")
    if name is not None:
        if name not in LAYOUTS:
            raise UsageError(f"--format {name}: unknown; take one of {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    layout = layout_of(root)
    if layout and layout.read is not folders.read:
        return layout
    if root.is_dir() and (inside := _data_sets_in(root, with_folders=layout is None)):
        sets = f"{len(inside)} data set{'s' * (len(inside) > 1)}"
        raise DataError(f"{root} holds {sets}; give one: --data {' or --data '.join(inside)}")
    if layout:
        return layout
    known = "; ".join(f"{name}: {layout.shape}" for name, layout in LAYOUTS.items())
    raise DataError(f"{root}: unknown data set layout; supported are {known}")


def _data_sets_in(root: Path, *, with_folders: bool) -> list[str]:
    """Folders up to two levels below `root` that hold a data set, quoted for a shell.

    Args:
        root: The folder.
        with_folders: Whether class folders count; not where `root` itself is a set of class folders.
    """
    own = [layout for layout in LAYOUTS.values() if layout.read is not folders.read]
    children = _folders_in(root)
    inside = [*children, *(below for child in children for below in _folders_in(child))]
    found = [path for path in inside if any(layout.recognises(path) for layout in own)]
    if not found and with_folders:
        found = [path for path in children if folders.recognises(path)]
    return [shlex.quote(str(path)) for path in sorted(found)]


def _folders_in(root: Path) -> list[Path]:
    """Folders in `root`, without hidden ones; no file is looked at, of which there may be 100,000."""
    with os.scandir(root) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
        return [
            Path(entry.path)
            for entry in shown
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())
        ]
