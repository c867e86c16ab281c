"""What YuNet's maps mean: the one place that turns them into faces, by the arithmetic of OpenCV's FaceDetectorYN.

The network (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector") answers on three grids whose cells lie 8,
16 and 32 pixels apart, each with a map (rows, columns, 16):

0, 1   logits that a face is there (classification) and that a box is worth keeping (objectness)
2, 3   way from the cell's corner to the face's centre, x and y, in cells
4, 5   log of its width and height in cells
6..15  way from the cell's corner to five landmarks, x and y each, in cells: the person's right and left eye, nose,
       right and left corner of the mouth
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.imaging.boxes import Floats, overlaps

STRIDES = (8, 16, 32)
"""Pixels from one cell to the next, map by map."""
_STRIDES = np.array(STRIDES, np.float32)
CHANNELS = 16
MULTIPLE = 32
"""Pixels of which both sides of the network's input are multiples: its coarsest stride."""
LANDMARKS = 5
OVERLAP = 0.3
"""Of two boxes that overlap by more than this (intersection over union) the weaker is dropped; OpenCV's default."""
SAME_FACE = 0.5
"""Boxes that overlap by more than this tell of one face, not of two neighbours."""
NEARLY = 0.9
"""Times the best score from which on a cell is nearly as sure."""
MOST_CELLS = 1000
"""Cells that are looked at, best first: a face lights up about seven at a score of 0.6; a crowd of 75 had 409."""
LARGEST_LOG = 8.0
"""exp of it is 3,000 cells: beyond any picture, and far from what overflows."""


class Faces(NamedTuple):
    """Faces found in one picture, best first."""

    boxes: Floats
    """(n, 4): x, y, w, h in pixels."""
    scores: Floats
    """(n,): 0 to 1."""
    landmarks: Floats
    """(n, 5, 2): right eye, left eye, nose, right and left corner of the mouth (the person's own); x, y in pixels."""


def decode(outputs: Sequence[Floats], scale: Floats, offset: Floats, threshold: float) -> Faces:
    """Read the faces from the network's three outputs for one picture; the arguments are those of `candidates`.

    Of overlapping candidates the best stays, at the mean place of those that are nearly as sure, as BlazeFace does it
    (Bazarevsky et al. 2019): which of some cells is the best hangs on the last digit of a score, in int8 above all.
    Sizes of tight crops in int8 and float so differ by 0.5 % (standard deviation) instead of 1.2. Cells below the
    threshold count for nothing, so the place of a face whose score is just above it hangs on the threshold a little.

    Returns:
        The faces in pixels of the network's input.
    """
    found = candidates(outputs, scale, offset, threshold)
    if len(found.scores) < 2:
        return found
    shares = overlaps(found.boxes, found.boxes)
    values = np.concatenate([found.boxes, found.landmarks.reshape(-1, 2 * LANDMARKS)], axis=1)
    alive = np.ones(len(shares), bool)
    kept, places = [], []
    while alive.any():  # once per face, not per cell
        best = int(alive.argmax())
        alike = alive & (shares[best] > SAME_FACE) & (found.scores >= NEARLY * found.scores[best])
        alike[best] = True
        kept.append(best)
        places.append(values[alike].mean(axis=0))
        alive &= shares[best] <= OVERLAP
        alive[best] = False
    merged = np.stack(places)
    return Faces(merged[:, :4], found.scores[kept], merged[:, 4:].reshape(-1, LANDMARKS, 2))


def candidates(outputs: Sequence[Floats], scale: Floats, offset: Floats, threshold: float) -> Faces:
    """Read what each cell of the network's three outputs says of a face there.

    Args:
        outputs: (rows, columns, 16) for each of `STRIDES`; scale x output + offset are the maps.
        scale: (3, 16), above 0.
        offset: (3, 16).
        threshold: Score, 0 to 1, from which on a cell counts.

    Returns:
        A face for each of the best `MOST_CELLS` cells, in pixels of the network's input.
    """
    level, corners = _grid(*outputs[0].shape[:2])
    flat = np.concatenate([output.reshape(-1, CHANNELS) for output in outputs])
    # A score is the root of two shares' product, so neither share is below its square: most cells end here.
    least = (_logit(threshold * threshold) - offset[:, :2]) / scale[:, :2]
    pairs = zip(outputs, least.tolist(), strict=True)
    likely = [((output[..., 0] >= both[0]) & (output[..., 1] >= both[1])).ravel() for output, both in pairs]
    near = np.flatnonzero(np.concatenate(likely))
    near_level = level[near]
    values = flat[near] * scale[near_level] + offset[near_level]
    shares = _sigmoid(values[:, :2])
    scores = np.sqrt(shares[:, 0] * shares[:, 1])
    best = np.argsort(-scores, kind="stable")[:MOST_CELLS]
    best = best[scores[best] >= threshold]
    scores, values, stride = scores[best], values[best], _STRIDES[near_level[best], None]
    from_corner = corners[near[best], None] + values[:, 2:].reshape(-1, 2 + LANDMARKS, 2)
    from_corner *= stride[:, None]
    sizes = np.exp(np.minimum(values[:, 4:6], LARGEST_LOG)) * stride
    boxes = np.concatenate([from_corner[:, 0] - sizes / 2, sizes], axis=1)
    return Faces(boxes, scores, from_corner[:, 2:])


@lru_cache(maxsize=32)
def _grid(rows: int, columns: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """Number of the map, and column and row in it, of every cell, for a finest map of so many rows and columns."""
    sizes = [(rows * STRIDES[0] // stride, columns * STRIDES[0] // stride) for stride in STRIDES]
    level = np.repeat(np.arange(len(sizes)), [high * wide for high, wide in sizes])
    corners = [np.stack(np.meshgrid(np.arange(wide), np.arange(high)), axis=-1).reshape(-1, 2) for high, wide in sizes]
    return level, np.concatenate(corners).astype(np.float32)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.minimum(-logits, 80))), np.float32)  # beyond it float32 overflows


def _logit(share: float) -> float:
    if not 0 < share < 1:
        return float("-inf") if share <= 0 else float("inf")
    return float(np.log(share / (1 - share)))
