"""What the network should answer for a picture, cell by cell, and how far it is from that."""

from typing import Any

import numpy as np
from keras import ops

from fer_edge.centre_points import STRIDE, TYPICAL, Floats, encode

SMALLEST = 12.0
"""Pixels: a face whose longer side is shorter is neither face nor background, for there is nothing to see in a cell."""
SPREAD = 0.15
"""Standard deviation of a centre's heat, over the face's width and height."""
SPREADS = (0.75, 1.5)
"""Cells: the least and the greatest standard deviation, so that small faces have a peak and large ones not a plain.
Loss counts by heat: were they farther apart, large faces would be learnt first and small ones hardly."""
NEAR = 0.4
"""Cells whose heat is at least this also learn the box, in proportion: each may win where faces are decoded."""
IGNORED = -1.0
"""Stands in the heat map where no answer is wrong."""


def make_targets(boxes: Floats, eyes: Floats, counts: Floats, height: int, width: int) -> tuple[Floats, Floats]:
    """Draw the maps of one picture.

    Args:
        boxes: (n, 4) x, y, w, h in pixels of the picture.
        eyes: (n, 4) right eye x, y, left eye x, y; NaN where unknown.
        counts: (n,) 1 for a face, 0 for what is neither face nor background.
        height: Of the picture, in pixels; a multiple of `STRIDE`.
        width: Likewise.

    Returns:
        heat: (rows, columns, 1), 0 to 1 or `IGNORED`; exactly 1 in the cell of each face's centre.
        geometry: (rows, columns, 10): the eight values, then the weights of box and eyes.
    """
    rows, columns = height // STRIDE, width // STRIDE
    heat = np.zeros((rows, columns), np.float32)
    geometry = np.zeros((rows, columns, 10), np.float32)
    ys, xs = np.mgrid[:rows, :columns].astype(np.float32)
    doubtful = (counts == 0) | (boxes[:, 2:].max(axis=1, initial=0) < SMALLEST)
    for x, y, w, h in boxes[doubtful] / STRIDE:
        heat[(xs + 0.5 >= x) & (xs + 0.5 <= x + w) & (ys + 0.5 >= y) & (ys + 0.5 <= y + h)] = IGNORED
        row, column = int((y + h / 2) // 1), int((x + w / 2) // 1)
        if 0 <= row < rows and 0 <= column < columns:
            heat[row, column] = IGNORED
    faces = np.flatnonzero(~doubtful)
    for face in faces[np.argsort(-boxes[faces, 2] * boxes[faces, 3])]:  # a small face before a large one wins the cell
        x, y, w, h = boxes[face] / STRIDE
        column, row = int((x + w / 2) // 1), int((y + h / 2) // 1)  # int() alone would bring -0.5 to the first cell
        if not (0 <= row < rows and 0 <= column < columns):
            continue
        over_xy = np.clip((SPREAD * w, SPREAD * h), *SPREADS)
        peak = np.exp(-(((xs - column) / over_xy[0]) ** 2 + ((ys - row) / over_xy[1]) ** 2) / 2)
        near = (peak >= NEAR) & (peak >= heat)
        cells = np.argwhere(near)[:, ::-1]
        n = len(cells)
        geometry[near, :8] = encode(np.repeat(boxes[[face]], n, 0), np.repeat(eyes[[face]], n, 0), cells)
        geometry[near, 8:] = peak[near, None]
        heat = np.where((heat == IGNORED) & (peak < NEAR), heat, np.maximum(heat, peak))
    unknown = np.isnan(geometry[..., 4:8]).any(axis=-1)
    geometry[unknown, 4:8], geometry[unknown, 9] = 0, 0
    return heat[..., None], geometry


def heat_loss(heat: Any, logits: Any) -> Any:
    """Quality focal loss (Li et al. 2020, beta 2) per unit of heat: cross entropy, weighed by how far off it is."""
    wanted = ops.maximum(heat, 0.0)
    counts = ops.cast(heat >= 0, logits.dtype)
    entropy = ops.softplus(logits) - wanted * logits
    off = ops.square(wanted - ops.sigmoid(logits))
    return ops.sum(counts * off * entropy) / ops.maximum(ops.sum(wanted), 1.0)


def geometry_loss(target: Any, answer: Any) -> Any:
    """1 - generalised intersection over union (Rezatofighi et al. 2019) of the boxes, plus how far the eyes are off.

    Means over the cells that know them. The boxes of small and large faces weigh the same so.
    """
    box, eyes = target[..., 8], target[..., 9]
    off_box = ops.sum(box * (1 - _giou(target, answer))) / ops.maximum(ops.sum(box), 1.0)
    off_eyes = ops.sum(eyes[..., None] * ops.abs(answer[..., 4:] - target[..., 4:8]))
    return off_box + off_eyes / ops.maximum(ops.sum(eyes), 1.0)


def _giou(target: Any, answer: Any) -> Any:
    """Generalised intersection over union of two boxes in each cell, -1 to 1."""
    (first_a, last_a), (first_b, last_b) = _corners(target), _corners(answer)
    common = ops.prod(ops.maximum(ops.minimum(last_a, last_b) - ops.maximum(first_a, first_b), 0.0), axis=-1)
    union = ops.prod(last_a - first_a, axis=-1) + ops.prod(last_b - first_b, axis=-1) - common
    around = ops.prod(ops.maximum(last_a, last_b) - ops.minimum(first_a, first_b), axis=-1)
    return common / union - (around - union) / around


def _corners(geometry: Any) -> tuple[Any, Any]:
    """First and last corner of each cell's box, in cells from the cell's centre."""
    half = ops.exp(ops.clip(geometry[..., 2:4], -4.0, 4.0)) * (TYPICAL / STRIDE / 2)
    return geometry[..., :2] - half, geometry[..., :2] + half
