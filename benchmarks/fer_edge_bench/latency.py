"""Time every stage of the way from a frame to its expressions, float beside int8 on the same faces.

Knows nothing of detectors, sources or models: it is given the stages as functions, and a clock.
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
    """What is timed, in the order in which it happens."""

    capture: Callable[[], tuple[Pixels, float | None]]
    """Gives the next frame, (height, width, 3) uint8 BGR, and how many milliseconds it took; None if it was there."""
    detect: Callable[[Pixels], list[Found]]
    """Finds the faces of a frame."""
    crop: Callable[[Pixels, list[Found]], Pixels]
    """Cuts them out: (n, size, size) uint8 grey."""
    classify: Callable[[Pixels], Any]
    """Says what they express; never called without a face."""
    classify_float: Callable[[Pixels], Any] | None = None
    """The same by the float32 model, which takes no part in the total."""
    detect_other: Callable[[Pixels], Any] | None = None
    """Finds faces in another way, which takes no part in the total either."""


@dataclass
class Timings:
    """Milliseconds of every run, in order."""

    ms: dict[str, list[float]] = field(default_factory=dict)
    """Stage -> one value per frame; crop, classify and classify_float only for a frame with a face."""
    faces: list[int] = field(default_factory=list)
    """Faces found, per frame."""

    def add(self, stage: str, milliseconds: float) -> None:
        """Note one timing."""
        self.ms.setdefault(stage, []).append(milliseconds)


def measure(
    stages: Stages[Found],
    warmup_runs: int,
    num_runs: int,
    clock_s: Callable[[], float] = time.perf_counter,
    advance: Callable[[], None] = lambda: None,
) -> Timings:
    """Run all stages `warmup_runs` times unnoticed and `num_runs` times by the clock.

    What is compared takes turns within each frame, and so does which goes first: whatever else the machine does meets
    both alike.

    Args:
        stages: What to time.
        warmup_runs: Frames that are not counted: first calls allocate memory and fill caches.
        num_runs: Frames that are.
        clock_s: Seconds that never go back.
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
