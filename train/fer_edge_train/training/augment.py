"""Data augmentation with OpenCV: TensorFlow's own is slow on small images.

Every face gets one affine warp and one brightness lookup table; the rest is applied to a share of the faces.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.imaging.images import Pixels
from fer_edge_train.settings import Augmentation

Rng = np.random.Generator
Doubles = npt.NDArray[np.float64]


def augment(faces: Pixels, settings: Augmentation, rng: Rng) -> Pixels:
    """Augment (n, size, size) uint8 grey faces, each differently; borders are replicated, as in `imaging.crop`."""
    n, size = len(faces), faces.shape[1]
    flips = rng.random(n) < (0.5 if settings.flip else 0)
    shifts = rng.uniform(-settings.shift, settings.shift, (n, 2)) * size
    angles = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation, n))
    zooms = np.exp(rng.uniform(-1, 1, n) * np.log1p(settings.zoom))
    lights = rng.uniform(-settings.brightness, settings.brightness, (n, 2))
    changed = np.empty_like(faces)
    for face, warp, result in zip(faces, _affine(size, flips, shifts, angles, zooms), changed, strict=True):
        cv2.warpAffine(face, warp, (size, size), result, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    changed = _adjust_light(changed, lights)
    changes: tuple[tuple[float, Callable[[Pixels, Rng], Pixels]], ...] = (
        (settings.erasing, _erase),
        (settings.low_resolution, _downscale),
        (settings.gaussian_blur, _blur),
        (settings.jpeg, _compress_jpeg),
    )
    for share, change in changes:
        for i in np.flatnonzero(rng.random(n) < share):
            changed[i] = change(changed[i], rng)
    return changed


def _affine(size: int, flips: npt.NDArray[np.bool_], shifts: Doubles, angles: Doubles, zooms: Doubles) -> Doubles:
    """(n, 2, 3) matrices that flip, rotate and zoom about the centre of an image of side `size`, then shift."""
    cos, sin = zooms * np.cos(angles), zooms * np.sin(angles)
    linear = np.stack([np.where(flips, -cos, cos), -sin, np.where(flips, -sin, sin), cos], axis=1).reshape(-1, 2, 2)
    centre = np.full(2, (size - 1) / 2)
    return np.concatenate([linear, (centre + shifts - linear @ centre)[..., None]], axis=2)


def _adjust_light(faces: Pixels, lights: Doubles) -> Pixels:
    """Change brightness and contrast by the shares in `lights`, (n, 2); contrast keeps a face's mean."""
    means = faces.mean(axis=(1, 2))[:, None]
    greys = (np.arange(256) - means) * (1 + lights[:, :1]) + means + 255 * lights[:, 1:]
    tables = np.clip(greys, 0, 255).astype(np.uint8)
    lit = np.empty_like(faces)
    for face, table, result in zip(faces, tables, lit, strict=True):
        cv2.LUT(face, table, result)
    return lit


def _erase(face: Pixels, rng: Rng) -> Pixels:
    """Replace a rectangle with noise, for occlusion by a hand, mask or hair."""
    size, area, ratio = len(face), rng.uniform(0.02, 0.2), np.exp(rng.uniform(-1, 1) * np.log(2))
    height, width = (max(1, round(size * np.sqrt(area * r))) for r in (ratio, 1 / ratio))
    top, left = (rng.integers(size - side + 1) for side in (height, width))
    face = face.copy()
    face[top : top + height, left : left + width] = rng.integers(0, 256, (height, width))
    return face


def _downscale(face: Pixels, rng: Rng) -> Pixels:
    size = len(face)
    side = max(1, round(size * np.exp(rng.uniform(-np.log(3), 0))))
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _blur(face: Pixels, rng: Rng) -> Pixels:
    sigma = len(face) * rng.uniform(1 / 128, 1 / 32)
    return np.asarray(cv2.GaussianBlur(face, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _compress_jpeg(face: Pixels, rng: Rng) -> Pixels:
    _, packed = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 81))])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
