"""Detection metrics: matching of detections with annotated faces, precision-recall curve."""

from dataclasses import dataclass

import numpy as np

from fer_edge.imaging.boxes import Floats, overlaps

FALSE_PER_PHOTO = 0.3
"""False positives per photo at which recall is reported."""
MIN_SCORE = 0.02
"""Least score on a curve: far below any threshold in use."""

MIN_IOU = 0.4
"""A detection is a true positive if its intersection over union with an annotated face is at least this; the median
overlap of ExpW's and YuNet's boxes of the same face is 0.74, so a larger value would measure the framing."""


@dataclass(frozen=True)
class PhotoMatches:
    """The detections in one photo, matched with the annotated faces."""

    scores: Floats
    """(n,): scores of the detections, without those on ignored regions."""
    hits: Floats
    """(n,): 1 for a true positive, 0 for a false positive or duplicate."""
    faces: int
    """Number of annotated faces in the photo."""


@dataclass(frozen=True)
class Curve:
    """Recall and precision for each threshold, highest score first."""

    thresholds: Floats
    """(n,): scores of all detections, descending."""
    recall: Floats
    """(n,): share of the annotated faces that are detected at that threshold."""
    precision: Floats
    """(n,): share of the detections at that threshold that are annotated faces."""
    false_per_photo: Floats
    """(n,): false positives per photo at that threshold."""

    def at_false(self, false_per_photo: float) -> tuple[float, float]:
        """Recall and threshold at no more than `false_per_photo` false positives per photo; (0, 1) if impossible."""
        rows = np.flatnonzero(self.false_per_photo <= false_per_photo)
        return (float(self.recall[rows[-1]]), float(self.thresholds[rows[-1]])) if len(rows) else (0.0, 1.0)

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Recall and false positives per photo at `threshold`."""
        rows = np.flatnonzero(self.thresholds >= threshold)
        return (float(self.recall[rows[-1]]), float(self.false_per_photo[rows[-1]])) if len(rows) else (0.0, 0.0)


def match_detections(boxes: Floats, scores: Floats, faces: Floats, ignored: Floats) -> PhotoMatches:
    """Match the detections in one photo with its annotated faces; each face is matched once, by the best score.

    Args:
        boxes: (n, 4) detections: x, y, w, h.
        scores: (n,) their scores.
        faces: (m, 4) annotated faces.
        ignored: (k, 4) regions where a detection is neither true nor false positive.
    """
    order = np.argsort(-scores, kind="stable")
    face_iou = overlaps(boxes[order], faces)
    ignored_iou = overlaps(boxes[order], ignored).max(axis=1, initial=0)
    unmatched = np.ones(len(faces), bool)
    kept, hits = [], []
    for row, rank in enumerate(order):
        candidates = np.where(unmatched, face_iou[row], 0)
        if len(faces) and candidates.max() >= MIN_IOU:
            unmatched[int(candidates.argmax())] = False
            kept.append(rank)
            hits.append(1.0)
        elif ignored_iou[row] < MIN_IOU:
            kept.append(rank)
            hits.append(0.0)
    return PhotoMatches(scores[kept].astype(np.float32), np.array(hits, np.float32), len(faces))


def precision_recall(photos: list[PhotoMatches]) -> Curve:
    """Compute the curve over all photos; independent of their order."""
    nothing = np.zeros(0, np.float32)
    scores = np.concatenate([nothing, *(photo.scores for photo in photos)])
    hits = np.concatenate([nothing, *(photo.hits for photo in photos)])
    order = np.argsort(-scores, kind="stable")
    thresholds, found, false = scores[order], np.cumsum(hits[order]), np.cumsum(1 - hits[order])
    last = np.append(thresholds[1:] != thresholds[:-1], np.ones(min(1, len(thresholds)), bool))  # one per score
    faces = sum(photo.faces for photo in photos)
    return Curve(
        thresholds[last],
        np.asarray(found[last] / max(1, faces), np.float32),
        np.asarray(found[last] / np.maximum(found[last] + false[last], 1), np.float32),
        np.asarray(false[last] / max(1, len(photos)), np.float32),
    )
