"""What a report and the search for leaks remember of faces, so that neither has to keep their pixels."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from fer_edge.data.faceset import photo_id
from fer_edge.files import sha256
from fer_edge.imaging.crop import resize_face
from fer_edge.imaging.images import Pixels, grey_of

SIZE = 48
"""Side in pixels of the face that is looked at, whatever size is written."""
HASH_SIDE = 16
"""A face's hash has 16 x 16 bits, each telling whether a spot is darker than the one right of it (ImageHash's dhash).
Its pHash of as many bits finds a tenth more pairs in FER+ with as few false ones, but takes over twice as long."""
HASH_WORDS = 5
"""Words of 64 bits in a mark: four of the hash, one of the pixels' digest."""

Hashes = npt.NDArray[np.uint64]


class Fingerprints(NamedTuple):
    """What is remembered of n faces."""

    rows: npt.NDArray[np.int64]
    """(n,) rows of the table."""
    sides: npt.NDArray[np.float64]
    """(n,) longer side of the face's box, in pixels of the source picture."""
    brightness: npt.NDArray[np.float64]
    """(n,) mean grey value of the crop, 0 to 255."""
    hashes: Hashes
    """(n, 5) as `hashes_of` gives them."""


def fingerprints_of(rows: Sequence[int], sides: Sequence[float], faces: Sequence[Pixels]) -> Fingerprints:
    """Look at faces; of many at once, so that what is remembered of 100,000 takes 7 MB and not 50.

    Args:
        rows: (n,) rows of the table.
        sides: (n,) longer side of each face's box, in pixels of the source picture.
        faces: n times (side, side) uint8 grey or (side, side, 3) uint8 RGB, of any sides.
    """
    seen = (
        np.stack([resize_face(grey_of(face), SIZE) for face in faces]) if faces else np.zeros((0, SIZE, SIZE), np.uint8)
    )
    return Fingerprints(
        np.asarray(rows, np.int64), np.round(sides, 1), np.round(seen.mean(axis=(1, 2)), 1), hashes_of(seen)
    )


def hashes_of(faces: Iterable[Pixels]) -> Hashes:
    """Compute what tells each face from others, (n, 5): four words of its hash, one of its pixels' digest.

    Every word of the hash holds each second row and column of its bits, so each alone is a coarse hash of the whole.

    Args:
        faces: (n, side, side) uint8 grey.
    """
    half, words = HASH_SIDE // 2, HASH_WORDS - 1
    hashes = [imagehash.dhash(Image.fromarray(face), hash_size=HASH_SIDE).hash for face in faces]
    bits = np.array(hashes, bool).reshape(-1, half, 2, half, 2)
    packed = np.packbits(bits.transpose(0, 2, 4, 1, 3).reshape(-1, words, half * half), axis=2)
    digests = np.array([photo_id(sha256(face.tobytes())) for face in faces], np.uint64)
    return np.concatenate([packed.view(np.uint64)[:, :, 0], digests[:, None]], axis=1)


NO_FINGERPRINTS = fingerprints_of([], [], [])
"""What is remembered of no face."""


def joined(fingerprints: Iterable[Fingerprints]) -> Fingerprints:
    """Put what is remembered of several lots of faces together, in their order."""
    return Fingerprints(*(np.concatenate(column) for column in zip(NO_FINGERPRINTS, *fingerprints, strict=True)))
