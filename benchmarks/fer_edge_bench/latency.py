"""Time every stage from frame to expressions, float32 and int8 on the same faces.

Independent of detectors, sources and models: the stages are passed as functions, with a clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fer_edge.imaging.images import Pixels

Found = TypeVar("Found")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stages(Generic[Found]):
    """The functions to time, in the order in which they run."""

    capture: Callable[[], tuple[Pixels, float | None]]
    """Returns the next frame, (height, width, 3) uint8 BGR, and its capture time in ms; None if it was in memory."""
    detect: Callable[[Pixels], list[Found]]
    """Detects the faces in a frame."""
    crop: Callable[[Pixels, list[Found]], Pixels]
    """Crops them: (n, size, size) uint8 grey."""
    classify: Callable[[Pixels], Any]
    """Classifies their expressions; not called for frames without a face."""
    classify_float: Callable[[Pixels], Any] | None = None
    """The same with the float32 model; not part of the total."""
    detect_other: Callable[[Pixels], Any] | None = None
    """Detects faces with another detector; not part of the total."""


@dataclass
class Timings:
    """Latencies of every run, in order."""

    ms: dict[str, list[float]] = field(default_factory=dict)
    """Stage -> milliseconds per frame; crop, classify and classify_float only for frames with a face."""
    faces: list[int] = field(default_factory=list)
    """Number of detected faces per frame."""

    def add(self, stage: str, milliseconds: float) -> None:
        """Record one latency."""
        self.ms.setdefault(stage, []).append(milliseconds)


def measure(
    stages: Stages[Found],
    warmup_runs: int,
    num_runs: int,
    clock_s: Callable[[], float] = time.perf_counter,
    advance: Callable[[], None] = lambda: None,
) -> Timings:
    """Run all stages `warmup_runs` times without and `num_runs` times with timing.

    Models that are compared both run on every frame, in alternating order, so that load on the machine affects both
    equally.

    Args:
        stages: Functions to time.
        warmup_runs: Frames that are not timed: first calls allocate memory and fill caches.
        num_runs: Timed frames.
        clock_s: Monotonic clock in seconds.
        advance: Called after each frame, for a progress bar.
    """
    timings = Timings()
    for number in range(-warmup_runs, num_runs):
        _run_once(stages, timings if number >= 0 else Timings(), clock_s, other_first=number % 2 == 1)
        advance()
    return timings


def _run_once(stages: Stages[Found], timings: Timings, clock_s: Callable[[], float], *, other_first: bool) -> None:
    def timed(stage: str, function: Callable[..., Result], *arguments: Any) -> tuple[float, Result]:
        before = clock_s()
        result = function(*arguments)
        milliseconds = 1000 * (clock_s() - before)
        timings.add(stage, milliseconds)
        return milliseconds, result

    frame_bgr, capture_ms = stages.capture()
    if capture_ms is not None:
        timings.add("capture", capture_ms)
    if stages.detect_other and other_first:
        timed("detect_other", stages.detect_other, frame_bgr)
    detect_ms, found = timed("detect", stages.detect, frame_bgr)
    if stages.detect_other and not other_first:
        timed("detect_other", stages.detect_other, frame_bgr)
    total_ms = (capture_ms or 0.0) + detect_ms
    timings.faces.append(len(found))
    if found:
        crop_ms, pixels = timed("crop", stages.crop, frame_bgr, found)
        if stages.classify_float and other_first:
            timed("classify_float", stages.classify_float, pixels)
        classify_ms, _ = timed("classify", stages.classify, pixels)
        if stages.classify_float and not other_first:
            timed("classify_float", stages.classify_float, pixels)
        total_ms += crop_ms + classify_ms
    timings.add("total", total_ms)
