"""Writing a data set as class folders: `OUT/training/<class>/` and `OUT/testing/<class>/` with `manifest.csv`."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer_edge.crop import Box, crop_face
from fer_edge.errors import DataError
from fer_edge.files import replacing_folder, sha256
from fer_edge.images import Pixels, encode_picture, is_picture
from fer_edge_train.crops import boxes_of, digest_of, face_box, for_each_picture
from fer_edge_train.data_settings import DataSettings
from fer_edge_train.memory import no_face_left, source_of
from fer_edge_train.report import Report, count_kinds, counts_by_split
from fer_edge_train.split import assign, doubts, torn_groups
from fer_edge_train.table import Skipped, Table

STAGE = ".faces"
"""Faces lie here until all are read: only then is it known which there are to split."""


@dataclass(frozen=True)
class Staged:
    """One face that was written, and what the manifest says of it."""

    row: int
    """Row of the table."""
    path: Path
    """Where the file lies for now."""
    name: str
    """What it will be called."""
    digest: str
    """sha256 of the source picture."""
    box: Box
    """Face box, in pixels of the source picture."""
    copied: bool
    """The file could not be linked."""


def write_class_folders(
    table: Table, out: Path, settings: DataSettings, *, size: int | None = None, link: bool = False
) -> Report:
    """Write every face of `table` to `out`, whole or not at all.

    No validation faces are set apart from the training faces: `train` does that.

    Args:
        table: The data set.
        out: Folder to make.
        settings: How to split.
        size: Side of each face in pixels; None copies whole pictures as they are and keeps the pixels of crops.
        link: Hard-link whole pictures instead of copying them, where the file system can.

    Raises:
        DataError: No face is left.
        FerEdgeError: `out` is there already, or cannot be written.
    """
    settings = replace(settings, validation=0.0)
    with replacing_folder(out) as folder:
        staged, skipped = _stage(table, folder / STAGE, settings.jobs, size, link)
        rows = table.rows.iloc[[face.row for face in staged]]
        split = assign(rows, settings)
        files = _place(folder, staged, split.tolist(), rows["label"].tolist())
        _manifest(table, rows, staged, files, split.tolist()).to_csv(folder / "manifest.csv", index=False)
        pictures = {str(name): face.digest for name, face in zip(rows["picture"], staged, strict=True)}
        everything = [*table.skipped, *skipped]
        copied = sum(face.copied for face in staged)
        notes = [f"{copied:,} pictures were copied, not linked: {out} is on another disk"] if copied else []
        report = Report(
            out=str(out),
            source=source_of(table, digest_of(table, pictures), settings),
            faces=counts_by_split(split.tolist(), rows["label"].tolist(), table.classes),
            total=len(rows),
            dropped=table.dropped,
            skipped=count_kinds(everything),
            skipped_rows=everything,
            torn_groups=torn_groups(rows["group"].to_numpy(), split),
            notes=[*notes, *doubts(rows, split, settings)],
        )
        (folder / "report.json").write_text(json.dumps(report.as_json(), indent=1) + "\n")
    return report


def _stage(table: Table, stage: Path, jobs: int, size: int | None, link: bool) -> tuple[list[Staged], list[Skipped]]:
    """Read every picture and write its faces into `stage`, numbered by row."""
    stage.mkdir()
    boxes, origins = boxes_of(table), table.rows["origin"].tolist()
    names = table.rows["picture"].tolist()

    def write(rows: range, content: bytes, frame_bgr: Pixels) -> list[Staged | Skipped]:
        source, digest = PurePosixPath(names[rows.start]), sha256(content)
        stem = source.stem.lstrip(".") or "face"  # who reads the folder leaves hidden files out
        faces: list[Staged | Skipped] = []
        for number, row in enumerate(rows):
            name = f"{stem}.png" if len(rows) == 1 else f"{stem}_{number}.png"
            path = stage / f"{row}.png"
            copied, unchanged = False, size is None and np.isnan(boxes[row][0])
            try:
                box = face_box(frame_bgr, boxes[row], table.framing)
                if unchanged and is_picture(Path(source)):
                    name, path = stem + source.suffix, path.with_suffix(source.suffix)
                    copied = _copy(None if str(source) in table.embedded else table.root / source, content, path, link)
                else:
                    face = frame_bgr if unchanged else crop_face(frame_bgr, box, size or max(1, round(box.longer)))
                    path.write_bytes(encode_picture(face, path.suffix))
                faces.append(Staged(row, path, name, digest, box, copied))
            except DataError as error:
                faces.append(Skipped(origins[row], str(error)))
        return faces

    pictures, skipped = for_each_picture(table, write, jobs)
    faces = [face for picture in pictures for face in picture]
    skipped += [face for face in faces if isinstance(face, Skipped)]
    staged = [face for face in faces if isinstance(face, Staged)]
    if not staged:
        raise no_face_left(table, skipped)
    return staged, skipped


def _copy(source: Path | None, content: bytes, path: Path, link: bool) -> bool:
    """Link `source`, or write its `content`; tell whether a link was wanted but could not be made."""
    if link and source:
        try:
            os.link(source.resolve(), path)  # what a symbolic link points to
        except OSError:  # another disk, or one without hard links
            pass
        else:
            return False
    path.write_bytes(content)
    return link


def _place(folder: Path, staged: list[Staged], split: list[str], labels: list[str]) -> list[str]:
    """Move the staged faces to `split/label/name`; equal names from different folders get a number."""
    files: list[str] = []
    taken: set[str] = set()
    for face, side, label in zip(staged, split, labels, strict=True):
        name, number = PurePosixPath(face.name), 2
        file = f"{side}/{label}/{name}"
        while file.lower() in taken:
            file = f"{side}/{label}/{name.stem}-{number}{name.suffix}"
            number += 1
        taken.add(file.lower())
        (folder / side / label).mkdir(parents=True, exist_ok=True)
        face.path.replace(folder / file)
        files.append(file)
    (folder / STAGE).rmdir()
    return files


def _manifest(
    table: Table, rows: pd.DataFrame, staged: list[Staged], files: list[str], split: list[str]
) -> pd.DataFrame:
    """Say of every face where it came from.

    `box` is "x y w h" in pixels of the source picture; `digest` the sha256 of the photo itself, even where the source
    was cut from it by an earlier `prepare`.
    """
    digests = zip(rows["picture"], staged, strict=True)
    manifest: pd.DataFrame = pd.DataFrame(
        {
            "file": files,
            "source": rows["picture"].to_numpy(),
            "digest": [table.originals.get(name, face.digest) for name, face in digests],
            "box": [" ".join(f"{value:g}" for value in face.box) for face in staged],
            "class": rows["label"].to_numpy(),
            "split": split,
            "group": rows["group"].to_numpy(),
            "origin": rows["origin"].to_numpy(),
        }
    )
    return manifest
