"""Reading the pictures of a table in several threads, and face boxes for cropping."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeVar, cast

import cv2
import numpy as np

from fer_edge.console import progress
from fer_edge.errors import DataError
from fer_edge.files import sha256
from fer_edge.imaging.crop import Box, reframed, whole_frame
from fer_edge.imaging.images import Pixels, decode_picture, encode_picture, read_content
from fer_edge_train.data.jpeg import undamaged_jpeg
from fer_edge_train.data.table import Framing, Skipped, Table

T = TypeVar("T")

SMALLEST = 8
"""Minimum side of a face in pixels: smaller ones show no expression and would be noise."""
PART = 1024
"""Pictures per checkpoint: what a killed `prepare` may have to repeat."""
BATCH = 32
"""Pictures per task of a thread, to reduce scheduling overhead."""


def pictures_of(table: Table) -> list[range]:
    """Rows of each picture; the table is sorted by picture."""
    starts = np.flatnonzero(~table.rows["picture"].duplicated().to_numpy()).tolist()
    return [range(first, end) for first, end in pairwise([*starts, len(table.rows)])]


def for_each_picture(
    table: Table,
    work: Callable[[range, bytes, Pixels], T],
    keep: Callable[[list[T], list[Skipped]], None],
    jobs: int | None,
    done: int = 0,
) -> None:
    """Call `work` once per picture with its rows, bytes and pixels, in `jobs` threads.

    OpenCV and file reading release the GIL, so threads use all cores without copying pictures. At most two parts are
    pending, so memory does not grow with the data set.

    Args:
        table: Sorted by picture, as readers return it.
        work: Gets a range of row numbers, the file's content and its (height, width, 3) uint8 BGR pixels.
        keep: Called after every `PART` pictures, in table order, with the results of `work`, and the skipped rows of
            unreadable pictures with their reasons.
        jobs: Number of threads; None for one per core.
        done: Number of finished parts, which are not read again.
    """
    names, origins = table.rows["picture"].tolist(), table.rows["origin"].tolist()
    pictures = pictures_of(table)

    def do(batch: list[range]) -> tuple[list[T], list[Skipped]]:
        results: list[T] = []
        skipped: list[Skipped] = []
        for rows in batch:
            try:
                content, frame_bgr = _read(table, names[rows.start])
                results.append(work(rows, content, frame_bgr))
            except DataError as error:
                skipped += [Skipped(origins[row], str(error)) for row in rows]
        bar.advance(task, len(batch))
        return results, skipped

    with progress() as bar, one_opencv_thread(), ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        task = bar.add_task("reading pictures", total=len(pictures), completed=min(done * PART, len(pictures)))
        parts = _slices(pictures[done * PART :], PART)
        submitted = (pool.map(do, _slices(part, BATCH)) for part in parts)
        try:
            for part, _ in pairwise(chain(submitted, [()])):  # the next part is read while this one is saved
                results, skipped = zip(*part, strict=True)
                keep(list(chain.from_iterable(results)), list(chain.from_iterable(skipped)))
        except BaseException:  # Ctrl-C: do not read the pending pictures first
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Disable OpenCV's own threads: here each thread has its own picture."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _slices(items: list[T], length: int) -> Iterator[list[T]]:
    return (items[first : first + length] for first in range(0, len(items), length))


def _read(table: Table, name: str) -> tuple[bytes, Pixels]:
    """Read a picture's bytes and pixels; one embedded in a table gets the bytes of a PNG file."""
    if name in table.embedded:
        frame_bgr = cast(Pixels, cv2.cvtColor(table.embedded[name], cv2.COLOR_GRAY2BGR))
        return encode_picture(frame_bgr, ".png"), frame_bgr
    path = _inside(table.root, name)
    content = read_content(path)
    return content, decode_picture(undamaged_jpeg(content, str(path)), str(path))


def _inside(root: Path, name: str) -> Path:
    """Resolve the picture `name` of the data set in `root`.

    A label file may be untrusted: its names must stay inside the data set. Links in the folder are followed: they are
    the user's own.

    Raises:
        DataError: The path is outside the data set, or invalid.
    """
    if ".." in Path(name).parts:
        raise DataError(f"{name}: outside of the data set; name pictures inside it")
    if "\0" in name:
        raise DataError(f"{name!r}: contains a NUL character; correct the name")
    return root / name


def face_box(frame_bgr: Pixels, box: tuple[float, float, float, float], framing: Framing) -> Box:
    """Convert a data set's box to a face box: clipped to the picture and framed as fer-edge frames faces.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR.
        box: x, y, w, h in pixels as in the table; NaN means the whole picture.
        framing: Framing of the data set's boxes.

    Raises:
        DataError: The box is outside the picture, or too small.
    """
    height, width = frame_bgr.shape[:2]
    x, y, w, h = box
    if math.isnan(x):
        face = inside = whole_frame(frame_bgr)
    else:
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
        if right - left < 1 or bottom - top < 1:
            raise DataError(f"box x {x:g}, y {y:g}, w {w:g}, h {h:g} is outside of the {width}x{height} picture")
        inside = Box(left, top, right - left, bottom - top)
        face = reframed(inside, framing.scale, framing.down)
    if min(inside.w, inside.h) < SMALLEST:
        raise DataError(
            f"a face of {inside.w:g}x{inside.h:g} pixels is too small; the minimum is {SMALLEST}x{SMALLEST}"
        )
    return face


def boxes_of(table: Table) -> list[tuple[float, float, float, float]]:
    """Boxes of all rows as Python floats: much faster to access than DataFrame rows."""
    return [(x, y, w, h) for x, y, w, h in table.rows[["x", "y", "w", "h"]].to_numpy(float).tolist()]


def digest_of(table: Table, picture_digests: dict[str, str]) -> str:
    """Digest of a data set: sha256 over "name sha256" of every picture used and every label file, sorted by name."""
    files = dict(picture_digests)
    files.update({name: sha256((table.root / name).read_bytes()) for name in table.label_files})
    return sha256("".join(f"{name} {digest}\n" for name, digest in sorted(files.items())).encode())
