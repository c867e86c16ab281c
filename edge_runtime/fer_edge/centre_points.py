"""What a face detector's maps mean: the one place that turns faces into cells and cells into faces.

The network answers on a grid of cells, `STRIDE` pixels apart, with two maps (Zhou et al. 2019, "Objects as Points"):

heat      (rows, columns, 1) logit that a face's centre lies in the cell
geometry  (rows, columns, 8) of that face
          0, 1  its centre's way from the cell's centre, x and y, in cells
          2, 3  log of its width and height over `TYPICAL` pixels
          4..7  its right and left eye (the person's own; x, y) from its centre, in box widths and heights
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

STRIDE = 8
TYPICAL = 48.0
"""Pixels; about the middle of the sizes that matter on a log scale, so that the quantised map spends its steps well."""

OVERLAP = 0.4
"""Of two boxes that overlap by more than this (intersection over union) the weaker is dropped."""

MOST_CELLS = 400
"""Cells that are looked at, best first: more than a crowd of 60 faces lights up."""

Floats = npt.NDArray[np.float32]


class Faces(NamedTuple):
    """Faces found in one picture, best first."""

    boxes: Floats
    """(n, 4): x, y, w, h in pixels."""
    scores: Floats
    """(n,): 0 to 1."""
    eyes: Floats
    """(n, 4): right eye x, y, left eye x, y in pixels."""


def encode(boxes: Floats, eyes: Floats, cells: npt.NDArray[np.int64]) -> Floats:
    """Write what the geometry map says of each face in a cell.

    Args:
        boxes: (n, 4) x, y, w, h in pixels of the network's input.
        eyes: (n, 4) right eye x, y, left eye x, y, likewise.
        cells: (n, 2) column and row of the cell.

    Returns:
        (n, 8) float32.
    """
    centres, sizes = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]
    way = centres / STRIDE - (cells + 0.5)
    from_centre = (eyes - np.tile(centres, 2)) / np.tile(sizes, 2)
    return np.concatenate([way, np.log(sizes / TYPICAL), from_centre], axis=1).astype(np.float32)


def decode(heat: Floats, geometry: Floats, threshold: float) -> Faces:
    """Read the faces from both maps of one picture.

    Args:
        heat: (rows, columns, 1) logits.
        geometry: (rows, columns, 8).
        threshold: Score, 0 to 1, from which on a cell counts.

    Returns:
        The faces in pixels of the network's input; of overlapping ones the best.
    """
    columns = heat.shape[1]
    logits = heat.reshape(-1)
    least = np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else (-np.inf if threshold <= 0 else np.inf)
    cells = np.flatnonzero(logits >= least)
    cells = cells[np.argsort(-logits[cells], kind="stable")[:MOST_CELLS]]
    values = geometry.reshape(-1, geometry.shape[-1])[cells]
    scores = 1 / (1 + np.exp(np.minimum(-logits[cells], 80)))  # beyond it float32 overflows
    places = np.stack([cells % columns, cells // columns], axis=1)
    centres = (places + 0.5 + values[:, :2]) * STRIDE
    sizes = np.exp(np.clip(values[:, 2:4], -6, 6)) * TYPICAL
    boxes = np.concatenate([centres - sizes / 2, sizes], axis=1).astype(np.float32)
    kept = suppressed(boxes, OVERLAP)
    eyes = np.tile(centres, 2) + values[:, 4:8] * np.tile(sizes, 2)
    return Faces(boxes[kept], scores[kept].astype(np.float32), eyes[kept].astype(np.float32))


def suppressed(boxes: Floats, overlap: float) -> npt.NDArray[np.int64]:
    """Rows of the boxes that stay when each drops the weaker ones that overlap it.

    Args:
        boxes: (n, 4) x, y, w, h; best first.
        overlap: Intersection over union above which a box is dropped, 0 to 1.
    """
    covered = overlaps(boxes, boxes) > overlap
    alive = np.ones(len(boxes), bool)
    kept = []
    while alive.any():  # once per face, not per cell
        best = int(alive.argmax())
        kept.append(best)
        alive &= ~covered[best]
        alive[best] = False
    return np.array(kept, np.int64)


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every box with every other: (n, m), 0 to 1.

    Args:
        boxes: (n, 4) x, y, w, h.
        others: (m, 4) likewise.
    """
    a, b = boxes[:, None, :], others[None, :, :]
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - common
    return np.asarray(common / np.maximum(union, 1e-9), np.float32)
