"""The long-run test in small: a leak is detected, and a run without a leak passes."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import BenchmarkError
from fer_edge.sinks.video import new_video

pytest.importorskip("matplotlib", reason="needs the extra [train]: pip install '.[train]'")
if not sys.platform.startswith("linux"):
    pytest.skip("needs /proc, so Linux", allow_module_level=True)

from studies.robustness import soak

LEAKING = """
import sys
from fer_edge.cli import app
from fer_edge.sinks.stdout import StdoutSink

kept, opened, write = [], [], StdoutSink.write


def leak(self, result):
    kept.append(result.frame.bgr.copy())
    if result.frame.index % 10 == 0:
        opened.append(open("/dev/null"))
    write(self, result)


StdoutSink.write = leak
app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy frames of 64x64 pixels."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), np.uint8)
    with new_video(path, noise[0], 30) as writer:
        for frame in noise:
            writer.write(frame)
    return path


def arguments(video: Path, tiny: Path) -> list[str]:
    return ["run", "--source", str(video), "--loop", "--json", "--detector", "none", "--model", str(tiny)]


def test_the_slope_of_a_line_is_exact() -> None:
    x = np.linspace(0, 2, 400)

    assert soak.slope(x, 100 + 3 * x) == pytest.approx((3, 0), abs=1e-9)


@pytest.mark.parametrize("repeats", [1, 10], ids=["independent", "ten equal"])
def test_the_error_of_a_slope_is_that_of_many_trials(repeats: int) -> None:
    rng, x = np.random.default_rng(0), np.linspace(0, 2, 400)
    trials = [soak.slope(x, 5 * x + np.repeat(rng.normal(0, 1, 400 // repeats), repeats)) for _ in range(400)]
    slopes, errors = np.array(trials).T

    assert slopes.mean() == pytest.approx(5, abs=0.1)
    assert errors.mean() == pytest.approx(slopes.std(), rel=0.15)


def test_a_leak_is_detected(video: Path, tiny: Path) -> None:
    record = soak.monitor([sys.executable, "-c", LEAKING, *arguments(video, tiny)], 1000, every=10)

    growth = record.growth()
    leaked = 64 * 64 * 3 / 2**20 * soak.HOUR
    assert growth["memory_mb_per_hour"]["slope"] == pytest.approx(leaked, rel=0.25)
    assert growth["flat"] is False
    assert growth["left_over"] == pytest.approx(
        81, abs=3
    )  # of 90 after the warm-up, between the medians of the first and last tenth


def test_a_run_is_sampled_and_terminated(video: Path, tiny: Path, tmp_path: Path) -> None:
    sampled: list[int] = []
    command = [sys.executable, "-m", "fer_edge", *arguments(video, tiny)]
    record = soak.monitor(command, 1000, 10, sampled.append)

    report, growth = record.report(), record.growth()
    assert (report["frames"], report["dropped"], growth["looked_at"]) == (1000, 0, 100)
    assert sampled == list(range(0, 1000, 10))
    assert report["exit_code"] == 0
    assert growth["memory_mb_per_hour"]["slope"] < 64 * 64 * 3 / 2**20 * soak.HOUR / 3  # no frame is kept
    assert growth["left_over"] == 0
    soak.draw(tmp_path / "soak.png", record, record)
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_results_until_ctrl_c_are_kept(video: Path, tiny: Path) -> None:
    def interrupt(frame: int) -> None:
        if frame == 50:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        record = soak.monitor([sys.executable, "-m", "fer_edge", *arguments(video, tiny)], 10**6, 10, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)

    report = record.report()
    assert report["interrupted"] is True
    assert report["exit_code"] == 0
    assert 50 < report["frames"] < 10**6
    assert "memory_mb_per_hour" not in record.growth()


def test_a_run_that_exits_by_itself_is_an_error(video: Path, tiny: Path) -> None:
    command = [sys.executable, "-m", "fer_edge", *arguments(video, tiny)]
    command.remove("--loop")

    with pytest.raises(BenchmarkError, match="exited by itself with exit code 0"):
        soak.monitor(command, 1000, 10)
