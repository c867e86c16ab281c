"""Writing a data set as class folders: `OUT/training/<class>/` and `OUT/testing/<class>/` with `manifest.csv`."""

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_edge.data.faceset import photo_id
from fer_edge.files import make_folder, remove_temporaries, write_json
from fer_edge.imaging.crop import Box, crop_face, resize_face, whole_frame
from fer_edge.imaging.images import InputColour, Pixels, bgr_of, encode_picture, grey_of, is_picture, read_picture
from fer_edge_train.data.crops import digest_of
from fer_edge_train.data.fingerprints import SIZE as FINGERPRINT_SIZE
from fer_edge_train.data.fingerprints import Fingerprints, joined
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import assign, split_warnings
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.prepare.cropping import Face, Picture, crop_pass
from fer_edge_train.prepare.face_set import source_of
from fer_edge_train.prepare.html_report import write_page
from fer_edge_train.prepare.kept_faces import KeptFaces
from fer_edge_train.prepare.report import Report, make_report
from fer_edge_train.prepare.resume import Checkpoint, Part

FACES = "faces"
"""Faces are stored here, in the checkpoint folder, until all are read: only then can they be split."""


class WrittenFace(NamedTuple):
    """One face that was written, with its manifest entry."""

    row: int
    """Row of the table."""
    file: str
    """Temporary file name."""
    name: str
    """Final file name."""
    digest: str
    """sha256 of the source picture."""
    box: str
    """Face box, "x y w h" in pixels of the source picture."""
    copied: bool
    """Whether it was copied because it could not be linked."""


def write_class_folders(
    table: Table,
    out: Path,
    settings: DataSettings,
    checkpoint: Checkpoint,
    *,
    size: int | None = None,
    colour: InputColour = "grey",
    link: bool = False,
) -> Report:
    """Write every face of `table` to `out`, atomically.

    No validation split is made: `train` does that.

    Args:
        table: The data set.
        out: Output folder.
        settings: How to split.
        checkpoint: Finished parts, also of an earlier `prepare`.
        size: Side of each face in pixels; None copies pictures without a box unchanged and does not resize crops.
        colour: Colour of cropped or resized faces.
        link: Hard-link pictures instead of copying them, if the file system supports it.

    Raises:
        DataError: No face is left.
        FerEdgeError: `out` exists, or cannot be written.
    """
    settings = replace(settings, validation_split=0.0)
    staged, fingerprints, skipped = _write_faces(table, checkpoint, settings.jobs, size, colour, link)
    rows = table.rows.iloc[[face.row for face in staged]]
    split = assign(rows, settings)
    files = _place(checkpoint.folder / FACES, checkpoint.built, staged, split.tolist(), rows["label"].tolist())
    _manifest(table, rows, staged, files, split.tolist()).to_csv(checkpoint.built / "manifest.csv", index=False)
    pictures = {str(name): face.digest for name, face in zip(rows["picture"], staged, strict=True)}
    copied = sum(face.copied for face in staged)
    notes = [f"{copied:,} pictures were copied, not linked: {out} is on another disk"] if copied else []
    digests = zip(rows["picture"], staged, strict=True)
    photos = np.array([photo_id(table.originals.get(name, face.digest)) for name, face in digests], np.uint64)
    kept = KeptFaces.of_table(table, fingerprints, split, photos)
    report = make_report(
        out,
        source_of(table, digest_of(table, pictures), settings),
        table.classes,
        kept,
        skipped=[*table.skipped, *skipped],
        dropped=table.dropped,
        notes=[*notes, *split_warnings(rows, split, settings)],
    )
    write_json(checkpoint.built / "report.json", report.as_json())
    write_page(checkpoint.built / "report.html", report, kept, lambda row: _face(checkpoint.built / files[row], colour))
    checkpoint.publish()
    return report


def _write_faces(
    table: Table, checkpoint: Checkpoint, jobs: int | None, size: int | None, colour: InputColour, link: bool
) -> tuple[list[WrittenFace], Fingerprints, list[Skipped]]:
    """Read every picture and write its faces to the checkpoint folder, numbered by row."""
    folder = checkpoint.folder / FACES
    folder.mkdir(exist_ok=True)
    names, no_box = table.rows["picture"].tolist(), table.rows["x"].isna().tolist()
    staged: list[WrittenFace] = []
    fingerprints: list[Fingerprints] = []

    def write(picture: Picture, row: int, box: Box) -> Face:
        source, frame_bgr = PurePosixPath(names[row]), picture.frame_bgr
        stem = source.stem.lstrip(".") or "face"  # hidden files would be ignored on reading
        name = f"{stem}.png" if len(picture.rows) == 1 else f"{stem}_{row - picture.rows.start}.png"
        path = folder / f"{row}.png"
        copied, unchanged = False, size is None and no_box[row]
        side = size or max(1, round(box.longer))
        face = None if unchanged else crop_face(frame_bgr, box, side, colour=colour)
        if unchanged and is_picture(Path(source)):
            name, path = stem + source.suffix, path.with_suffix(source.suffix)
            original = None if str(source) in table.embedded else table.root / source
            copied = _copy(original, picture.content, path, link)
        else:
            path.write_bytes(encode_picture(frame_bgr if face is None else bgr_of(face), path.suffix))
        view = (
            crop_face(frame_bgr, box, FINGERPRINT_SIZE)
            if face is None
            else resize_face(grey_of(face), FINGERPRINT_SIZE)
        )
        where = " ".join(f"{value:g}" for value in box)
        return Face(WrittenFace(row, path.name, name, picture.digest, where, copied), view)

    def collect(part: Part) -> None:
        staged.extend(WrittenFace(*face) for face in part.records)
        fingerprints.append(part.fingerprints)

    skipped = crop_pass(table, jobs, write, collect, checkpoint)
    return staged, joined(fingerprints), skipped


def _face(path: Path, colour: InputColour) -> Pixels:
    """Read a written face: (48, 48) grey, or (48, 48, 3) RGB."""
    frame_bgr = read_picture(path)
    return crop_face(frame_bgr, whole_frame(frame_bgr), FINGERPRINT_SIZE, colour=colour)


def _copy(source: Path | None, content: bytes, path: Path, link: bool) -> bool:
    """Link `source`, or write its `content`; returns whether a link was requested but not possible."""
    path.unlink(missing_ok=True)  # a killed prepare may have left a link to the source here: never write to it
    if link and source:
        try:
            os.link(source.resolve(), path)  # the target of a symbolic link
        except OSError:  # another disk, or one without hard links
            pass
        else:
            return False
    path.write_bytes(content)
    return link


def _place(faces: Path, folder: Path, staged: list[WrittenFace], split: list[str], labels: list[str]) -> list[str]:
    """Move the staged faces to `split/label/name`; equal names from different folders get a number."""
    for side, label in sorted(set(zip(split, labels, strict=True))):
        make_folder(folder / side / label)
    remove_temporaries(folder)
    files: list[str] = []
    taken: set[str] = set()
    for face, side, label in zip(staged, split, labels, strict=True):
        name, number = PurePosixPath(face.name), 2
        file = f"{side}/{label}/{name}"
        while file.lower() in taken:
            file = f"{side}/{label}/{name.stem}-{number}{name.suffix}"
            number += 1
        taken.add(file.lower())
        try:
            (faces / face.file).replace(folder / file)
        except FileNotFoundError:
            if not (folder / file).exists():  # otherwise a killed prepare had moved it already
                raise
        files.append(file)
    return files


def _manifest(
    table: Table, rows: pd.DataFrame, staged: list[WrittenFace], files: list[str], split: list[str]
) -> pd.DataFrame:
    """Make the manifest: the provenance of every face.

    `box` is "x y w h" in pixels of the source picture; `digest` is the sha256 of the original photo, even if the source
    was cropped from it by an earlier `prepare`.
    """
    digests = zip(rows["picture"], staged, strict=True)
    manifest: pd.DataFrame = pd.DataFrame(
        {
            "file": files,
            "source": rows["picture"].to_numpy(),
            "digest": [table.originals.get(name, face.digest) for name, face in digests],
            "box": [face.box for face in staged],
            "class": rows["label"].to_numpy(),
            "split": split,
            "group": rows["group"].to_numpy(),
            "origin": rows["origin"].to_numpy(),
        }
    )
    return manifest
