from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from fer_edge_bench.latency import Stages, measure

FRAME = np.zeros((4, 4, 3), np.uint8)


class Clock:
    """A clock that only the stages advance."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_stages(
    clock: Clock, calls: list[str], faces: Iterator[int], *, with_float: bool = True, capture_ms: float | None = 1.0
) -> Stages[int]:
    """Stages that take 8, 2, 4 and 16 ms after a capture of 1 ms, and record their calls."""

    def take(name: str, milliseconds: float) -> None:
        calls.append(name)
        clock.now_s += milliseconds / 1000

    def capture() -> tuple[np.ndarray, float | None]:
        return FRAME, capture_ms

    def detect(_: np.ndarray) -> list[int]:
        take("detect", 8)
        return list(range(next(faces)))

    def crop(_: np.ndarray, found: list[int]) -> np.ndarray:
        take("crop", 2)
        return np.zeros((len(found), 2, 2), np.uint8)

    return Stages(
        capture,
        detect,
        crop,
        classify=lambda _: take("classify", 4),
        classify_float=(lambda _: take("classify_float", 16)) if with_float else None,
    )


def test_each_stage_has_its_own_latency_and_float_is_not_part_of_the_total(clock: Clock) -> None:
    timings = measure(make_stages(clock, [], iter([1])), warmup_runs=0, num_runs=1, clock_s=clock)

    assert {stage: [round(ms, 6) for ms in values] for stage, values in timings.ms.items()} == {
        "capture": [1],
        "detect": [8],
        "crop": [2],
        "classify": [4],
        "classify_float": [16],
        "total": [15],
    }


def test_warm_up_runs_are_not_counted(clock: Clock) -> None:
    calls: list[str] = []

    timings = measure(make_stages(clock, calls, iter([1] * 5)), warmup_runs=3, num_runs=2, clock_s=clock)

    assert len(timings.ms["total"]) == 2
    assert calls.count("classify") == 5


def test_float_and_int8_alternate_in_running_first(clock: Clock) -> None:
    calls: list[str] = []

    measure(make_stages(clock, calls, iter([1] * 4)), warmup_runs=0, num_runs=4, clock_s=clock)

    first = [name for name, before in zip(calls[1:], calls, strict=False) if before == "crop"]
    assert first == ["classify", "classify_float", "classify", "classify_float"]


def test_frame_without_a_face_is_neither_cropped_nor_classified(clock: Clock) -> None:
    timings = measure(make_stages(clock, [], iter([0, 2])), warmup_runs=0, num_runs=2, clock_s=clock)

    assert timings.faces == [0, 2]
    assert [round(ms, 6) for ms in timings.ms["total"]] == [9, 15]
    assert len(timings.ms["classify"]) == len(timings.ms["classify_float"]) == 1


def test_frame_from_memory_has_no_capture(clock: Clock) -> None:
    timings = measure(make_stages(clock, [], iter([1]), capture_ms=None), warmup_runs=0, num_runs=1, clock_s=clock)

    assert "capture" not in timings.ms
    assert round(timings.ms["total"][0], 6) == 14


def test_without_a_float_model_only_int8_is_timed(clock: Clock) -> None:
    stages = make_stages(clock, [], iter([1]), with_float=False)

    assert "classify_float" not in measure(stages, warmup_runs=0, num_runs=1, clock_s=clock).ms


def test_progress_moves_once_per_frame(clock: Clock) -> None:
    steps: list[None] = []

    measure(
        make_stages(clock, [], iter([1] * 5)),
        warmup_runs=2,
        num_runs=3,
        clock_s=clock,
        advance=lambda: steps.append(None),
    )

    assert len(steps) == 5


def test_another_detector_alternates_with_the_one_in_use_and_is_not_part_of_the_total(clock: Clock) -> None:
    calls: list[str] = []
    stages = make_stages(clock, calls, iter([0, 0]), with_float=False)

    def other(_: np.ndarray) -> None:
        calls.append("other")
        clock.now_s += 0.032

    timings = measure(replace(stages, detect_other=other), warmup_runs=0, num_runs=2, clock_s=clock)

    assert calls == ["detect", "other", "other", "detect"]
    assert timings.ms["detect_other"] == pytest.approx([32, 32])
    assert timings.ms["total"] == pytest.approx([9, 9])
