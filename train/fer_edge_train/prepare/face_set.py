"""Cropped and split faces in memory, with their provenance."""

from typing import Any

import numpy as np

from fer_edge.data.faceset import FaceSet, photo_id
from fer_edge.imaging.crop import Box, crop_face
from fer_edge.imaging.images import InputColour, Pixels, face_shape
from fer_edge_train.data.crops import digest_of
from fer_edge_train.data.fingerprints import Fingerprints
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import assign
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.prepare.cropping import Face, Picture, crop_pass
from fer_edge_train.prepare.resume import Checkpoint, Part


def crop_faces(
    table: Table,
    size: int,
    settings: DataSettings,
    checkpoint: Checkpoint | None = None,
    fingerprints: list[Fingerprints] | None = None,
    colour: InputColour = "grey",
) -> tuple[FaceSet, list[Skipped]]:
    """Crop and split every face of `table`; also returns the skipped pictures and faces.

    Args:
        table: The data set.
        size: Side of each face in pixels.
        settings: How to split.
        checkpoint: Finished parts, also of an earlier `prepare`.
        fingerprints: List to append the faces' fingerprints to; None: not computed.
        colour: Colour of the faces.

    Raises:
        DataError: No face is left.
    """
    faces = np.empty((len(table.rows), *face_shape(size, colour)), np.uint8)  # memory is allocated only when written to
    rows: list[int] = []
    digests: list[str] = []

    def crop(picture: Picture, _: int, box: Box) -> Face:
        face = crop_face(picture.frame_bgr, box, size, colour=colour)
        return Face(picture.digest, face, face)

    def collect(part: Part) -> None:
        faces[len(rows) : len(rows) + len(part.rows)] = part.faces
        rows.extend(part.rows)
        digests.extend(part.records)
        if fingerprints is not None:
            fingerprints.append(part.fingerprints)

    skipped = crop_pass(table, settings.jobs, crop, collect, checkpoint, with_fingerprints=fingerprints is not None)
    return _face_set(table, rows, faces[: len(rows)], digests, settings), skipped


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
    """Describe the provenance of faces, for prepared sets, run folders and the model's contract.

    `split` is "own" if the data set has splits, else the share of testing faces.

    Args:
        table: The data set.
        digest: As `fer_edge_train.data.crops.digest_of` computes it.
        settings: How it was read and split; `jobs` does not affect the result and is left out.
    """
    return {
        "name": table.root.resolve().name,
        "format": table.format,
        "digest": digest,
        "licence": table.licence,
        "seed": settings.seed,
        "split": "own" if table.rows["split"].astype(bool).any() else settings.test_split,
        "settings": settings.as_source(),
    }
