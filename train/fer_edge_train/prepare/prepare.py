"""The front door to data sets: `load_faces` gives faces to `train` and `evaluate`, `prepare` writes them to disk."""

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
from fer_edge_train.data.split import torn_groups
from fer_edge_train.data.table import Table
from fer_edge_train.prepare.check import report_of
from fer_edge_train.prepare.class_folders import write_class_folders
from fer_edge_train.prepare.face_set import crop_faces
from fer_edge_train.prepare.html_report import write_page
from fer_edge_train.prepare.report import Report, torn_line
from fer_edge_train.prepare.resume import Checkpoint, checkpointing, fingerprint

__all__ = ["DataSettings", "load_faces", "prepare"]

DEFAULTS = DataSettings()
SIZE = 48
"""Side of a face in a prepared set, in pixels, where nobody says."""


def load_faces(
    data: Path,
    *,
    size: int,
    settings: DataSettings = DEFAULTS,
    known: tuple[str, ...] = (),
    colour: InputColour = "grey",
) -> FaceSet:
    """Read a data set of any layout, or a prepared set, as cropped and split faces.

    Args:
        data: Folder of a data set, or a prepared set (.npz), which is taken as it is.
        size: Side of a face in pixels.
        settings: How to read and split it.
        known: Classes of the model that is to be judged on it: class folders named so keep their names.
        colour: What the network looks at.

    Raises:
        DataError: The layout is unknown, no face is left, or a prepared set has faces of another size or colour.
    """
    if data.suffix == ".npz":
        faces = FaceSet.load(data)
        if faces.colour != colour:  # grey once a face is cut is not grey before: they differ by a level
            raise DataError(
                f"{data} holds {COLOUR_NAMES[faces.colour]} faces, and {COLOUR_NAMES[colour]} ones are needed; "
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
    if torn := torn_groups(faces.group, faces.split):
        warn(torn_line(torn))
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
    """Write a data set as class folders, or, where `out` ends in .npz, as a prepared set; whole or not at all.

    One that was killed goes on where it was: what is finished lies in `OUT.part` (`fer_edge_train.prepare.resume`).

    Args:
        data: Folder of a data set.
        out: Folder or prepared set to make.
        settings: How to read and split it.
        size: Side of a face in pixels; None keeps the pixels, or takes 48 for a prepared set.
        colour: Of the faces that are cut out; whole pictures that are copied as they are keep theirs.
        link: Hard-link whole pictures instead of copying them.

    Raises:
        DataError: The layout is unknown, or no face is left.
        UsageError: `link` is asked for where nothing can be linked.
        FerEdgeError: `out` is there already, or cannot be written.
    """
    if link and (out.suffix == ".npz" or size is not None):
        raise UsageError("--link takes pictures as they are; leave out --imgsz and name a folder with --out")
    must_be_free(out)
    with stopped_by_terminate():
        table = read_table(data, settings)
        _refuse_one_person(table, settings)
        key = fingerprint(table, settings, suffix=out.suffix, size=size, colour=colour, link=link)
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
        checkpoint: Keeps what is finished, and holds what an earlier `prepare` had finished.
        size: Side of each face in pixels.
        colour: Of the faces.

    Raises:
        DataError: No face is left.
        FerEdgeError: `out` cannot be written.
    """
    fingerprints: list[Fingerprints] = []
    faces, skipped = crop_faces(table, size, settings, checkpoint, fingerprints, colour)
    faces.save(checkpoint.built)
    report, kept = report_of(out, table, faces, joined(fingerprints), skipped)
    write_json(out.with_name(f"{out.stem}_report.json"), report.as_json())  # the set holds nothing for people
    write_page(out.with_name(f"{out.stem}_report.html"), report, kept, faces.faces.__getitem__)
    checkpoint.publish()  # last: where the set is, its report is, too
    return report


def _refuse_one_person(table: Table, settings: DataSettings) -> None:
    """Refuse to divide by person where the file names tell but one; a split was asked for, and there would be none."""
    persons, own = table.rows["group"].unique(), bool(table.rows["split"].astype(bool).any())
    if settings.group == "person" and not own and len(persons) == 1 < len(table.rows):
        raise DataError(
            f"{table.root}: --group person takes all {len(table.rows):,} faces for one person by their file names, "
            f"{persons[0]}, and then none are left for testing; leave out --group person"
        )


@contextmanager
def stopped_by_terminate() -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
