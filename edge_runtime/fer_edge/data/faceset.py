"""The prepared set: cropped, labelled faces in one `.npz`, shared by training, export and benchmark."""

import hashlib
import json
import shlex
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DAMAGE, DataError
from fer_edge.files import replacing
from fer_edge.imaging.images import InputColour, Pixels, face_shape, grey_of
from fer_edge.labels import match

Split = Literal["training", "validation", "testing"]
Protocol = Literal["majority", "all"]

SPLITS: tuple[Split, ...] = ("training", "validation", "testing")
FORMAT = 1


def photo_id(digest: str) -> int:
    """Shorten the sha256 (hex) of an image file to 64 bits, enough to avoid collisions among 100,000 images.

    >>> photo_id("00000000000000ff" + 48 * "a")
    255
    """
    return int(digest[:16], 16)


def drawing_order(names: Sequence[str], seed: int) -> npt.NDArray[np.int64]:
    """Shuffle names by a hash of seed and name; equal names keep their order.

    The order depends neither on the file system, the locale, nor the version of numpy, whose generators may change.

    Returns:
        (n,) indices into `names`.

    >>> drawing_order(["a.jpg", "b.jpg", "c.jpg", "d.jpg"], seed=0).tolist()
    [2, 3, 1, 0]
    """
    digests = [hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest() for name in names]
    return np.array(sorted(range(len(names)), key=digests.__getitem__), np.int64)


@dataclass(frozen=True)
class FaceSet:
    """Cropped faces with votes; every array has one row per face."""

    faces: Pixels
    """(n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB."""
    votes: npt.NDArray[np.float32]
    """(n, classes): votes per class; one-hot if the data set has one label per face."""
    agreed: npt.NDArray[np.bool_]
    """(n,): whether the face counts under FER+'s majority protocol; always true with one label per face."""
    split: npt.NDArray[np.str_]
    """(n,): training, validation or testing."""
    group: npt.NDArray[np.str_]
    """(n,): group (photo, person), whose faces are never in two splits."""
    names: npt.NDArray[np.str_]
    """(n,): image of each face, relative to its data set."""
    classes: tuple[str, ...]
    """Class names in the order of `votes`' columns."""
    source: dict[str, Any] = field(default_factory=dict)
    """Provenance: data set, format, digest, licence, seed, framing; copied into the model's contract."""
    photos: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """(n,): image of each face as `photo_id`; (0,) if unknown."""

    def __post_init__(self) -> None:
        n = len(self.faces)
        square = self.faces.ndim > 2 and self.faces.shape[1:] == face_shape(self.size, self.colour)
        if not square or self.faces.dtype != np.uint8:
            expected = "(n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB"
            raise DataError(f"faces must be {expected}, not {self.faces.shape} {self.faces.dtype}")
        if self.votes.shape != (n, len(self.classes)):
            raise DataError(f"votes of {n} faces must be ({n}, {len(self.classes)}), not {self.votes.shape}")
        if {len(self.agreed), len(self.split), len(self.group), len(self.names), len(self.photos) or n} != {n}:
            raise DataError("the columns of the prepared set have different lengths")
        if strange := set(self.split.tolist()) - set(SPLITS):
            raise DataError(f"a face is in split {strange.pop()!r}; splits are {', '.join(SPLITS)}")

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def size(self) -> int:
        """Side of a face in pixels."""
        return int(self.faces.shape[1])

    @property
    def colour(self) -> InputColour:
        """Colour of the faces: grey or rgb."""
        return "grey" if self.faces.ndim == 3 else "rgb"

    @property
    def grey(self) -> Pixels:
        """(n, size, size) uint8: the faces in grey, for comparisons that ignore colour."""
        if self.colour == "grey":
            return self.faces
        return np.array([grey_of(face) for face in self.faces], np.uint8).reshape(-1, self.size, self.size)

    @property
    def tells_photos(self) -> bool:
        """Whether the images of the faces are known."""
        return len(self.photos) == len(self)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,) class index with the most votes, the first if several have equally many."""
        return np.asarray(np.argmax(self.votes, axis=1), np.int64)

    def take(self, rows: npt.NDArray[Any]) -> "FaceSet":
        """Select `rows` (indices or a boolean mask), in that order."""
        columns = ["faces", "votes", "agreed", "split", "group", "names", *(["photos"] if len(self.photos) else [])]
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def part(self, split: str) -> "FaceSet":
        """Select the faces of one split."""
        return self.take(self.split == split)

    def under(self, protocol: Protocol) -> "FaceSet":
        """Select the faces of FER+'s `majority` protocol (one emotion has over half the votes), or all."""
        return self.take(self.agreed) if protocol == "majority" else self

    @property
    def voted(self) -> bool:
        """Whether faces have several votes, so that the two protocols differ."""
        return bool(len(self) and self.votes.sum(axis=1).max() > 1)

    def with_classes(self, classes: tuple[str, ...]) -> "FaceSet":
        """Arrange the votes in the order of `classes`, Happy being happiness; a class that this set lacks gets none.

        Raises:
            DataError: There are votes for a class that is not in `classes`.
        """
        votes = np.zeros((len(self), len(classes)), np.float32)
        strange = []
        for name, column in zip(self.classes, self.votes.T, strict=True):
            if label := match(name, classes):
                votes[:, classes.index(label)] += column
            elif column.any():
                strange.append(name)
        if strange:
            raise DataError(f"the data has {', '.join(strange)}, the model knows only {', '.join(classes)}")
        return replace(self, votes=votes, classes=classes)

    def counts(self) -> dict[str, int]:
        """Return the number of faces per class."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write the prepared set to `path` (.npz) atomically; the same faces give the same bytes.

        Faces are not compressed: that would take longer than cropping them, and save only a tenth.
        """
        meta = {"format": FORMAT, "classes": self.classes, "source": self.source}
        columns = {
            "meta": np.array(json.dumps(meta)),
            "faces": self.faces,
            "votes": self.votes,
            "agreed": self.agreed,
            "split": self.split,
            "group": self.group,
            "names": self.names,
            "photos": self.photos,
        }
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, column in columns.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # with the constant date 1980
                member.compress_type = zipfile.ZIP_STORED if name == "faces" else zipfile.ZIP_DEFLATED
                with archive.open(member, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, column, allow_pickle=False)

    @staticmethod
    def load(path: Path) -> "FaceSet":
        """Read a prepared set.

        Raises:
            DataError: The file is missing, damaged, or not a prepared set.
        """
        try:
            with np.load(path, allow_pickle=False) as columns:
                meta = json.loads(str(columns["meta"]))
                if meta["format"] != FORMAT:
                    raise DataError(f"prepared set of format {meta['format']}; this fer-edge reads format {FORMAT}")
                return FaceSet(
                    faces=columns["faces"],
                    votes=columns["votes"].astype(np.float32),
                    agreed=columns["agreed"],
                    split=columns["split"],
                    group=columns["group"],
                    names=columns["names"],
                    classes=tuple(meta["classes"]),
                    source=meta["source"],
                    photos=columns["photos"] if "photos" in columns else np.zeros(0, np.uint64),
                )
        except FileNotFoundError as error:
            command = f"fer-edge prepare --data DIR --out {shlex.quote(str(path))}"
            raise DataError(f"{path}: no such file; make one: {command}") from error
        except DataError as error:
            raise DataError(f"{path}: {error}; make a new one: fer-edge prepare --data DIR --out SET.npz") from error
        except DAMAGE as error:
            raise DataError(
                f"{path}: not a prepared set; make one: fer-edge prepare --data DIR --out SET.npz"
            ) from error


def must_have_two_classes(faces: FaceSet, source: str) -> None:
    """Refuse training or calibration faces with nothing to tell apart.

    Args:
        faces: The faces.
        source: Where they are from, for the error.

    Raises:
        DataError: They are all of one class.
    """
    present = [name for name, count in faces.counts().items() if count]
    if len(present) == 1:
        raise DataError(f"{source}: all training faces are {present[0]}; a network needs two classes or more")
