"""Data set readers, one module per layout; each reads a folder into a table (`fer_edge_train.data.table`)."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from fer_edge.errors import DataError, UsageError
from fer_edge_train.data.readers import expw, ferplus, folders, legend
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
    "folders": Layout(
        "<class>/*.jpg, also below training/ and testing/", folders.recognises, folders.read
    ),  # last: the others hold folders too
}


def read_table(root: Path, settings: DataSettings, known: tuple[str, ...] = ()) -> Table:
    """Read the data set in `root`, filter it by the settings, and group its faces.

    Args:
        root: Folder of the data set.
        settings: How to read it.
        known: Classes of the model to evaluate on it: class folders with these names keep them.

    Raises:
        DataError: The folder does not exist, or its layout is unknown.
        UsageError: The settings name an unknown layout.
    """
    layout = _layout(root, settings.format)
    table = folders.read(root, known) if layout.read is folders.read else layout.read(root)
    kept = ~(table.rows["confidence"].to_numpy(float) < settings.min_box_confidence)  # NaN, no confidence, is kept
    table = replace(table.keep(kept), dropped=int(np.count_nonzero(~kept)))
    if settings.group == "person" and table.format != "expw":  # ExpW's names are not persons
        table = replace(table, rows=table.rows.assign(group=table.rows["picture"].map(person_of)))
    return table


def person_of(picture: str) -> str:
    """Person in a picture named First_Last_0001.jpg; any other picture counts as a person of its own.

    >>> person_of("images/Colin_Powell_0116.jpg"), person_of("a/b.jpg")
    ('Colin_Powell', 'b')
    """
    return re.sub(r"_\d+$", "", PurePosixPath(picture).stem)


def layout_of(root: Path) -> Layout | None:
    """Detect the layout of the folder `root`; None if it is not a folder, or unknown."""
    return next((layout for layout in LAYOUTS.values() if root.is_dir() and layout.recognises(root)), None)


def _layout(root: Path, name: str | None) -> Layout:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; --data takes the folder of a data set, or a prepared set .npz")
    if name is not None:
        if name not in LAYOUTS:
            raise UsageError(f"--format {name}: unknown; take one of {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    if layout := layout_of(root):
        return layout
    known = "; ".join(f"{name}: {layout.shape}" for name, layout in LAYOUTS.items())
    raise DataError(f"{root}: unknown data set layout; supported are {known}")
