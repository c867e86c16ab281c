"""Cropped and split faces in memory, and the words for where they came from."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fer_edge.crop import crop_face
from fer_edge.errors import DataError
from fer_edge.faceset import FaceSet, photo_id
from fer_edge.files import sha256
from fer_edge.images import Pixels
from fer_edge_train.crops import boxes_of, digest_of, face_box, for_each_picture
from fer_edge_train.data_settings import DataSettings
from fer_edge_train.split import assign
from fer_edge_train.table import Skipped, Table


@dataclass(frozen=True)
class Cropped:
    """The faces of one picture."""

    rows: list[int]
    """Rows of the table."""
    faces: list[Pixels]
    """(size, size) uint8 grey each."""
    digest: str
    """sha256 of the picture."""
    skipped: list[Skipped]
    """Faces of this picture that could not be cropped."""


def crop_faces(table: Table, size: int, settings: DataSettings) -> tuple[FaceSet, list[Skipped]]:
    """Crop and split every face of `table`; also say which pictures and faces could not be used.

    Raises:
        DataError: No face is left.
    """
    boxes, origins = boxes_of(table), table.rows["origin"].tolist()

    def crop(rows: range, content: bytes, frame_bgr: Pixels) -> Cropped:
        cropped = Cropped([], [], sha256(content), [])
        for row in rows:
            try:
                cropped.faces.append(crop_face(frame_bgr, face_box(frame_bgr, boxes[row], table.framing), size))
                cropped.rows.append(row)
            except DataError as error:
                cropped.skipped.append(Skipped(origins[row], str(error)))
        return cropped

    pictures, skipped = for_each_picture(table, crop, settings.jobs)
    skipped += [face for picture in pictures for face in picture.skipped]
    rows = [row for picture in pictures for row in picture.rows]
    if not rows:
        raise no_face_left(table, skipped)
    names = table.rows["picture"].tolist()
    digest = digest_of(table, {names[picture.rows[0]]: picture.digest for picture in pictures if picture.rows})
    faces = np.stack([face for picture in pictures for face in picture.faces])
    photos = [photo_id(table.originals.get(names[row], picture.digest)) for picture in pictures for row in picture.rows]
    return _face_set(table, rows, faces, photos, digest, settings), skipped


def no_face_left(table: Table, skipped: list[Skipped]) -> DataError:
    """Make the error for a data set of which nothing can be used."""
    reasons = [*table.skipped, *skipped]
    first = f"; the first of {len(reasons):,} skipped rows: {reasons[0].origin}: {reasons[0].reason}" if reasons else ""
    dropped = f"; {table.dropped:,} faces are below --min-confidence" if table.dropped else ""
    none = "" if first or dropped else f"; {', '.join(table.label_files) or 'its class folders'} names none"
    return DataError(f"{table.root}: not one face can be used{dropped}{first}{none}")


def _face_set(
    table: Table, rows: list[int], faces: Pixels, photos: list[int], digest: str, settings: DataSettings
) -> FaceSet:
    kept = table.rows.iloc[rows]
    return FaceSet(
        faces=faces,
        votes=table.votes[rows],
        agreed=kept["agreed"].to_numpy(bool),
        split=assign(kept, settings),
        group=kept["group"].to_numpy(np.str_),
        names=kept["picture"].to_numpy(np.str_),
        classes=table.classes,
        source=source_of(table, digest, settings),
        photos=np.array(photos, np.uint64),
    )


def source_of(table: Table, digest: str, settings: DataSettings) -> dict[str, Any]:
    """Say where faces came from; this goes into prepared sets, run folders and the model's contract.

    `split` is "own" where the data set brings its splits, else the share of testing faces.

    Args:
        table: The data set.
        digest: As `fer_edge_train.crops.digest_of` computes it.
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
