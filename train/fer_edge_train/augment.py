"""Random changes to training faces: light, and one affine warp by OpenCV (TensorFlow's is slow on small pictures)."""

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.images import Pixels
from fer_edge_train.settings import Augmentation


def augment(faces: Pixels, settings: Augmentation, rng: np.random.Generator) -> Pixels:
    """Change (n, size, size) uint8 grey faces, each in its own way; the border is repeated, as in `fer_edge.crop`."""
    n, size = len(faces), faces.shape[1]
    flips = rng.random(n) < (0.5 if settings.flip else 0)
    shifts = rng.uniform(-settings.shift, settings.shift, (n, 2)) * size
    angles = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation, n))
    zooms = np.exp(rng.uniform(-1, 1, n) * np.log1p(settings.zoom))
    lights = rng.uniform(-settings.brightness, settings.brightness, (n, 2))
    changed = np.empty_like(faces)
    for i, face in enumerate(faces):
        warp = _affine(size, bool(flips[i]), shifts[i], float(angles[i]), float(zooms[i]))
        warped = cv2.warpAffine(face, warp, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        gain, offset = 1 + lights[i, 0], 255 * lights[i, 1]
        mean = float(warped.mean())  # contrast turns about the mean and leaves it where it is
        changed[i] = np.clip((warped - mean) * gain + mean + offset, 0, 255)
    return changed


def _affine(
    size: int, flip: bool, shift: npt.NDArray[np.float64], angle: float, zoom: float
) -> npt.NDArray[np.float64]:
    """(2, 3) matrix that mirrors, turns and zooms about the centre of a picture of side `size`, then shifts."""
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    turn = np.array([[-cos if flip else cos, -sin], [-sin if flip else sin, cos]])
    centre = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, centre + shift - turn @ centre])
