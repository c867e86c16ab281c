"""Arrays of boxes: how much they overlap, and which of them stay when the best of each face is kept."""

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


def suppressed(boxes: Floats, overlap: float) -> npt.NDArray[np.int64]:
    """Rows of the boxes that stay when each drops the weaker ones that overlap it (non-maximum suppression).

    Args:
        boxes: (n, 4) x, y, w, h; best first.
        overlap: Intersection over union above which a box is dropped, 0 to 1.
    """
    covered = overlaps(boxes, boxes) > overlap
    alive = np.ones(len(boxes), bool)
    kept = []
    while alive.any():  # once per face, not per box
        best = int(alive.argmax())
        kept.append(best)
        alive &= ~covered[best]
        alive[best] = False
    return np.array(kept, np.int64)
