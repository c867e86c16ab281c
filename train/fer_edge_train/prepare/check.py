"""`fer-edge prepare --check`: report on a data set without writing faces."""

from pathlib import Path

import numpy as np

from fer_edge.data.faceset import FaceSet
from fer_edge.files import must_be_free, replacing_folder, write_json
from fer_edge_train.data.fingerprints import SIZE, Fingerprints, joined
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import face_set_warnings
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.prepare.face_set import crop_faces
from fer_edge_train.prepare.html_report import write_page
from fer_edge_train.prepare.kept_faces import KeptFaces
from fer_edge_train.prepare.report import Report, make_report


def check(data: Path, out: Path | None, settings: DataSettings) -> Report:
    """Read and split a data set as `train` would, and report statistics and leaks.

    Args:
        data: Folder of a data set, or a prepared set (.npz), which is used unchanged.
        out: New folder for report.html, report.json and, if there are leaks, leaks.png; None: no files.
        settings: How to read and split it.

    Raises:
        DataError: The layout is unknown, or no face is left.
        FerEdgeError: `out` exists, or cannot be written.
    """
    if out:
        must_be_free(out)
    if data.suffix == ".npz":
        faces = FaceSet.load(data)
        kept = KeptFaces.of_set(faces)
        report = make_report(out, faces.source, faces.classes, kept, skipped=[], dropped=0, notes=_notes(faces))
    else:
        table = read_table(data, settings)
        fingerprints: list[Fingerprints] = []
        faces, skipped = crop_faces(table, SIZE, settings, fingerprints=fingerprints)
        report, kept = report_of(out, table, faces, joined(fingerprints), skipped)
    if out:
        with replacing_folder(out) as folder:
            write_json(folder / "report.json", report.as_json())
            write_page(folder / "report.html", report, kept, faces.faces.__getitem__, folder / "leaks.png")
    return report


def report_of(
    out: Path | None, table: Table, faces: FaceSet, fingerprints: Fingerprints, skipped: list[Skipped]
) -> tuple[Report, KeptFaces]:
    """Make the report of a data set that was cropped into memory.

    Args:
        out: Output path.
        table: The data set.
        faces: Result of `crop_faces`.
        fingerprints: Fingerprints of the faces.
        skipped: Pictures and faces that could not be used.
    """
    kept = KeptFaces.of_table(table, fingerprints, faces.split, np.asarray(faces.photos, np.uint64))
    report = make_report(
        out,
        faces.source,
        faces.classes,
        kept,
        skipped=[*table.skipped, *skipped],
        dropped=table.dropped,
        notes=_notes(faces),
    )
    return report, kept


def _notes(faces: FaceSet) -> list[str]:
    """List problems of the split and of the colour, one line each."""
    lines = face_set_warnings(faces)
    if faces.colour == "rgb" and (faces.faces == faces.faces[..., :1]).all():
        lines.append("every face is grey, with equal red, green and blue: not suitable for colour networks")
    return lines
