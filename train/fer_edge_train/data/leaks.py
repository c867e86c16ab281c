"""Data leakage: duplicates, photos and persons in several splits, which inflate the metrics."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import SPLITS, FaceSet
from fer_edge_train.data.fingerprints import Hashes, hashes_of
from fer_edge_train.data.persons import NAMED, person_of

Kind = Literal["copy", "near", "photo", "person"]
Rows = npt.NDArray[np.int64]

KINDS: dict[Kind, str] = {
    "copy": "an equal one",
    "near": "a nearly equal one",
    "photo": "one of the same photo",
    "person": "one of the same person by file name",
}
"""Related face of a held-out face in an earlier split, worst first."""
TITLES: dict[Kind, str] = {
    "copy": "equal",
    "near": "nearly equal",
    "photo": "same photo",
    "person": "same person by file name",
}
"""Relation of two faces in different splits."""

NEAR_BITS = 32
"""Two faces are near-duplicates if at most this many of the 256 bits of their hashes differ.
Of muxspace's 66,103,169 pairs of different persons by file name 6 are that near; 45 are at 40 bits, 815 at 48. Between
FER+'s training and validation pictures, of 102,201,924 pairs 360 are equal and 393 near, and all that were inspected
show one photo with another crop, scale or brightness. Of 3,000 faces of three data sets, one is missed when saved as
JPEG of quality 50, reduced to 32 pixels and back, blurred, or changed in brightness; when enlarged by 4 %, one in
eleven; when moved by a pixel each way, 19 in 20: photos that were cropped again may be missed."""
COARSE_BITS = 16
"""Limit on the first 64 bits for pairs within `NEAR_BITS` in all: on average half as many differ. A limit of 24 finds
no further pair in FER+."""
LISTED = 1000
"""Maximum number of pairs listed per kind."""
PAIRS_AT_ONCE = 1 << 18
"""Pairs compared at once: what fits into a level 2 cache."""
ORDER = {split: number for number, split in enumerate(SPLITS)}


class Pair(NamedTuple):
    """Two related faces in different splits."""

    earlier: int
    """Row of the face in training, or in validation if the other is in testing."""
    later: int
    """Row of the held-out face."""
    bits: int
    """Hamming distance of their hashes, of 256 bits."""


@dataclass(frozen=True)
class Leak:
    """All pairs of one kind."""

    kind: Kind
    pairs: int
    """Number of pairs, without those already counted as a worse kind that implies this one."""
    faces: dict[str, int]
    """Split -> number of its faces with such a pair in an earlier split."""
    listed: list[Pair]
    """The first pairs: near-duplicates nearest first, others one per picture, photo or person."""

    @property
    def total(self) -> int:
        """Number of held-out faces with such a pair."""
        return sum(self.faces.values())


def find_leaks(
    hashes: Hashes,
    split: npt.NDArray[np.str_],
    photos: npt.NDArray[Any],
    persons: npt.NDArray[np.str_],
) -> list[Leak]:
    """Find related faces in different splits, by kind; kinds without a pair are left out.

    Args:
        hashes: (n, 5) as `fer_edge_train.data.fingerprints` computes them.
        split: (n,) training, validation or testing.
        photos: (n,) id of the photo that a face was cropped from.
        persons: (n,) person, "" if unknown.
    """
    order = np.array([ORDER[name] for name in split.tolist()], np.int64)
    picture, photo = (np.unique(keys, return_inverse=True)[1] for keys in (hashes[:, -1], photos))
    known, person = np.unique(persons, return_inverse=True)
    unknown = persons == ""
    person[unknown] = len(known) + np.arange(np.count_nonzero(unknown))  # each a different person
    leaks = [
        _shared("copy", picture, np.arange(len(order)), order, hashes),
        _near(hashes, order),
        _shared("photo", photo, picture, order, hashes),
        _shared("person", person, photo, order, hashes),
    ]
    return [leak for leak in leaks if leak.pairs]


def leak_warning(faces: FaceSet, data: Sequence[str]) -> str | None:
    """Describe the leaks of a data set and what to type, in one line; None if there are none.

    Args:
        faces: One data set, or several joined.
        data: Values of --data.
    """
    photos = faces.photos if faces.tells_photos else faces.names
    persons = persons_of(faces.names, faces.group, faces.source)
    leaks = find_leaks(hashes_of(faces.grey), faces.split, photos, persons)
    if not leaks:
        return None
    sizes: dict[str, int] = {split: int((faces.split == split).sum()) for split in SPLITS}
    commands = " and ".join(f"fer-edge prepare --check --data {shlex.quote(one)}" for one in data)
    lines = "; ".join(leak_lines(leaks, sizes))
    return f"{lines}; metrics will be too high; {remedies(leaks, faces.source)[0]}; see {commands}"


def leak_lines(leaks: list[Leak], sizes: dict[str, int]) -> list[str]:
    """Report how many faces of each split leak, one line per split.

    Args:
        leaks: Result of `find_leaks`.
        sizes: Faces of each split.
    """
    lines = []
    for number, split in enumerate(SPLITS):
        counts = [(leak.faces[split], KINDS[leak.kind]) for leak in leaks if split in leak.faces]
        found = ", ".join(f"{n:,} {'has' if n == 1 else 'have'} {what}" for n, what in counts)
        if found:
            lines.append(f"of {sizes[split]:,} {split} faces {found} in {' or '.join(SPLITS[:number])}")
    return lines


def remedies(leaks: list[Leak], source: dict[str, Any]) -> list[str]:
    """Suggest fixes for leaks, one line each.

    Args:
        leaks: Result of `find_leaks`; not empty.
        source: Provenance of the faces, as in a prepared set.
    """
    kinds = {leak.kind for leak in leaks}
    if source.get("split") == "own":
        prepared = source.get("format") == "folders" and "person" in kinds
        again = "; if fer-edge prepare made them, prepare again from the source with --group person" if prepared else ""
        fix = "remove one face of each pair, or evaluate on other faces"
        return [f"these are the data set's own splits, so --group cannot fix them: {fix}{again}"]
    lines = (
        ["--group person (of prepare, or of train on a folder) keeps each person in one split"]
        if "person" in kinds
        else []
    )
    if kinds - {"person"}:
        lines.append("--group does not catch duplicates under two names; remove one of each pair")
    return lines


def persons_of(
    names: npt.NDArray[np.str_], groups: npt.NDArray[np.str_], source: dict[str, Any]
) -> npt.NDArray[np.str_]:
    """Person in each picture, (n,), from its file name; "" if the name has none.

    With --group person the groups are persons. Otherwise only the names of known data sets and First_Last_0001.jpg
    count, so that img_0001.jpg raises no false alarm. ExpW's names (angry_boy_12.jpg) are search terms.

    Args:
        names: (n,) pictures.
        groups: (n,) groups.
        source: Provenance of the faces, as in a prepared set.
    """
    if source.get("format") == "expw":
        return np.full(len(names), "")
    if source.get("settings", {}).get("group") == "person":
        return groups
    persons = np.array([person_of(name, tuple(NAMED.values())) or "" for name in names.tolist()], np.str_)
    named, counts = np.unique(persons, return_counts=True)
    prefixes = named[2 * counts > len(names)]  # a "person" in most pictures is a common file name prefix
    return np.where(np.isin(persons, prefixes), "", persons)


def _shared(kind: Kind, keys: Rows, apart: Rows, order: Rows, hashes: Hashes) -> Leak:
    """Find faces with the same key in different splits, except those with the same `apart`, too."""
    _, both = np.unique(np.stack([keys, apart]), axis=1, return_inverse=True)
    before, before_both = _before(keys, order), _before(both.ravel(), order)
    leaked = np.flatnonzero(before > before_both)
    pairs = int((before - before_both).sum())
    _, first, counts = np.unique(keys[leaked], return_index=True, return_counts=True)
    listed = []
    for later in leaked[first[np.lexsort((first, -counts))[:LISTED]]]:  # most frequent keys first
        rows = np.flatnonzero((keys == keys[later]) & (apart != apart[later]) & (order < order[later]))
        listed.append(_pair(rows[0], later, hashes))
    return Leak(kind, pairs, _by_split(leaked, order), listed)


def _before(keys: Rows, order: Rows) -> Rows:
    """Count, for each face, the faces of earlier splits that have its key, (n,)."""
    counts = np.zeros((keys.max(initial=-1) + 1, len(SPLITS)), np.int64)
    np.add.at(counts, (keys, order), 1)
    return np.asarray((counts.cumsum(axis=1) - counts)[keys, order], np.int64)


def _near(hashes: Hashes, order: Rows) -> Leak:
    """Find near-duplicates, without equal faces, in different splits; memory is bounded."""
    pairs, nearest, partner = 0, np.full(len(hashes), NEAR_BITS + 1), np.zeros(len(hashes), np.int64)
    for earlier, later, bits in near_pairs(hashes, order):
        pairs += len(bits)
        by_distance = np.argsort(-bits, kind="stable")  # the nearest is written last
        earlier, later, bits = earlier[by_distance], later[by_distance], bits[by_distance]
        better = bits < nearest[later]
        nearest[later[better]], partner[later[better]] = bits[better], earlier[better]
    leaked = np.flatnonzero(nearest <= NEAR_BITS)
    first = leaked[np.argsort(nearest[leaked], kind="stable")[:LISTED]]
    return Leak("near", pairs, _by_split(leaked, order), [_pair(partner[row], row, hashes) for row in first])


def near_pairs(hashes: Hashes, order: Rows) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Yield near pairs: rows in earlier splits, rows in later ones, and the number of differing bits."""
    for number in range(1, len(SPLITS)):
        earlier, later = np.flatnonzero(order < number), np.flatnonzero(order == number)
        coarse = hashes[earlier, 0]
        for rows in np.array_split(later, max(1, len(earlier) * len(later) // PAIRS_AT_ONCE)):
            candidates = np.flatnonzero(_ones(hashes[rows, 0][:, None] ^ coarse) <= COARSE_BITS)
            a, b = earlier[candidates % max(1, len(earlier))], rows[candidates // max(1, len(earlier))]
            bits = _differing(hashes[a], hashes[b])
            near = (bits <= NEAR_BITS) & (hashes[a, -1] != hashes[b, -1])
            yield a[near], b[near], bits[near]


def _differing(a: Hashes, b: Hashes) -> Rows:
    """Hamming distance, (n,), of hashes (n, 5)."""
    return np.asarray(_ones(a[:, :-1] ^ b[:, :-1]).sum(axis=1), np.int64)


def _ones(words: Hashes) -> npt.NDArray[np.uint8]:
    """Population count of each word."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(words), np.uint8)
    words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))  # numpy 1.26; Warren, Hacker's Delight
    words = (words & np.uint64(0x3333333333333333)) + ((words >> np.uint64(2)) & np.uint64(0x3333333333333333))
    words = (words + (words >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.asarray((words * np.uint64(0x0101010101010101)) >> np.uint64(56), np.uint8)


def _pair(earlier: np.int64, later: np.int64, hashes: Hashes) -> Pair:
    bits = _differing(hashes[earlier][None], hashes[later][None])[0]
    return Pair(int(earlier), int(later), int(bits))


def _by_split(rows: Rows, order: Rows) -> dict[str, int]:
    counts = np.bincount(order[rows], minlength=len(SPLITS)).tolist()
    return {split: counts[number] for split, number in ORDER.items() if counts[number]}
