"""Reading the pictures of a table, several at once, and cutting the faces out of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np

from fer_edge.console import progress
from fer_edge.crop import Box, reframed, whole
from fer_edge.errors import DataError
from fer_edge.files import sha256
from fer_edge.images import Pixels, decode_picture, encode_picture, read_content
from fer_edge_train.table import Framing, Skipped, Table

T = TypeVar("T")

SMALLEST = 8
"""Shortest side of a face, in pixels: less shows no expression, and would be learnt as noise."""


def for_each_picture(
    table: Table, work: Callable[[range, bytes, Pixels], T], jobs: int
) -> tuple[list[T], list[Skipped]]:
    """Call `work` once per picture with its rows, its bytes and its pixels, `jobs` pictures at once.

    OpenCV and file reading let go of Python's lock, so threads use all cores without copying pictures about.

    Args:
        table: Sorted by picture, as readers leave it.
        work: Gets a range of row numbers, the file's content and its (height, width, 3) uint8 BGR pixels.
        jobs: Number of threads.

    Returns:
        What `work` gave for each picture that can be read; why not, for each row of the others. Both in the order of
        the table.
    """
    pictures = table.rows["picture"].tolist()
    rows_of = [list(rows) for _, rows in groupby(range(len(pictures)), key=pictures.__getitem__)]
    ranges = [range(rows[0], rows[-1] + 1) for rows in rows_of]
    origins = table.rows["origin"].tolist()

    def do(rows: range) -> tuple[list[T], list[Skipped]]:
        try:
            content, frame_bgr = _read(table, pictures[rows.start])
            return [work(rows, content, frame_bgr)], []
        except DataError as error:
            return [], [Skipped(origins[row], str(error)) for row in rows]

    with progress() as bar, ThreadPoolExecutor(jobs) as pool:
        try:
            done = list(bar.track(pool.map(do, ranges), total=len(ranges), description="reading pictures"))
            return [result for results, _ in done for result in results], [row for _, rows in done for row in rows]
        except BaseException:  # Ctrl-C: do not first read what is still waiting
            pool.shutdown(cancel_futures=True)
            raise


def _read(table: Table, name: str) -> tuple[bytes, Pixels]:
    """Read a picture's content and pixels; one that stands in a table gets the content it would have as a file."""
    if name in table.embedded:
        return encode_picture(table.embedded[name], ".png"), table.embedded[name]
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
    if np.isnan(x):
        face = inside = whole(frame_bgr)
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
