"""Choose detection interval and input size from a time budget per frame."""

import math
import time

import numpy as np

from fer_edge.detection.detector import SIDES, Detector
from fer_edge.tracking.tracker import LONGEST_WAIT

DETECT_EVERY = 3
"""Default frames between detections, without a budget. Without smoothing, the label of a frame then equals the photo's
in 83.5 %, with detection in every frame in 84.6, every 5 frames in 83.5 % (`studies.accuracy.tracking_clip`)."""
RECENT = 0.1
"""Weight of the newest time in the moving averages."""


class TimeBudget:
    """Decides how often faces can be detected within `budget_ms` per frame on average."""

    def __init__(self, budget_ms: float, at_least: int = 1) -> None:
        """Start without measurements.

        Args:
            budget_ms: Mean milliseconds per frame.
            at_least: Minimum frames between detections.
        """
        self.budget_ms = budget_ms
        self._at_least = at_least
        self._saved_ms = 0.0
        self._detect_ms: float | None = None
        self._rest_ms: float | None = None

    @property
    def exceeded(self) -> bool:
        """Whether a detection in the next frame would exceed the budget."""
        return self._saved_ms + self.budget_ms < (self._detect_ms or 0) + (self._rest_ms or 0)

    def record(self, detect_ms: float, rest_ms: float) -> None:
        """Add the times of a frame; `detect_ms` is 0 without a detection."""
        if detect_ms:
            self._detect_ms = _average(self._detect_ms, detect_ms)
        self._rest_ms = _average(self._rest_ms, rest_ms)
        saved = self._saved_ms + self.budget_ms - detect_ms - rest_ms
        # Savings are limited to one detection, and debts to what `LONGEST_WAIT` frames can repay.
        self._saved_ms = min(max(saved, -LONGEST_WAIT * self.budget_ms), self._detect_ms or 0)

    @property
    def summary(self) -> str:
        """Measured times and the resulting detection interval, for the user."""
        detect_ms, rest_ms = self._detect_ms or 0.0, self._rest_ms or 0.0
        spare_ms = self.budget_ms - rest_ms
        needed = math.ceil(detect_ms / spare_ms) if spare_ms > 0 else math.inf
        note = "" if needed <= LONGEST_WAIT else ", which exceeds the budget"
        every = max(min(needed, LONGEST_WAIT), self._at_least)
        interval = "every frame" if every <= 1 else f"every {every} frames"
        return f"detection takes {detect_ms:.1f} ms, the rest {rest_ms:.1f} ms: detecting faces {interval}{note}"


def fit_detector(detector: Detector, budget_ms: float) -> None:
    """Set the largest detector input that half of `budget_ms` allows, with detection every `DETECT_EVERY` frames.

    Its time depends on the number of pixels, so it is measured here on grey VGA frames: the fastest of three, after one
    that loads the network.
    """
    grey = np.full((480, 640, 3), 128, np.uint8)
    for side in SIDES:
        detector.side = side
        detector.detect(grey)
        times_ms = []
        for _ in range(3):
            begun = time.perf_counter()
            detector.detect(grey)
            times_ms.append(1000 * (time.perf_counter() - begun))
        if min(times_ms) / DETECT_EVERY <= budget_ms / 2:
            return


def _average(mean: float | None, measured: float) -> float:
    return measured if mean is None else (1 - RECENT) * mean + RECENT * measured
