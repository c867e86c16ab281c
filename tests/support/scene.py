"""Frames with drawn faces at given positions, and a detector that knows these."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from fer_edge.detection.detector import Detection, Detector, Landmarks
from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels
from fer_edge.synthetic.render import draw_face
from fer_edge.tracking.tracker import FaceTracker, TrackedFace

STEP = 1 / 25


@cache
def person(seed: int) -> tuple[Pixels, Box]:
    return draw_face("neutral", seed, 192)


class DrawnScene(Detector):
    """Drawn faces on a background, and a detector that returns their positions; `detect_calls` counts its calls."""

    name = "scene"

    def __init__(self, size_wh: tuple[int, int] = (640, 480)) -> None:
        rng = np.random.default_rng(0)
        small = rng.integers(60, 200, (6, 8, 3)).astype(np.uint8)
        self.wall: Pixels = np.asarray(cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)
        self.people: dict[int, Box] = {}
        self.undetected: set[int] = set()
        self.hidden: set[int] = set()
        self.detect_calls = 0

    def frame(self) -> Pixels:
        """Draw all faces at their positions."""
        frame_bgr: Pixels = self.wall.copy()
        for seed, box in self.people.items():
            if seed not in self.hidden:
                self._paint(frame_bgr, seed, box)
        return frame_bgr

    def _paint(self, frame_bgr: Pixels, seed: int, box: Box) -> None:
        face, inner = person(seed)
        scale = box.w / inner.w
        grid = np.array([[scale, 0, box.x - scale * inner.x], [0, scale, box.y - scale * inner.y]])
        size_wh = frame_bgr.shape[1], frame_bgr.shape[0]
        track_one = cv2.warpAffine(face, grid, size_wh, flags=cv2.INTER_AREA)
        mask = cv2.warpAffine(np.full(face.shape[:2], 255, np.uint8), grid, size_wh) > 127
        frame_bgr[mask] = track_one[mask]

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        self.detect_calls += 1
        boxes = [box for seed, box in self.people.items() if seed not in self.undetected | self.hidden]
        return [Detection(box, 0.9, landmarks_of(box)) for box in boxes]


def landmarks_of(box: Box) -> Landmarks:
    """Return eyes, nose and corners of the mouth of a face box."""
    shares = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    return tuple((box.x + x * box.w, box.y + y * box.h) for x, y in shares)


def face(x: float, y: float, w: float = 90) -> Box:
    """Return a box around a centre with the shape of a drawn face."""
    h = w * 1.28
    return Box(x - w / 2, y - h / 2, w, h)


def ids(tracked: Sequence[TrackedFace]) -> list[int]:
    return [one.id for one in tracked]


def show_still(tracker: FaceTracker, scene: DrawnScene, frames: int, begin: float = 0.0) -> list[TrackedFace]:
    """Track the same picture for some frames."""
    frame_bgr, tracked = scene.frame(), []
    for number in range(frames):
        tracked = tracker.step(frame_bgr, begin + STEP * number)
    return tracked


def track_one(scene: DrawnScene, box: Box, every: int = 1, frames: int = 3) -> FaceTracker:
    """Return a tracker with detection in every `every`-th frame that has tracked one face for some frames."""
    scene.people[1] = box
    tracker = FaceTracker(scene, every)
    show_still(tracker, scene, frames)
    return tracker
