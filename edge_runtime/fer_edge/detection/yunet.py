"""Decode YuNet's output maps to faces, like OpenCV's FaceDetectorYN.

The network (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector") has outputs for three grids with cells of
8, 16 and 32 pixels, each a map (rows, columns, 16):

0, 1   logits of classification and objectness
2, 3   offset of the face's centre from the cell's corner, x and y, in cells
4, 5   log of its width and height in cells
6..15  offsets of five landmarks from the cell's corner, x and y each, in cells: the person's right and left eye, nose,
       right and left corner of the mouth
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.imaging.boxes import Floats, overlaps

STRIDES = (8, 16, 32)
"""Cell size in pixels, map by map."""
_STRIDES = np.array(STRIDES, np.float32)
CHANNELS = 16
MULTIPLE = 32
"""Both sides of the network's input are multiples of this many pixels, its coarsest stride."""
LANDMARKS = 5
OVERLAP = 0.3
"""Intersection over union above which non-maximum suppression drops the weaker box; OpenCV's default."""
SAME_FACE = 0.5
"""Intersection over union above which boxes are averaged as one face."""
AVERAGED_SCORE = 0.9
"""Fraction of the best score from which on a cell takes part in the average."""
MOST_CELLS = 1000
"""Maximum cells decoded, best first: a face activates about seven at a score of 0.6; a crowd of 75 had 409."""
LARGEST_LOG = 8.0
"""Upper limit of log sizes: exp of it is 3,000 cells, more than any image, and does not overflow."""


class Faces(NamedTuple):
    """Faces detected in one image, best first."""

    boxes: Floats
    """(n, 4): x, y, w, h in pixels."""
    scores: Floats
    """(n,): 0 to 1."""
    landmarks: Floats
    """(n, 5, 2): right eye, left eye, nose, right and left corner of the mouth (the person's own); x, y in pixels."""


def decode(outputs: Sequence[Floats], scale: Floats, offset: Floats, threshold: float) -> Faces:
    """Decode the faces of one image from the network's three outputs; arguments as for `candidates`.

    Non-maximum suppression that averages the boxes of nearly equal scores, as in BlazeFace (Bazarevsky et al. 2019):
    which cell is the best depends on the last digit of a score, especially in int8. With this, sizes of tight crops in
    int8 and float differ by 0.5 % (standard deviation) instead of 1.2. Cells below the threshold are ignored, so the
    position of a face just above it depends slightly on the threshold.

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
        alike = alive & (shares[best] > SAME_FACE) & (found.scores >= AVERAGED_SCORE * found.scores[best])
        alike[best] = True
        kept.append(best)
        places.append(values[alike].mean(axis=0))
        alive &= shares[best] <= OVERLAP
        alive[best] = False
    merged = np.stack(places)
    return Faces(merged[:, :4], found.scores[kept], merged[:, 4:].reshape(-1, LANDMARKS, 2))


def candidates(outputs: Sequence[Floats], scale: Floats, offset: Floats, threshold: float) -> Faces:
    """Decode the best cells of the network's three outputs.

    Args:
        outputs: (rows, columns, 16) for each of `STRIDES`; scale x output + offset are the maps.
        scale: (3, 16), above 0.
        offset: (3, 16).
        threshold: Minimum score of a cell, 0 to 1.

    Returns:
        A face for each of the best `MOST_CELLS` cells, in pixels of the network's input.
    """
    level, corners = _grid(*outputs[0].shape[:2])
    flat = np.concatenate([output.reshape(-1, CHANNELS) for output in outputs])
    # A score is the root of the product of two probabilities, so both are at least its square: most cells end here.
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
    """Return the map number, and column and row, of every cell, for the size of the finest map."""
    sizes = [(rows * STRIDES[0] // stride, columns * STRIDES[0] // stride) for stride in STRIDES]
    level = np.repeat(np.arange(len(sizes)), [high * wide for high, wide in sizes])
    corners = [np.stack(np.meshgrid(np.arange(wide), np.arange(high)), axis=-1).reshape(-1, 2) for high, wide in sizes]
    return level, np.concatenate(corners).astype(np.float32)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.minimum(-logits, 80))), np.float32)  # float32 would overflow


def _logit(share: float) -> float:
    if not 0 < share < 1:
        return float("-inf") if share <= 0 else float("inf")
    return float(np.log(share / (1 - share)))
