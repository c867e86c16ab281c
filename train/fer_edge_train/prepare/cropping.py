"""The one pass over a data set's pictures that cuts their faces out; where the faces go is the caller's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fer_edge.errors import DataError
from fer_edge.files import sha256
from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels
from fer_edge_train.data.crops import boxes_of, face_box, for_each_picture
from fer_edge_train.data.fingerprints import NO_FINGERPRINTS, fingerprints_of
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.prepare.resume import NO_FACES, Checkpoint, Part


class Picture(NamedTuple):
    """A picture that was read."""

    rows: range
    """Its rows of the table, one per face."""
    digest: str
    """sha256 of its content."""
    content: bytes
    frame_bgr: Pixels
    """(height, width, 3) uint8 BGR."""


class Face(NamedTuple):
    """A face that was cut out."""

    record: Any
    """What the caller wants to know of it later; anything that JSON holds."""
    view: Pixels
    """What leaks and the report are found by: (side, side) uint8 grey, or (side, side, 3) uint8 RGB."""
    pixels: Pixels | None = None
    """What the part keeps: (size, size) uint8 grey, or (size, size, 3) uint8 RGB, the same for all faces."""


def crop_pass(
    table: Table,
    jobs: int | None,
    crop: Callable[[Picture, int, Box], Face],
    collect: Callable[[Part], None],
    checkpoint: Checkpoint | None = None,
    *,
    remember: bool = True,
) -> list[Skipped]:
    """Read every picture once and cut its faces out, `jobs` pictures at once; say which could not be used.

    Args:
        table: The data set.
        jobs: Number of threads; None for one per core.
        crop: Cuts out one face, given its picture, its row and its box. A DataError leaves it out.
        collect: Gets the parts in the order of the table.
        checkpoint: Keeps what is finished, and holds what an earlier `prepare` had finished.
        remember: Whether leaks and a report are wanted: False saves the time that their figures take.

    Raises:
        DataError: No face is left.
    """
    boxes, origins = boxes_of(table), table.rows["origin"].tolist()
    skipped: list[Skipped] = []
    found = 0

    def of_picture(rows: range, content: bytes, frame_bgr: Pixels) -> list[tuple[int, float, Face] | Skipped]:
        picture = Picture(rows, sha256(content), content, frame_bgr)
        results: list[tuple[int, float, Face] | Skipped] = []
        for row in rows:
            try:
                box = face_box(frame_bgr, boxes[row], table.framing)
                results.append((row, box.longer, crop(picture, row, box)))
            except DataError as error:
                results.append(Skipped(origins[row], str(error)))
        return results

    def keep(pictures: list[list[tuple[int, float, Face] | Skipped]], unreadable: list[Skipped]) -> None:
        results = [result for picture in pictures for result in picture]
        cut = [result for result in results if not isinstance(result, Skipped)]
        left_out = [*unreadable, *(result for result in results if isinstance(result, Skipped))]
        rows, sides, faces = ([*column] for column in zip(*cut, strict=True)) if cut else ([], [], [])
        pixels = [face.pixels for face in faces if face.pixels is not None]
        part = Part(
            rows=rows,
            records=[face.record for face in faces],
            skipped=left_out,
            fingerprints=fingerprints_of(rows, sides, [face.view for face in faces]) if remember else NO_FINGERPRINTS,
            faces=np.stack(pixels) if pixels else NO_FACES,
        )
        if checkpoint:
            checkpoint.add(part)
        gather(part)

    def gather(part: Part) -> None:
        nonlocal found
        found += len(part.rows)
        skipped.extend(part.skipped)
        collect(part)

    if checkpoint:
        for part in checkpoint.finished():
            gather(part)
    for_each_picture(table, of_picture, keep, jobs, checkpoint.parts if checkpoint else 0)
    if not found:
        raise _no_face_left(table, skipped)
    return skipped


def _no_face_left(table: Table, skipped: list[Skipped]) -> DataError:
    reasons = [*table.skipped, *skipped]
    first = f"; the first of {len(reasons):,} skipped rows: {reasons[0].origin}: {reasons[0].reason}" if reasons else ""
    dropped = f"; {table.dropped:,} faces are below --min-box-confidence" if table.dropped else ""
    none = "" if first or dropped else f"; {', '.join(table.label_files) or 'its class folders'} names none"
    return DataError(f"{table.root}: not one face can be used{dropped}{first}{none}")
