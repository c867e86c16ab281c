"""How well a detector finds faces: hits and false alarms, and what a threshold makes of them."""

from dataclasses import dataclass

import numpy as np

from fer_edge.imaging.boxes import Floats, overlaps

FALSE_PER_PHOTO = 0.3
"""False alarms per photo at which recall is read off."""
LEAST_SCORE = 0.02
"""Where a curve begins: far below any threshold in use."""

ENOUGH = 0.4
"""A found box is a hit if its intersection over union with a marked one is at least this; ExpW's and YuNet's boxes of
one face overlap by 0.74 (median), so more would judge the framing and not the finding."""


@dataclass(frozen=True)
class Judged:
    """What a detector found in one photo, held against the marks."""

    scores: Floats
    """(n,): of what it found, without what lies on a doubtful mark."""
    hits: Floats
    """(n,): 1 for a face found (the first time), 0 for a false alarm."""
    faces: int
    """Faces marked in the photo."""


@dataclass(frozen=True)
class Curve:
    """What each threshold would give; best score first."""

    thresholds: Floats
    """(n,): scores of all that was found, falling."""
    recall: Floats
    """(n,): share of the marked faces found from that score on."""
    precision: Floats
    """(n,): share of what was found from that score on that are faces."""
    false_per_photo: Floats
    """(n,): false alarms per photo from that score on."""

    def at_false(self, false_per_photo: float) -> tuple[float, float]:
        """Recall and threshold where there are at most so many false alarms per photo; (0, 1) where there is none."""
        rows = np.flatnonzero(self.false_per_photo <= false_per_photo)
        return (float(self.recall[rows[-1]]), float(self.thresholds[rows[-1]])) if len(rows) else (0.0, 1.0)

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Recall and false alarms per photo from `threshold` on."""
        rows = np.flatnonzero(self.thresholds >= threshold)
        return (float(self.recall[rows[-1]]), float(self.false_per_photo[rows[-1]])) if len(rows) else (0.0, 0.0)


def judge(boxes: Floats, scores: Floats, faces: Floats, doubtful: Floats) -> Judged:
    """Hold what was found in one photo against its marks; each mark is hit once, by the best box that overlaps it.

    Args:
        boxes: (n, 4) found: x, y, w, h.
        scores: (n,) of them.
        faces: (m, 4) marked faces.
        doubtful: (k, 4) marks that are neither face nor background.
    """
    order = np.argsort(-scores, kind="stable")
    with_faces = overlaps(boxes[order], faces)
    with_doubtful = overlaps(boxes[order], doubtful).max(axis=1, initial=0)
    free = np.ones(len(faces), bool)
    kept, hits = [], []
    for row, rank in enumerate(order):
        shares = np.where(free, with_faces[row], 0)
        if len(faces) and shares.max() >= ENOUGH:
            free[int(shares.argmax())] = False
            kept.append(rank)
            hits.append(1.0)
        elif with_doubtful[row] < ENOUGH:
            kept.append(rank)
            hits.append(0.0)
    return Judged(scores[kept].astype(np.float32), np.array(hits, np.float32), len(faces))


def curve(judged: list[Judged]) -> Curve:
    """Put the photos together, whatever their order."""
    nothing = np.zeros(0, np.float32)
    scores = np.concatenate([nothing, *(photo.scores for photo in judged)])
    hits = np.concatenate([nothing, *(photo.hits for photo in judged)])
    order = np.argsort(-scores, kind="stable")
    thresholds, found, false = scores[order], np.cumsum(hits[order]), np.cumsum(1 - hits[order])
    last = np.append(thresholds[1:] != thresholds[:-1], np.ones(min(1, len(thresholds)), bool))  # of equal scores
    faces = sum(photo.faces for photo in judged)
    return Curve(
        thresholds[last],
        np.asarray(found[last] / max(1, faces), np.float32),
        np.asarray(found[last] / np.maximum(found[last] + false[last], 1), np.float32),
        np.asarray(false[last] / max(1, len(judged)), np.float32),
    )
