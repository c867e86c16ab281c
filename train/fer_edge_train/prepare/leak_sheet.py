"""Contact sheet of leaks: pairs of faces side by side, with their splits and files."""

import io
from typing import NamedTuple

import cv2
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_edge.imaging.images import Pixels
from fer_edge_train.runs.plots import printable

PER_KIND = 8
"""Pairs drawn per kind."""
COLUMNS = 2
SIDE = 96
"""Side of a face in pixels; smaller ones are upscaled."""
CELL_WH = (450, SIDE + 14)
NAME_LENGTH = 34
"""Maximum characters of a file name beside the faces; longer ones show the end."""
HEADING_HEIGHT = 40
DOTS_PER_INCH = 100


class DrawnPair(NamedTuple):
    """Two faces and the lines beside them."""

    earlier: Pixels
    """(height, width) uint8 grey, or (height, width, 3) uint8 RGB."""
    later: Pixels
    lines: tuple[str, ...]


def leak_sheet(kinds: dict[str, list[DrawnPair]]) -> bytes:
    """Draw pairs of faces, kind by kind, as a PNG.

    Args:
        kinds: Heading of each kind -> its pairs.
    """
    blocks = [
        (heading, [pairs[i : i + COLUMNS] for i in range(0, len(pairs), COLUMNS)]) for heading, pairs in kinds.items()
    ]
    height = sum(HEADING_HEIGHT + len(rows) * CELL_WH[1] for _, rows in blocks)
    width = COLUMNS * CELL_WH[0]
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    y = 0
    for heading, rows in blocks:
        axes.text(8, y + 26, printable(heading), fontsize=12, weight="bold", parse_math=False)
        y += HEADING_HEIGHT
        for row in rows:
            for column, pair in enumerate(row):
                _draw_pair(axes, pair, column * CELL_WH[0] + 8, y)
            y += CELL_WH[1]
    axes.set(xlim=(0, width), ylim=(height, 0))  # last: each imshow sets its own limits
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def shortened(name: str) -> str:
    """Shorten a file name to its end.

    >>> shortened("a/b.jpg"), len(shortened("x" * 99))
    ('a/b.jpg', 34)
    """
    return name if len(name) <= NAME_LENGTH else "…" + name[1 - NAME_LENGTH :]


def _draw_pair(axes: Axes, pair: DrawnPair, x: int, y: int) -> None:
    for number, face in enumerate((pair.earlier, pair.later)):
        left = x + number * (SIDE + 4)
        large = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        axes.imshow(large, cmap="gray", vmin=0, vmax=255, extent=(left, left + SIDE, y + SIDE, y), aspect="auto")
    text = "\n".join(shortened(printable(line)) for line in pair.lines)
    axes.text(x + 2 * SIDE + 14, y + SIDE / 2, text, fontsize=8.5, va="center", linespacing=1.35, parse_math=False)
