"""Loading data sets: `load_faces` for `train` and `evaluate`, `prepare` to write faces to disk."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, UsageError
from fer_edge.files import must_be_free, write_json
from fer_edge.imaging.images import COLOUR_NAMES, InputColour
from fer_edge_train.data.fingerprints import Fingerprints, joined
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import groups_in_several_splits
from fer_edge_train.data.table import Table
from fer_edge_train.prepare.check import report_of
from fer_edge_train.prepare.class_folders import write_class_folders
from fer_edge_train.prepare.face_set import crop_faces
from fer_edge_train.prepare.html_report import write_page
from fer_edge_train.prepare.report import Report, split_groups_line
from fer_edge_train.prepare.resume import Checkpoint, checkpointing, job_key

__all__ = ["DataSettings", "load_faces", "prepare"]

DEFAULTS = DataSettings()
SIZE = 48
"""Default side of a face in a prepared set, in pixels."""


def load_faces(
    data: Path,
    *,
    size: int,
    settings: DataSettings = DEFAULTS,
    known: tuple[str, ...] = (),
    colour: InputColour = "grey",
) -> FaceSet:
    """Load a data set of any layout, or a prepared set, as cropped and split faces.

    Args:
        data: Folder of a data set, or a prepared set (.npz), which is used unchanged.
        size: Side of a face in pixels.
        settings: How to read and split it.
        known: Classes of the model to evaluate on it: class folders with these names keep them.
        colour: Colour of the network's input.

    Raises:
        DataError: The layout is unknown, no face is left, or a prepared set has faces of another size or colour.
    """
    if data.suffix == ".npz":
        faces = FaceSet.load(data)
        if faces.colour != colour:  # converting after the crop is not exact: it differs by one grey level
            raise DataError(
                f"{data} holds {COLOUR_NAMES[faces.colour]} faces, {COLOUR_NAMES[colour]} ones are needed; "
                f"prepare it again: --colour {colour} --imgsz {size}"
            )
        if faces.size != size:
            raise DataError(f"{data} holds faces of {faces.size} pixels, not {size}; prepare it again: --imgsz {size}")
        return faces
    table = read_table(data, settings, known)
    faces, skipped = crop_faces(table, size, settings, colour=colour)
    unusable = sum(row.kind == "unusable" for row in [*table.skipped, *skipped])
    if unusable:
        command = f"fer-edge prepare --data {shlex.quote(str(data))} --out DIR"
        console.print(f"{unusable:,} rows of {data} skipped; to see why: {command}")
    if count := groups_in_several_splits(faces.group, faces.split):
        warn(split_groups_line(count))
    return faces


def prepare(
    data: Path,
    out: Path,
    settings: DataSettings = DEFAULTS,
    *,
    size: int | None = None,
    colour: InputColour = "grey",
    link: bool = False,
) -> Report:
    """Write a data set as class folders, or, if `out` ends in .npz, as a prepared set, atomically.

    A killed run is resumed by the same command: finished parts are in `OUT.part` (`fer_edge_train.prepare.resume`).

    Args:
        data: Folder of a data set.
        out: Output folder or prepared set.
        settings: How to read and split it.
        size: Side of a face in pixels; None does not resize, or uses 48 for a prepared set.
        colour: Colour of cropped faces; pictures copied unchanged keep theirs.
        link: Hard-link pictures instead of copying them.

    Raises:
        DataError: The layout is unknown, or no face is left.
        UsageError: `link` with options that need new files.
        FerEdgeError: `out` exists, or cannot be written.
    """
    if link and (out.suffix == ".npz" or size is not None):
        raise UsageError("--link does not change pictures; leave out --imgsz and give a folder as --out")
    must_be_free(out)
    with sigterm_as_interrupt():
        table = read_table(data, settings)
        _check_persons(table, settings)
        key = job_key(table, settings, suffix=out.suffix, size=size, colour=colour, link=link)
        with checkpointing(out, key, table.rows["picture"].nunique()) as checkpoint:
            if out.suffix == ".npz":
                return write_prepared_set(table, out, settings, checkpoint, size=size or SIZE, colour=colour)
            return write_class_folders(table, out, settings, checkpoint, size=size, colour=colour, link=link)


def write_prepared_set(
    table: Table, out: Path, settings: DataSettings, checkpoint: Checkpoint, *, size: int, colour: InputColour = "grey"
) -> Report:
    """Write every face of `table` to the prepared set OUT.npz, and its report to OUT_report.html and OUT_report.json.

    Args:
        table: The data set.
        out: File to write.
        settings: How to split.
        checkpoint: Finished parts, also of an earlier `prepare`.
        size: Side of each face in pixels.
        colour: Colour of the faces.

    Raises:
        DataError: No face is left.
        FerEdgeError: `out` cannot be written.
    """
    fingerprints: list[Fingerprints] = []
    faces, skipped = crop_faces(table, size, settings, checkpoint, fingerprints, colour)
    faces.save(checkpoint.built)
    report, kept = report_of(out, table, faces, joined(fingerprints), skipped)
    write_json(out.with_name(f"{out.stem}_report.json"), report.as_json())  # the set itself has no report
    write_page(out.with_name(f"{out.stem}_report.html"), report, kept, faces.faces.__getitem__)
    checkpoint.publish()  # last, so that a set always has its report
    return report


def _check_persons(table: Table, settings: DataSettings) -> None:
    """Reject --group person if all file names are of one person: no split would be possible."""
    persons, own = table.rows["group"].unique(), bool(table.rows["split"].astype(bool).any())
    if settings.group == "person" and not own and len(persons) == 1 < len(table.rows):
        raise DataError(
            f"{table.root}: by their file names, all {len(table.rows):,} faces are of one person, "
            f"{persons[0]}, so they cannot be split; leave out --group person"
        )


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, with clean-up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
