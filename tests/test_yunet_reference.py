"""YuNet on LiteRT beside YuNet through OpenCV, and its int8 form beside its float16 form, face by face.

Users of OpenCV's own int8 file report faces that come out wrong where they are large in the input (opencv_zoo#116: from
300 pixels on), or not at all (opencv#28806); so int8 is compared size by size.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS, SIDE, YuNet
from fer_edge.detection.detector_contract import fitted
from fer_edge.detection.yunet import OVERLAP, Faces, candidates
from fer_edge.imaging.boxes import Floats, overlaps
from fer_edge.imaging.images import Pixels, read_picture
from fer_edge.synthetic.render import clip
from fer_edge_export.detector.weights import SOURCE

SCORE = 0.6
MOST_PIXELS, MOST_SCORE = 0.1, 0.002
"""Between OpenCV and our float16 form lay 0.067 pixels and a score of 0.0007 at most, of 80 faces in 40 photos. OpenCV
drops overlapping boxes by their whole pixels: in crowds it may keep another one."""
PLACED = (15, 30, 60, 120, 200, 280, 360, 500)
"""Longer sides, in pixels of the input, about which faces are brought."""


class Band(NamedTuple):
    """What may lie between int8 and float16 for faces of some size, in shares of the face's longer side."""

    least: int
    """Pixels of the input of the face's longer side, from ..."""
    below: int
    box_mean: float
    box_p95: float
    landmarks_mean: float
    landmarks_p95: float
    found: float
    """Share of float16's faces that int8 has to find, too."""


BANDS = (
    Band(12, 20, 0.032, 0.075, 0.045, 0.13, 0.95),
    Band(20, 40, 0.017, 0.05, 0.025, 0.085, 0.96),
    Band(40, 80, 0.015, 0.035, 0.015, 0.045, 0.97),
    Band(80, 160, 0.012, 0.026, 0.011, 0.025, 0.98),
    Band(160, 240, 0.014, 0.03, 0.011, 0.02, 0.98),
    Band(240, 320, 0.014, 0.032, 0.009, 0.017, 0.98),
    Band(320, 420, 0.014, 0.028, 0.008, 0.015, 0.98),
    Band(420, 640, 0.02, 0.05, 0.01, 0.024, 0.97),
)
"""A third or more above what was seen. int8 costs the smallest faces most, half a pixel of their landmarks on average;
large ones no more than others."""


class Pair(NamedTuple):
    """A face that float16 finds, and what int8 makes of it."""

    size: float
    """Pixels of the input."""
    box: float
    """Largest difference of x, y, w and h, in shares of `size`; NaN where int8 has no such face."""
    landmarks: float
    found: bool


def of_opencv(pixels: Pixels) -> Faces:
    """What OpenCV's FaceDetectorYN says of an input."""
    height, width = pixels.shape[:2]
    _, rows = cv2.FaceDetectorYN.create(str(SOURCE), "", (width, height), SCORE, OVERLAP).detect(pixels)
    found = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
    return Faces(found[:, :4], found[:, 14], found[:, 4:14].reshape(-1, 5, 2))


def unmerged(detector: YuNet, pixels: Pixels) -> Faces:
    """The best cell of each face, as OpenCV takes it, and not the mean place of those nearly as sure."""
    height, width = pixels.shape[:2]
    outputs = detector.engine(width, height).run(pixels)
    found = candidates(outputs, *detector.model.contract.scale_and_offset, SCORE)
    kept = np.array(cv2.dnn.NMSBoxes(found.boxes.tolist(), found.scores.tolist(), SCORE, OVERLAP), int)
    return Faces(found.boxes[kept], found.scores[kept], found.landmarks[kept])


def differences(found: Faces, exact: Faces) -> npt.NDArray[np.float64]:
    """Pixels between boxes and between landmarks, and between scores, for each pair of the same face."""
    assert len(found.boxes) == len(exact.boxes)
    if len(exact.boxes) == 0:
        return np.zeros((0, 3))
    nearest = overlaps(exact.boxes, found.boxes).argmax(axis=1)
    assert sorted(nearest.tolist()) == list(range(len(nearest)))
    columns = zip(found, exact, strict=True)
    boxes, scores, landmarks = (
        np.abs(here[nearest] - there).reshape(len(nearest), -1).max(axis=1) for here, there in columns
    )
    return np.stack([boxes, landmarks, scores], axis=1)


def assert_same(inputs: list[Pixels], least: int) -> None:
    detector = YuNet(BUNDLED_DETECTORS["float16"], SCORE)
    found = np.concatenate([differences(unmerged(detector, pixels), of_opencv(pixels)) for pixels in inputs])

    assert len(found) >= least
    boxes, landmarks, scores = found.max(axis=0)
    assert boxes < MOST_PIXELS
    assert landmarks < MOST_PIXELS
    assert scores < MOST_SCORE


def test_on_drawn_people_float16_answers_as_opencv_does() -> None:
    assert_same([fitted(frame, SIDE)[0] for frame, _ in clip(9)], least=15)


def test_on_photos_float16_answers_as_opencv_does(unpacked: Callable[[str], Path]) -> None:
    photos = sorted((unpacked("expw") / "origin").iterdir())[::37][:40]

    assert_same([fitted(read_picture(photo), SIDE)[0] for photo in photos], least=80)


def placed(picture: Pixels, side: int, face: float, rng: np.random.Generator) -> Pixels:
    """Bring a picture that a face fills to such a size that the face is `face` pixels high, somewhere in an input."""
    height, width = picture.shape[:2]
    zoom = face / (1.05 * height)  # of muxspace's pictures YuNet's box is 1.05 times as high as the picture
    left, top = (rng.uniform(0.2, 0.8) * (side - zoom * length) for length in (width, height))
    grid = np.array([[zoom, 0, left], [0, zoom, top]])
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.4 / zoom) if zoom < 0.5 else picture
    seen = cv2.warpAffine(smooth, grid, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.uint8)


def inputs(unpacked: Callable[[str], Path]) -> Iterator[Pixels]:
    """Photos with faces as they come, and single faces from tiny to larger than the input."""
    photos = sorted((unpacked("expw") / "origin").iterdir())[::15]
    crops = sorted((unpacked("muxspace") / "images").iterdir())[::150]
    rng = np.random.default_rng(0)
    for side in (320, 640):
        for photo in photos:
            yield fitted(read_picture(photo), side)[0]
        for crop in crops:
            picture = read_picture(crop)
            for face in PLACED:
                if face < 1.15 * side:
                    yield placed(picture, side, face * rng.uniform(0.85, 1.15), rng)


@pytest.fixture(scope="module")
def pairs(unpacked: Callable[[str], Path]) -> list[Pair]:
    """All faces that float16 finds."""
    int8, float16 = YuNet(BUNDLED_DETECTORS["int8"], SCORE), YuNet(BUNDLED_DETECTORS["float16"], SCORE)
    return [
        pair_of(int8_faces, box, landmarks)
        for pixels in inputs(unpacked)
        for int8_faces, exact in [(int8.find(pixels), float16.find(pixels))]
        for box, landmarks in zip(exact.boxes, exact.landmarks, strict=True)
    ]


def pair_of(found: Faces, box: Floats, landmarks: Floats) -> Pair:
    size = float(box[2:].max())
    shared = overlaps(found.boxes, box[None])[:, 0]
    if shared.max(initial=0) < 0.3:
        return Pair(size, np.nan, np.nan, False)
    best = shared.argmax()
    apart = np.abs(found.boxes[best] - box).max(), np.abs(found.landmarks[best] - landmarks).max()
    return Pair(size, apart[0] / size, apart[1] / size, True)


@pytest.mark.parametrize("band", BANDS, ids=lambda band: f"{band.least} to {band.below} pixels")
def test_int8_sees_a_face_of_any_size_where_float16_does(pairs: list[Pair], band: Band) -> None:
    here = [pair for pair in pairs if band.least <= pair.size < band.below]
    both = np.array([(pair.box, pair.landmarks) for pair in here if pair.found])
    (box_mean, landmarks_mean), (box_p95, landmarks_p95) = both.mean(axis=0), np.percentile(both, 95, axis=0)

    assert len(here) >= 60
    assert len(both) / len(here) >= band.found
    assert box_mean <= band.box_mean
    assert box_p95 <= band.box_p95
    assert landmarks_mean <= band.landmarks_mean
    assert landmarks_p95 <= band.landmarks_p95
