"""Cropped and split faces in memory, and the words for where they came from."""

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from fer_edge.data.faceset import FaceSet, photo_id
from fer_edge.errors import DataError
from fer_edge.files import sha256
from fer_edge.imaging.crop import crop_face
from fer_edge.imaging.images import Colour, Pixels, face_shape
from fer_edge_train.data.crops import boxes_of, digest_of, face_box, for_each_picture
from fer_edge_train.data.fingerprints import NOTHING, Looks, look_at
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import assign
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.prepare.resume import Part, Stage


class Cropped(NamedTuple):
    """The faces of one picture."""

    rows: list[int]
    """Rows of the table."""
    faces: list[Pixels]
    """(size, size) uint8 grey, or (size, size, 3) uint8 RGB, each."""
    digest: str
    """sha256 of the picture."""
    sides: list[float]
    """Longer side of each face's box, in pixels of the picture."""
    skipped: list[Skipped]
    """Faces of this picture that could not be cropped."""


def crop_faces(
    table: Table,
    size: int,
    settings: DataSettings,
    stage: Stage | None = None,
    looks: list[Looks] | None = None,
    colour: Colour = "grey",
) -> tuple[FaceSet, list[Skipped]]:
    """Crop and split every face of `table`; also say which pictures and faces could not be used.

    Args:
        table: The data set.
        size: Side of each face in pixels.
        settings: How to split.
        stage: Keeps what is finished, and holds what an earlier `prepare` had finished.
        looks: Takes what is remembered of the faces, in their order; None: nothing is.
        colour: Of the faces.

    Raises:
        DataError: No face is left.
    """
    boxes, origins = boxes_of(table), table.rows["origin"].tolist()
    faces = np.empty(
        (len(table.rows), *face_shape(size, colour)), np.uint8
    )  # takes no memory before there are faces in it
    rows: list[int] = []
    digests: list[str] = []
    skipped: list[Skipped] = []

    def crop(of_picture: range, content: bytes, frame_bgr: Pixels) -> Cropped:
        cropped = Cropped([], [], sha256(content), [], [])
        for row in of_picture:
            try:
                box = face_box(frame_bgr, boxes[row], table.framing)
                cropped.faces.append(crop_face(frame_bgr, box, size, colour=colour))
                cropped.sides.append(box.longer)
                cropped.rows.append(row)
            except DataError as error:
                cropped.skipped.append(Skipped(origins[row], str(error)))
        return cropped

    def keep(pictures: list[Cropped], unreadable: list[Skipped]) -> None:
        cropped = [face for picture in pictures for face in picture.faces]
        of_faces = [row for picture in pictures for row in picture.rows]
        sides = [side for picture in pictures for side in picture.sides]
        record = {
            "rows": of_faces,
            "digests": [picture.digest for picture in pictures for _ in picture.rows],
            "skipped": [*unreadable, *(face for picture in pictures for face in picture.skipped)],
        }
        seen = NOTHING if looks is None else look_at(of_faces, sides, cropped)
        part = Part(record, seen, np.stack(cropped) if cropped else faces[:0])
        if stage:
            stage.add(part)
        collect(part)

    def collect(part: Part) -> None:
        faces[len(rows) : len(rows) + len(part.faces)] = part.faces
        rows.extend(part.record["rows"])
        if looks is not None:
            looks.append(part.looks)
        digests.extend(part.record["digests"])
        skipped.extend(Skipped(*row) for row in part.record["skipped"])

    if stage:
        for part in stage.finished():
            collect(part)
    for_each_picture(table, crop, keep, settings.jobs, stage.parts if stage else 0)
    if not rows:
        raise no_face_left(table, skipped)
    return _face_set(table, rows, faces[: len(rows)], digests, settings), skipped


def no_face_left(table: Table, skipped: list[Skipped]) -> DataError:
    """Make the error for a data set of which nothing can be used."""
    reasons = [*table.skipped, *skipped]
    first = f"; the first of {len(reasons):,} skipped rows: {reasons[0].origin}: {reasons[0].reason}" if reasons else ""
    dropped = f"; {table.dropped:,} faces are below --min-confidence" if table.dropped else ""
    none = "" if first or dropped else f"; {', '.join(table.label_files) or 'its class folders'} names none"
    return DataError(f"{table.root}: not one face can be used{dropped}{first}{none}")


def _face_set(table: Table, rows: list[int], faces: Pixels, digests: list[str], settings: DataSettings) -> FaceSet:
    kept = table.rows.iloc[rows]
    names: list[str] = kept["picture"].tolist()
    pictures = dict(zip(names, digests, strict=True))
    return FaceSet(
        faces=faces,
        votes=table.votes[rows],
        agreed=kept["agreed"].to_numpy(bool),
        split=assign(kept, settings),
        group=kept["group"].to_numpy(np.str_),
        names=kept["picture"].to_numpy(np.str_),
        classes=table.classes,
        source=source_of(table, digest_of(table, pictures), settings),
        photos=np.array([photo_id(table.originals.get(name, pictures[name])) for name in names], np.uint64),
    )


def source_of(table: Table, digest: str, settings: DataSettings) -> dict[str, Any]:
    """Say where faces came from; this goes into prepared sets, run folders and the model's contract.

    `split` is "own" where the data set brings its splits, else the share of testing faces.

    Args:
        table: The data set.
        digest: As `fer_edge_train.data.crops.digest_of` computes it.
        settings: How it was read and split; `jobs` changes nothing and is left out.
    """
    return {
        "name": table.root.resolve().name,
        "format": table.format,
        "digest": digest,
        "licence": table.licence,
        "seed": settings.seed,
        "split": "own" if table.rows["split"].astype(bool).any() else settings.split,
        "settings": {name: value for name, value in asdict(settings).items() if name != "jobs"},
    }
