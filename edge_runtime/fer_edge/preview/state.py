"""State of the live page: the newest result and statistics.

Written by the main loop in microseconds, read by the server's thread; writing never waits for viewers.
"""

import threading
import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from fer_edge.device.machine import board, cpu
from fer_edge.model.contract import ModelFile
from fer_edge.sinks import Sink
from fer_edge.sinks.annotate import PALETTE, UNCERTAIN_COLOUR, Colour
from fer_edge.tracking.pipeline import Event, Result
from fer_edge.versions import installed

WINDOW_S = 3.0
"""Seconds over which frame rate, frame age and milliseconds per stage are computed."""
WINDOW_FRAMES = 100
"""Maximum frames in this window."""
CHANGES_KEPT = 256
AGES_S = (0.005, 0.01, 0.02, 0.033, 0.05, 0.066, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Bucket limits of the frame age histogram in seconds; 0.033 and 0.066 are one frame at 30 and 15 per second."""


@dataclass(frozen=True)
class RunInfo:
    """Constant information about a run."""

    source: str
    """Source name, without passwords."""
    model: str
    device: str
    labels: tuple[str, ...]
    """Classes in output order."""

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object, with the colours of the expressions and the version of fer-edge."""
        return {
            "source": self.source,
            "model": self.model,
            "device": self.device,
            "version": installed(("fer-edge",)).get("fer-edge", ""),
            "colours": {label: _hex(PALETTE[n % len(PALETTE)]) for n, label in enumerate(self.labels)},
            "uncertain": _hex(UNCERTAIN_COLOUR),
        }


def about(source: str, model: ModelFile) -> RunInfo:
    """Describe source, model and machine of a run; `source` must not contain passwords."""
    name = model.contract.network.get("name", model.path.stem)
    return RunInfo(source, f"{name}, {model.contract.recipe}", board() or cpu(), model.contract.labels)


@dataclass(frozen=True)
class Snapshot:
    """A result, its number, and its time on the state's clock in seconds."""

    number: int
    result: Result
    at: float


@dataclass(frozen=True)
class Sample:
    """Values of a result for the statistics, without its frame."""

    at: float
    age_ms: float
    ms: dict[str, float]


@dataclass
class Totals:
    """Counters since the start, for /metrics."""

    frames: int
    ages: list[int]
    """Frames per bucket of `AGES_S`, and above."""
    age_s: float
    """Sum of all frame ages in seconds."""
    stage_s: dict[str, float]
    """Total seconds per stage."""
    changes: int


class PreviewState(Sink):
    """The newest result and statistics. `write` is for one thread, everything else for any thread."""

    def __init__(self, stale_after_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without results.

        Args:
            stale_after_s: Seconds without a frame that count as a problem.
            clock: Monotonic clock in seconds.
        """
        self.clock = clock
        self.newest: Snapshot | None = None
        self.stale_after_s = stale_after_s
        self._started = clock()
        self._ended: float | None = None
        self._lock = threading.Lock()
        self._window: deque[Sample] = deque(maxlen=WINDOW_FRAMES)
        self._changes: deque[tuple[int, Event]] = deque(maxlen=CHANGES_KEPT)
        self._totals = Totals(0, [0] * (len(AGES_S) + 1), 0.0, defaultdict(float), 0)

    def write(self, result: Result) -> None:
        """Store a result of the main loop."""
        now = self.clock()
        with self._lock:
            totals = self._totals
            totals.frames += 1
            totals.ages[bisect_left(AGES_S, result.age_ms / 1000)] += 1
            totals.age_s += result.age_ms / 1000
            for stage, milliseconds in result.ms.items():
                totals.stage_s[stage] += milliseconds / 1000
            for event in result.events:
                totals.changes += 1
                self._changes.append((totals.changes, event))
            self.newest = Snapshot(totals.frames, result, now)
            self._window.append(Sample(now, result.age_ms, result.ms))

    def close(self) -> None:
        """Mark the source as ended, which freezes `status`."""
        self._ended = self.clock()

    def totals(self) -> Totals:
        """Return a copy of the counters."""
        with self._lock:
            now = self._totals
            return Totals(now.frames, list(now.ages), now.age_s, dict(now.stage_s), now.changes)

    def changes(self, after: int) -> list[tuple[int, Event]]:
        """Return the numbered events after number `after`; very old ones are dropped."""
        with self._lock:
            return [(number, event) for number, event in self._changes if number > after]

    def quiet_s(self) -> float:
        """Seconds since the last frame, or since the start if there was none."""
        newest = self.newest
        return max(0.0, self.clock() - (newest.at if newest else self._started))

    def problem(self) -> str | None:
        """Describe the problem; None while frames arrive."""
        if self._ended is not None:
            return "the source has ended"
        quiet_s = self.quiet_s()
        if quiet_s <= self.stale_after_s:
            return None
        return f"no new frame for {quiet_s:.0f} s" if self.newest else f"no frame yet, {quiet_s:.0f} s after the start"

    def fps(self) -> float:
        """Results per second, over the last `WINDOW_S`."""
        now = self.clock()
        return _rate([sample.at for sample in self._recent(now)], now)

    def status(self) -> dict[str, Any]:
        """Return the statistics of the last `WINDOW_S` as a JSON object.

        The age is the median; stage times are means, because most frames need no detection.
        """
        now = self.clock() if self._ended is None else self._ended
        recent = self._recent(now)
        stages = recent[-1].ms if recent else {}
        return {
            "problem": self.problem(),
            "ended": self._ended is not None,
            "frames": self.totals().frames,
            "dropped": self.newest.result.dropped if self.newest else 0,
            "fps": round(_rate([sample.at for sample in recent], now), 1),
            "age_ms": round(median(sample.age_ms for sample in recent), 1) if recent else None,
            "ms": {stage: round(fmean(sample.ms.get(stage, 0.0) for sample in recent), 3) for stage in stages},
        }

    def _recent(self, now: float) -> list[Sample]:
        with self._lock:
            return [sample for sample in self._window if sample.at >= now - WINDOW_S]


def _rate(times: list[float], now: float) -> float:
    """Return the rate of ascending times; decreases as soon as the next one is late.

    >>> _rate([0.0, 0.1, 0.2], now=0.25), _rate([0.0, 0.1, 0.2], now=2.1), _rate([0.0], now=1.0)
    (10.0, 1.0, 0.0)
    """
    if len(times) < 2:
        return 0.0
    gaps = len(times) - 1
    interval = (times[-1] - times[0]) / gaps
    return gaps / max(max(times[-1], now - interval) - times[0], 1e-9)


def _hex(bgr: Colour) -> str:
    blue, green, red = bgr
    return f"#{red:02x}{green:02x}{blue:02x}"
