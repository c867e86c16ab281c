"""Reading the pictures of a table, several at once, and cutting the faces out of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TypeVar

import numpy as np

from fer_edge.console import progress
from fer_edge.crop import Box, reframed, whole
from fer_edge.errors import DataError
from fer_edge.files import sha256
from fer_edge.images import Pixels, decode_picture, encode_picture, read_content
from fer_edge_train.table import Framing, Skipped, Table

T = TypeVar("T")


def for_each_picture(table: Table, work: Callable[[range, bytes, Pixels], T], jobs: int) -> list[T | Skipped]:
    """Call `work` once per picture with its rows, its bytes and its pixels, `jobs` pictures at once.

    OpenCV and file reading let go of Python's lock, so threads use all cores without copying pictures about.

    Args:
        table: Sorted by picture, as readers leave it.
        work: Gets a range of row numbers, the file's content and its (height, width, 3) uint8 BGR pixels.
        jobs: Number of threads.

    Returns:
        Per picture, in the order of the table: what `work` gave, or why the picture could not be used.
    """
    pictures = table.rows["picture"].tolist()
    rows_of = [list(rows) for _, rows in groupby(range(len(pictures)), key=pictures.__getitem__)]
    ranges = [range(rows[0], rows[-1] + 1) for rows in rows_of]
    origins = table.rows["origin"].tolist()

    def do(rows: range) -> T | Skipped:
        name = pictures[rows.start]
        try:
            content, frame_bgr = _read(table, name)
            return work(rows, content, frame_bgr)
        except DataError as error:
            return Skipped(origins[rows.start], str(error))

    with progress() as bar, ThreadPoolExecutor(jobs) as pool:
        try:
            return list(bar.track(pool.map(do, ranges), total=len(ranges), description="reading pictures"))
        except BaseException:  # Ctrl-C: do not first read what is still waiting
            pool.shutdown(cancel_futures=True)
            raise


def _read(table: Table, name: str) -> tuple[bytes, Pixels]:
    """Read a picture's content and pixels; one that stands in a table gets the content it would have as a file."""
    if name in table.embedded:
        return encode_picture(table.embedded[name], ".png"), table.embedded[name]
    content = read_content(table.root / name)
    return content, decode_picture(content, str(table.root / name))


def face_box(frame_bgr: Pixels, box: tuple[float, float, float, float], framing: Framing) -> Box:
    """Find the face box in a picture: the data set's box clipped to the picture and framed as fer-edge frames faces.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR.
        box: x, y, w, h in pixels as in the table; NaN is the whole picture.
        framing: How the data set frames a face.

    Raises:
        DataError: Nothing of the box lies inside the picture.
    """
    height, width = frame_bgr.shape[:2]
    x, y, w, h = box
    if np.isnan(x):
        return whole(frame_bgr)
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    if right - left < 1 or bottom - top < 1:
        raise DataError(f"nothing of box x {x:g}, y {y:g}, w {w:g}, h {h:g} lies inside the {width}x{height} picture")
    return reframed(Box(left, top, right - left, bottom - top), framing.scale, framing.down)


def boxes_of(table: Table) -> list[tuple[float, float, float, float]]:
    """Boxes of all rows as plain numbers: much faster to look up than rows of a DataFrame."""
    return [(x, y, w, h) for x, y, w, h in table.rows[["x", "y", "w", "h"]].to_numpy(float).tolist()]


def digest_of(table: Table, picture_digests: dict[str, str]) -> str:
    """Digest of a data set: sha256 over "name sha256" of every picture used and every label file, sorted by name."""
    files = dict(picture_digests)
    files.update({name: sha256((table.root / name).read_bytes()) for name in table.label_files})
    return sha256("".join(f"{name} {digest}\n" for name, digest in sorted(files.items())).encode())
