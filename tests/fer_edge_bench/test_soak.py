"""Two hours of frames in small: a leak is noticed, and what does not leak passes."""

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
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy frames of 64x64 pixels."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), np.uint8)
    with new_video(path, noise[0], 30) as video:
        for frame in noise:
            video.write(frame)
    return path


def arguments(film: Path, tiny: Path) -> list[str]:
    return ["run", "--source", str(film), "--loop", "--json", "--detector", "none", "--model", str(tiny)]


def test_the_slope_of_a_line_is_exact() -> None:
    x = np.linspace(0, 2, 400)

    assert soak.slope(x, 100 + 3 * x) == pytest.approx((3, 0), abs=1e-9)


@pytest.mark.parametrize("alike", [1, 10], ids=["independent", "ten alike"])
def test_the_error_of_a_slope_is_that_of_many_trials(alike: int) -> None:
    rng, x = np.random.default_rng(0), np.linspace(0, 2, 400)
    trials = [soak.slope(x, 5 * x + np.repeat(rng.normal(0, 1, 400 // alike), alike)) for _ in range(400)]
    slopes, errors = np.array(trials).T

    assert slopes.mean() == pytest.approx(5, abs=0.1)
    assert errors.mean() == pytest.approx(slopes.std(), rel=0.15)


def test_a_leak_is_noticed(film: Path, tiny: Path) -> None:
    course = soak.watched([sys.executable, "-c", LEAKING, *arguments(film, tiny)], 1000, every=10)

    growth = course.growth()
    leaked = 64 * 64 * 3 / 2**20 * soak.HOUR
    assert growth["memory_mb_per_hour"]["slope"] == pytest.approx(leaked, rel=0.25)
    assert growth["flat"] is False
    assert growth["left_over"] == pytest.approx(81, abs=3)  # of 90 after the warm-up, from middle of tenth to middle


def test_a_run_is_looked_at_and_ended(film: Path, tiny: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    command = [sys.executable, "-m", "fer_edge", *arguments(film, tiny)]
    course = soak.watched(command, 1000, 10, seen.append)

    report, growth = course.report(), course.growth()
    assert (report["frames"], report["dropped"], growth["looked_at"]) == (1000, 0, 100)
    assert seen == list(range(0, 1000, 10))
    assert report["exit_code"] == 0
    assert growth["memory_mb_per_hour"]["slope"] < 64 * 64 * 3 / 2**20 * soak.HOUR / 3  # no frame is kept
    assert growth["left_over"] == 0
    soak.draw(tmp_path / "soak.png", course, course)
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_what_was_seen_until_ctrl_c_is_kept(film: Path, tiny: Path) -> None:
    def interrupt(frame: int) -> None:
        if frame == 50:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        course = soak.watched([sys.executable, "-m", "fer_edge", *arguments(film, tiny)], 10**6, 10, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)

    report = course.report()
    assert report["interrupted"] is True
    assert report["exit_code"] == 0
    assert 50 < report["frames"] < 10**6
    assert "memory_mb_per_hour" not in course.growth()


def test_a_run_that_ends_by_itself_is_no_measurement(film: Path, tiny: Path) -> None:
    command = [sys.executable, "-m", "fer_edge", *arguments(film, tiny)]
    command.remove("--loop")

    with pytest.raises(BenchmarkError, match="ended by itself, with exit code 0"):
        soak.watched(command, 1000, 10)
