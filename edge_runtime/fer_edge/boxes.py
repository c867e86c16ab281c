"""Arrays of boxes: how much they overlap."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


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
