"""One pass over a data set's pictures that crops their faces; the caller stores them."""

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
    """A cropped face."""

    record: Any
    """Data of the caller; JSON-serialisable."""
    view: Pixels
    """Face to fingerprint: (side, side) uint8 grey, or (side, side, 3) uint8 RGB."""
    pixels: Pixels | None = None
    """Face to store in the part: (size, size) uint8 grey, or (size, size, 3) uint8 RGB, the same for all faces."""


def crop_pass(
    table: Table,
    jobs: int | None,
    crop: Callable[[Picture, int, Box], Face],
    collect: Callable[[Part], None],
    checkpoint: Checkpoint | None = None,
    *,
    with_fingerprints: bool = True,
) -> list[Skipped]:
    """Read every picture once and crop its faces, in `jobs` threads; returns the skipped rows.

    Args:
        table: The data set.
        jobs: Number of threads; None for one per core.
        crop: Crops one face, given its picture, row and box. A DataError skips it.
        collect: Called with the parts in table order.
        checkpoint: Finished parts, also of an earlier `prepare`.
        with_fingerprints: Whether to compute fingerprints, for leak detection and the report.

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
        cropped = [result for result in results if not isinstance(result, Skipped)]
        rejected = [*unreadable, *(result for result in results if isinstance(result, Skipped))]
        rows, sides, faces = ([*column] for column in zip(*cropped, strict=True)) if cropped else ([], [], [])
        pixels = [face.pixels for face in faces if face.pixels is not None]
        views = [face.view for face in faces]
        part = Part(
            rows=rows,
            records=[face.record for face in faces],
            skipped=rejected,
            fingerprints=fingerprints_of(rows, sides, views) if with_fingerprints else NO_FINGERPRINTS,
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
    none = "" if first or dropped else f"; {', '.join(table.label_files) or 'its class folders'} list none"
    return DataError(f"{table.root}: no usable face{dropped}{first}{none}")
