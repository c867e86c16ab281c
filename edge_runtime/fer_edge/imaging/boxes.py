"""Overlap of arrays of boxes."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Return the intersection over union of each pair of boxes: (n, m), 0 to 1.

    Args:
        boxes: (n, 4) x, y, w, h.
        others: (m, 4) x, y, w, h.
    """
    x, y, w, h = (boxes[:, column, None] for column in range(4))
    other_x, other_y, other_w, other_h = others.T
    width = np.minimum(x + w, other_x + other_w) - np.maximum(x, other_x)
    height = np.minimum(y + h, other_y + other_h) - np.maximum(y, other_y)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    return np.asarray(shared / np.maximum(w * h + other_w * other_h - shared, 1e-9), np.float32)
