"""Overlap of arrays of boxes."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every box with every other: (n, m), 0 to 1.

    Args:
        boxes: (n, 4) x, y, w, h.
        others: (m, 4) likewise.
    """
    x, y, w, h = (boxes[:, column, None] for column in range(4))
    other_x, other_y, other_w, other_h = others.T
    wide = np.minimum(x + w, other_x + other_w) - np.maximum(x, other_x)
    high = np.minimum(y + h, other_y + other_h) - np.maximum(y, other_y)
    common = np.maximum(wide, 0) * np.maximum(high, 0)
    return np.asarray(common / np.maximum(w * h + other_w * other_h - common, 1e-9), np.float32)
