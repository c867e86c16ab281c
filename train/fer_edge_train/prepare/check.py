"""`fer-edge prepare --check`: look at a data set before a night of training, and write no face."""

from pathlib import Path

import numpy as np

from fer_edge.data.faceset import FaceSet
from fer_edge.files import must_be_free, replacing_folder, write_json
from fer_edge_train.data.fingerprints import SIZE, Fingerprints, joined
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import doubts_of
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.prepare.face_set import crop_faces
from fer_edge_train.prepare.html_report import write_page
from fer_edge_train.prepare.kept_faces import KeptFaces
from fer_edge_train.prepare.report import Report, make_report


def check(data: Path, out: Path | None, settings: DataSettings) -> Report:
    """Read and split a data set as `train` would, and report what is in it and what leaks.

    Args:
        data: Folder of a data set, or a prepared set (.npz), which is taken as it is.
        out: Folder to make for report.html, report.json and, where there are leaks, leaks.png; None: none.
        settings: How to read and split it.

    Raises:
        DataError: The layout is unknown, or no face is left.
        FerEdgeError: `out` is there already, or cannot be written.
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
    """Sum up a data set that was cropped into memory.

    Args:
        out: What was written.
        table: The data set.
        faces: What `crop_faces` made of it.
        fingerprints: What is remembered of them.
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
    """Say what else a person has to know of faces before a network learns from them or is judged on them."""
    lines = doubts_of(faces)
    if faces.colour == "rgb" and (faces.faces == faces.faces[..., :1]).all():
        lines.append("every face is grey, with red, green and blue alike: they say nothing of a network for colour")
    return lines
