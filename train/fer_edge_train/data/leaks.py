"""Leaks: what stands on both sides of a split, and makes a network look better than it is."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import SPLITS, FaceSet
from fer_edge_train.data.fingerprints import Hashes, hashes_of
from fer_edge_train.data.readers import person_of

Kind = Literal["copy", "near", "photo", "person"]
Rows = npt.NDArray[np.int64]

KINDS: dict[Kind, str] = {
    "copy": "an equal one",
    "near": "a nearly equal one",
    "photo": "one of the same photo",
    "person": "one of the same person by file name",
}
"""What a held-out face has in an earlier split, worst first."""
TITLES: dict[Kind, str] = {
    "copy": "equal",
    "near": "nearly equal",
    "photo": "same photo",
    "person": "same person by file name",
}
"""What two faces in different splits are."""

NEAR_BITS = 32
"""Two faces are near-duplicates where at most this many of the 256 bits of their hashes differ.
Of muxspace's 66,103,169 pairs of different persons by file name 6 are that near; 45 are at 40 bits, 815 at 48. Between
FER+'s training and validation pictures, of 102,201,924 pairs 360 are equal and 393 near, and all that were looked at
show one photo, cut, scaled or lit differently. Of 3,000 faces of three data sets, one is farther from itself once saved
as JPEG of quality 50, reduced to 32 pixels and back, blurred, or lit differently; enlarged by 4 %, one in eleven;
moved by a pixel each way, 19 in 20: photos that were cut anew may escape."""
COARSE_BITS = 16
"""At most this many of the first 64 bits differ where at most `NEAR_BITS` of all do: on average half as many do. A
limit of 24 finds no further pair in FER+."""
LISTED = 1000
"""Pairs of each kind that are listed, however many are counted."""
PAIRS_AT_ONCE = 1 << 18
"""Pairs whose bits are compared in one go: what a processor's second cache holds."""
ORDER = {split: number for number, split in enumerate(SPLITS)}


class Pair(NamedTuple):
    """Two faces that should not stand in two splits."""

    earlier: int
    """Row of the face in training, or in validation where the other is in testing."""
    later: int
    """Row of the face that is judged."""
    bits: int
    """How many of the 256 bits of their hashes differ."""


@dataclass(frozen=True)
class Leak:
    """All pairs of one kind."""

    kind: Kind
    pairs: int
    """How many; a pair of a worse kind is not counted again where the one follows from the other."""
    faces: dict[str, int]
    """Validation and testing: faces there that have such a partner in an earlier split."""
    listed: list[Pair]
    """The first of them: near-duplicates the nearest first, the others one for each picture, photo or person."""

    @property
    def total(self) -> int:
        """Held-out faces with such a partner."""
        return sum(self.faces.values())


def find_leaks(
    marks: Hashes,
    split: npt.NDArray[np.str_],
    photos: npt.NDArray[Any],
    persons: npt.NDArray[np.str_],
) -> list[Leak]:
    """Find the pairs of faces that stand in different splits, kind by kind; kinds without one are left out.

    Args:
        marks: (n, 5) as `fer_edge_train.data.fingerprints` gives them.
        split: (n,) training, validation or testing.
        photos: (n,) what names the photo that a face was cut from.
        persons: (n,) person, "" where nobody knows.
    """
    order = np.array([ORDER[name] for name in split.tolist()], np.int64)
    picture, photo = (np.unique(keys, return_inverse=True)[1] for keys in (marks[:, -1], photos))
    known, person = np.unique(persons, return_inverse=True)
    nobody = persons == ""
    person[nobody] = len(known) + np.arange(np.count_nonzero(nobody))  # each one of their own
    leaks = [
        _shared("copy", picture, np.arange(len(order)), order, marks),
        _near(marks, order),
        _shared("photo", photo, picture, order, marks),
        _shared("person", person, photo, order, marks),
    ]
    return [leak for leak in leaks if leak.pairs]


def leak_warning(faces: FaceSet, data: Sequence[str]) -> str | None:
    """Say in one line what leaks a data set has and what to type; None where it has none.

    Args:
        faces: The whole data set, or several joined.
        data: What --data named.
    """
    photos = faces.photos if faces.tells_photos else faces.names
    persons = persons_of(faces.names, faces.group, faces.source)
    leaks = find_leaks(hashes_of(faces.grey), faces.split, photos, persons)
    if not leaks:
        return None
    held: dict[str, int] = {split: int((faces.split == split).sum()) for split in SPLITS}
    see = " and ".join(f"fer-edge prepare --check --data {shlex.quote(one)}" for one in data)
    return (
        f"{'; '.join(leak_lines(leaks, held))}; the figures will flatter; {remedies(leaks, faces.source)[0]}; see {see}"
    )


def leak_lines(leaks: list[Leak], held: dict[str, int]) -> list[str]:
    """Say, in a line for each split, how many of its faces leak.

    Args:
        leaks: What `find_leaks` found.
        held: Faces of each split.
    """
    lines = []
    for number, split in enumerate(SPLITS):
        torn = [(leak.faces[split], KINDS[leak.kind]) for leak in leaks if split in leak.faces]
        found = ", ".join(f"{n:,} {'has' if n == 1 else 'have'} {what}" for n, what in torn)
        if found:
            lines.append(f"of {held[split]:,} {split} faces {found} in {' or '.join(SPLITS[:number])}")
    return lines


def remedies(leaks: list[Leak], source: dict[str, Any]) -> list[str]:
    """Say what can be done about leaks, a line each.

    Args:
        leaks: What `find_leaks` found; not empty.
        source: Where the faces came from, as in a prepared set.
    """
    kinds = {leak.kind for leak in leaks}
    if source.get("split") == "own":
        made = source.get("format") == "folders" and "person" in kinds
        again = "; if fer-edge prepare made them, prepare again from the source with --group person" if made else ""
        lost = "take one face of each pair out, or judge on other faces"
        return [f"the data brings these splits, so --group cannot mend them: {lost}{again}"]
    lines = (
        ["--group person (of prepare, or of train on a folder) keeps each person on one side"]
        if "person" in kinds
        else []
    )
    if kinds - {"person"}:
        lines.append("pictures that are alike under two names are not parted by --group; remove one of each pair")
    return lines


def persons_of(
    names: npt.NDArray[np.str_], groups: npt.NDArray[np.str_], source: dict[str, Any]
) -> npt.NDArray[np.str_]:
    """Name the person in each picture, (n,), by its file name; "" where the name tells none.

    With --group person the groups are persons. Without it a name has to look like First_Last_0001.jpg: nobody asked, so
    img_0001.jpg must not raise a false alarm. ExpW's names (angry_boy_12.jpg) say what was searched for.

    Args:
        names: (n,) pictures.
        groups: (n,) groups.
        source: Where the faces came from, as in a prepared set.
    """
    if source.get("format") == "expw":
        return np.full(len(names), "")
    if source.get("settings", {}).get("group") == "person":
        return groups
    persons = np.array([person_of(name) if tells_person(name) else "" for name in names.tolist()], np.str_)
    named, counts = np.unique(persons, return_counts=True)
    crowd = named[2 * counts > len(names)]  # whom most pictures show is a word that all files begin with
    return np.where(np.isin(persons, crowd), "", persons)


def tells_person(picture: str) -> bool:
    """Tell whether a picture is called First_Last_0001.jpg.

    >>> tells_person("images/Colin_Powell_0116.jpg"), tells_person("img_0001.jpg"), tells_person("angry_boy_12.jpg")
    (True, False, False)
    """
    stem = PurePosixPath(picture).stem
    return stem[:1].isupper() and re.fullmatch(r"[^\W\d_][^_]*(_[^\W\d_][^_]*)+_\d+", stem) is not None


def _shared(kind: Kind, keys: Rows, apart: Rows, order: Rows, marks: Hashes) -> Leak:
    """Find the faces with the same key in different splits, but not those that are the same by `apart`, too."""
    _, both = np.unique(np.stack([keys, apart]), axis=1, return_inverse=True)
    before, before_both = _before(keys, order), _before(both.ravel(), order)
    torn = np.flatnonzero(before > before_both)
    pairs = int((before - before_both).sum())
    _, first, counts = np.unique(keys[torn], return_index=True, return_counts=True)
    listed = []
    for later in torn[first[np.lexsort((first, -counts))[:LISTED]]]:  # what is torn most often first
        rows = np.flatnonzero((keys == keys[later]) & (apart != apart[later]) & (order < order[later]))
        listed.append(_pair(rows[0], later, marks))
    return Leak(kind, pairs, _by_split(torn, order), listed)


def _before(keys: Rows, order: Rows) -> Rows:
    """Count, for each face, the faces of earlier splits that have its key, (n,)."""
    counts = np.zeros((keys.max(initial=-1) + 1, len(SPLITS)), np.int64)
    np.add.at(counts, (keys, order), 1)
    return np.asarray((counts.cumsum(axis=1) - counts)[keys, order], np.int64)


def _near(marks: Hashes, order: Rows) -> Leak:
    """Find the faces that look alike in different splits and are not equal; memory stays bounded whatever is found."""
    pairs, nearest, partner = 0, np.full(len(marks), NEAR_BITS + 1), np.zeros(len(marks), np.int64)
    for earlier, later, bits in _near_pairs(marks, order):
        pairs += len(bits)
        by_distance = np.argsort(-bits, kind="stable")  # the nearest is written last
        earlier, later, bits = earlier[by_distance], later[by_distance], bits[by_distance]
        better = bits < nearest[later]
        nearest[later[better]], partner[later[better]] = bits[better], earlier[better]
    torn = np.flatnonzero(nearest <= NEAR_BITS)
    first = torn[np.argsort(nearest[torn], kind="stable")[:LISTED]]
    return Leak("near", pairs, _by_split(torn, order), [_pair(partner[row], row, marks) for row in first])


def _near_pairs(marks: Hashes, order: Rows) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Yield rows of earlier splits, rows of later ones, and how many bits differ, for pairs that are near."""
    for number in range(1, len(SPLITS)):
        earlier, later = np.flatnonzero(order < number), np.flatnonzero(order == number)
        coarse = marks[earlier, 0]
        for rows in np.array_split(later, max(1, len(earlier) * len(later) // PAIRS_AT_ONCE)):
            alike = np.flatnonzero(_ones(marks[rows, 0][:, None] ^ coarse) <= COARSE_BITS)
            a, b = earlier[alike % max(1, len(earlier))], rows[alike // max(1, len(earlier))]
            bits = _differing(marks[a], marks[b])
            near = (bits <= NEAR_BITS) & (marks[a, -1] != marks[b, -1])
            yield a[near], b[near], bits[near]


def _differing(a: Hashes, b: Hashes) -> Rows:
    """Count the bits in which hashes differ, (n,), of marks (n, 5)."""
    return np.asarray(_ones(a[:, :-1] ^ b[:, :-1]).sum(axis=1), np.int64)


def _ones(words: Hashes) -> npt.NDArray[np.uint8]:
    """Count the ones in each word."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(words), np.uint8)
    words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))  # numpy 1.26; Warren, Hacker's Delight
    words = (words & np.uint64(0x3333333333333333)) + ((words >> np.uint64(2)) & np.uint64(0x3333333333333333))
    words = (words + (words >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.asarray((words * np.uint64(0x0101010101010101)) >> np.uint64(56), np.uint8)


def _pair(earlier: np.int64, later: np.int64, marks: Hashes) -> Pair:
    bits = _differing(marks[earlier][None], marks[later][None])[0]
    return Pair(int(earlier), int(later), int(bits))


def _by_split(rows: Rows, order: Rows) -> dict[str, int]:
    counts = np.bincount(order[rows], minlength=len(SPLITS)).tolist()
    return {split: counts[number] for split, number in ORDER.items() if counts[number]}
