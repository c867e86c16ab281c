"""What a report and the search for leaks remember of a face, so that neither has to keep its pixels."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from fer_edge.crop import resize_face
from fer_edge.faceset import photo_id
from fer_edge.files import sha256
from fer_edge.images import Pixels

SIZE = 48
"""Side in pixels of the face that is looked at, whatever size is written."""
HASH_SIDE = 16
"""A face's hash has 16 x 16 bits, each telling whether a spot is darker than the one right of it (ImageHash's dhash).
Its pHash of as many bits finds a tenth more pairs in FER+ with as few false ones, but takes over twice as long."""
MARK_WORDS = 5
"""Words of 64 bits in a mark: four of the hash, one of the pixels' digest."""

Marks = npt.NDArray[np.uint64]


class Look(NamedTuple):
    """What is remembered of one face."""

    side: float
    """Longer side of its box, in pixels of the source picture."""
    brightness: float
    """Mean grey value of its crop, 0 to 255."""
    mark: Sequence[int]
    """As `mark_of` gives it."""


def look_at(face: Pixels, side: float) -> Look:
    """Look at a face.

    Args:
        face: (size, size) uint8 grey.
        side: Longer side of its box, in pixels of the source picture.
    """
    face = resize_face(face, SIZE)
    return Look(round(side, 1), round(float(face.mean()), 1), mark_of(face))


def mark_of(face: Pixels) -> tuple[int, ...]:
    """Compute what tells a face from others: four words of its hash, one of its pixels' digest.

    Every word of the hash holds each second row and column of its bits, so each alone is a coarse hash of the whole.

    Args:
        face: (side, side) uint8 grey.
    """
    bits = imagehash.dhash(Image.fromarray(face), hash_size=HASH_SIDE).hash
    half = HASH_SIDE // 2
    coarse = bits.reshape(half, 2, half, 2).transpose(1, 3, 0, 2).reshape(MARK_WORDS - 1, half * half)
    return (*np.packbits(coarse, axis=1).view(np.uint64)[:, 0].tolist(), photo_id(sha256(face.tobytes())))


def marks_of(faces: Iterable[Pixels]) -> Marks:
    """Compute the marks of many faces, (n, 5).

    Args:
        faces: (n, side, side) uint8 grey.
    """
    return np.array([mark_of(face) for face in faces], np.uint64).reshape(-1, MARK_WORDS)
