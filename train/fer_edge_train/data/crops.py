"""Reading the pictures of a table, several at once, and cutting the faces out of them."""

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
from fer_edge_train.data.table import Framing, Skipped, Table

T = TypeVar("T")

SMALLEST = 8
"""Shortest side of a face, in pixels: less shows no expression, and would be learnt as noise."""
PART = 1024
"""Pictures that are finished together: what a killed `prepare` may have to do again."""
BATCH = 32
"""Pictures that a thread takes at once: handing them out takes time, too."""


def pictures_of(table: Table) -> list[range]:
    """Rows of each picture of a table, which is sorted by picture."""
    starts = np.flatnonzero(~table.rows["picture"].duplicated().to_numpy()).tolist()
    return [range(first, end) for first, end in pairwise([*starts, len(table.rows)])]


def for_each_picture(
    table: Table,
    work: Callable[[range, bytes, Pixels], T],
    keep: Callable[[list[T], list[Skipped]], None],
    jobs: int | None,
    done: int = 0,
) -> None:
    """Call `work` once per picture with its rows, its bytes and its pixels, `jobs` pictures at once.

    OpenCV and file reading let go of Python's lock, so threads use all cores without copying pictures about. No more
    than two parts wait for each other, so memory does not grow with the data set.

    Args:
        table: Sorted by picture, as readers leave it.
        work: Gets a range of row numbers, the file's content and its (height, width, 3) uint8 BGR pixels.
        keep: Called after every `PART` pictures, in the order of the table, with what `work` gave for those that can
            be read, and why not, for each row of the others.
        jobs: Number of threads; None for one per core.
        done: Parts that are finished already, and not read.
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
            for part, _ in pairwise(chain(submitted, [()])):  # the next one is read while this one is kept
                results, skipped = zip(*part, strict=True)
                keep(list(chain.from_iterable(results)), list(chain.from_iterable(skipped)))
        except BaseException:  # Ctrl-C: do not first read what is still waiting
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from dividing one picture among its own threads: here every thread has a picture."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _slices(items: list[T], length: int) -> Iterator[list[T]]:
    return (items[first : first + length] for first in range(0, len(items), length))


def _read(table: Table, name: str) -> tuple[bytes, Pixels]:
    """Read a picture's content and pixels; one that stands in a table gets the content it would have as a file."""
    if name in table.embedded:
        frame_bgr = cast(Pixels, cv2.cvtColor(table.embedded[name], cv2.COLOR_GRAY2BGR))
        return encode_picture(frame_bgr, ".png"), frame_bgr
    path = _inside(table.root, name)
    content = read_content(path)
    return content, decode_picture(content, str(path))


def _inside(root: Path, name: str) -> Path:
    """Find the picture `name` of the data set in `root`.

    A label file may come from a stranger: the names in it stay inside the data set. A link that lies there is followed,
    because whoever has the folder made it.

    Raises:
        DataError: The name leads elsewhere, or nowhere.
    """
    if ".." in Path(name).parts:
        raise DataError(f"{name}: leads out of the data set; name pictures inside it")
    if "\0" in name:
        raise DataError(f"{name!r}: holds a NUL character; no file is called so")
    return root / name


def face_box(frame_bgr: Pixels, box: tuple[float, float, float, float], framing: Framing) -> Box:
    """Find the face box in a picture: the data set's box clipped to the picture and framed as fer-edge frames faces.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR.
        box: x, y, w, h in pixels as in the table; NaN is the whole picture.
        framing: How the data set frames a face.

    Raises:
        DataError: Nothing of the box lies inside the picture, or too little for a face.
    """
    height, width = frame_bgr.shape[:2]
    x, y, w, h = box
    if math.isnan(x):
        face = inside = whole_frame(frame_bgr)
    else:
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
        if right - left < 1 or bottom - top < 1:
            raise DataError(
                f"nothing of box x {x:g}, y {y:g}, w {w:g}, h {h:g} lies inside the {width}x{height} picture"
            )
        inside = Box(left, top, right - left, bottom - top)
        face = reframed(inside, framing.scale, framing.down)
    if min(inside.w, inside.h) < SMALLEST:
        raise DataError(f"a face of {inside.w:g}x{inside.h:g} pixels is too small; {SMALLEST}x{SMALLEST} is the least")
    return face


def boxes_of(table: Table) -> list[tuple[float, float, float, float]]:
    """Boxes of all rows as plain numbers: much faster to look up than rows of a DataFrame."""
    return [(x, y, w, h) for x, y, w, h in table.rows[["x", "y", "w", "h"]].to_numpy(float).tolist()]


def digest_of(table: Table, picture_digests: dict[str, str]) -> str:
    """Digest of a data set: sha256 over "name sha256" of every picture used and every label file, sorted by name."""
    files = dict(picture_digests)
    files.update({name: sha256((table.root / name).read_bytes()) for name in table.label_files})
    return sha256("".join(f"{name} {digest}\n" for name, digest in sorted(files.items())).encode())
