"""`fer-edge run`, from the source to the sinks: nothing is lost, however it ends."""

import csv
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.app.run import run
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.imaging.images import read_picture, write_picture
from fer_edge.settings import RunSettings, TrackingSettings
from fer_edge.sources import Frame, Source
from fer_edge.tracking.pipeline import Pipeline
from support.command import FerEdge

Live = Callable[..., Any]
"""Starts `fer-edge run` as a process of its own."""


# In this process


def settings(tiny: Path, source: Path | str) -> RunSettings:
    return RunSettings(model=tiny, source=str(source), detector="none")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_sink_gets_every_frame_of_a_file(
    tiny: Path, video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told"
    asked = replace(
        settings(tiny, video),
        save=tmp_path / "out",
        csv=tmp_path / "faces.csv",
        on_change=f"""sh -c 'echo "$FER_EDGE_BEFORE>$FER_EDGE_AFTER" >> {told}'""",
    )

    assert run(asked, json=True)

    out, errors = capfd.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    assert [int(row["frame"]) for row in rows(tmp_path / "faces.csv")] == list(range(12))
    assert cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert lines[0]["events"] == [{"t": 0.0, "id": 0, "before": None, "after": lines[0]["faces"][0]["label"]}]
    assert told.read_text().splitlines()[0].startswith(">")
    summary, expressions, wrote = errors.splitlines()
    assert re.fullmatch(r"12 frames, [0-9.]+ per second, 0 dropped; 1 face", summary)
    assert re.fullmatch(r"expressions: [a-z]+ [0-9]+%, .*; [0-9.]+ changes per minute", expressions)
    assert wrote == f"wrote 1 file to {tmp_path / 'out'}"


def test_pictures_have_no_summary(tiny: Path, picture: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(settings(tiny, picture), json=True)

    out, errors = capfd.readouterr()
    assert "events" not in json.loads(out)
    assert errors == ""


def test_faces_are_hidden_in_what_is_saved_and_named_as_ever(
    tiny: Path, picture: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = replace(settings(tiny, picture), save=tmp_path / "plain")
    assert run(plain, json=True)
    assert run(replace(plain, blur=True, save=tmp_path / "hidden"), json=True)

    seen, hidden = (json.loads(line)["faces"][0] for line in capfd.readouterr().out.splitlines())
    assert seen == hidden

    def detail(folder: str) -> float:
        """How much there is to see below the label, which is drawn at the top."""
        middle = read_picture(tmp_path / folder / picture.name)[100:250, 50:250]
        return float(np.abs(cv2.Laplacian(middle, cv2.CV_64F)).mean())

    assert detail("hidden") < detail("plain") / 3


def test_a_budget_is_told_what_it_came_to(tiny: Path, video: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(replace(settings(tiny, video), tracking=TrackingSettings(budget_ms=50)))

    assert "detecting faces every" in capfd.readouterr().err.splitlines()[-1]


def test_a_command_is_not_run_for_pictures_which_do_not_change(
    tiny: Path, picture: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for source in (picture, picture.parent, f"{picture.parent}/*.png"):
        with pytest.raises(UsageError, match="--on-change does not apply to images"):
            run(replace(settings(tiny, source), on_change="true"))

    assert tuple(capfd.readouterr()) == ("", "")


def test_with_blur_every_frame_is_detected_by_default(tiny: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every: list[int | None] = []
    watcher = Pipeline
    monkeypatch.setattr(
        "fer_edge.app.run.Pipeline",
        lambda recognizer, tracking, smooth: (
            every.append(tracking.detect_every) or watcher(recognizer, tracking, smooth)
        ),
    )
    plain = settings(tiny, video)
    for asked in (
        plain,
        replace(plain, blur=True),
        replace(plain, blur=True, tracking=TrackingSettings(detect_every=5)),
    ):
        run(asked)

    assert every == [None, 1, 5]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"on_change": "no-such-command"}, "no such command"),
        ({"mqtt": "http://anna:s3cret@pi"}, "not a broker address"),
        ({"mqtt": "mqtt://pi", "mqtt_topic": "a/#"}, "--mqtt-topic"),
        ({"csv": Path("/proc/x.csv")}, "cannot write"),
    ],
)
def test_a_sink_that_cannot_be_had_ends_the_run_before_the_first_line(
    tiny: Path, video: Path, wrong: dict[str, str], fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FerEdgeError, match=fault) as refused:
        run(replace(settings(tiny, video), **wrong))  # type: ignore[arg-type]

    assert "s3cret" not in str(refused.value)
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Callable[[signal.Signals], None]:
    """Makes every source one that gets a signal as it is opened, and has no frame."""

    def at_opening(number: signal.Signals) -> None:
        def opened() -> Iterator[Frame]:
            os.kill(os.getpid(), number)
            return iter(())

        monkeypatch.setattr("fer_edge.app.run.find_source", lambda *_: Source("video", False, opened))

    return at_opening


def test_sigterm_ends_a_run_that_has_not_begun_yet(
    tiny: Path, tmp_path: Path, signalled: Callable[[signal.Signals], None], capfd: pytest.CaptureFixture[str]
) -> None:
    signalled(signal.SIGTERM)

    assert run(replace(settings(tiny, "video"), save=tmp_path / "out"))
    assert tuple(capfd.readouterr()) == ("", "stopped\n")


def test_the_handlers_of_signals_are_put_back(tiny: Path, video: Path) -> None:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    run(settings(tiny, video))

    assert [signal.getsignal(number) for number in numbers] == before


def test_a_run_that_nohup_began_outlives_its_terminal(
    tiny: Path, signalled: Callable[[signal.Signals], None], capfd: pytest.CaptureFixture[str]
) -> None:
    signalled(signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(settings(tiny, "video"))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert tuple(capfd.readouterr()) == ("", "")


# As a process of its own


def grown(path: Path, size: int) -> Callable[[], bool]:
    return lambda: path.exists() and path.stat().st_size > size


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)])
def test_an_ended_run_leaves_complete_files(live: Live, tmp_path: Path, number: signal.Signals, code: int) -> None:
    out, table = tmp_path / "out", tmp_path / "faces.csv"
    running = live("--save", out, "--csv", table, "--size", "160x120")
    running.wait_until(grown(table, 2000))

    ended, told, took = running.end(number)

    assert ended == code
    assert took < 3  # a second, and a machine that has other work
    assert "stopped" in told
    assert any(re.fullmatch(r"[0-9]+ frames, [0-9.]+ per second, [0-9]+ dropped; 1 face", line) for line in told)
    (video,) = out.iterdir()
    assert re.fullmatch(r"fake-[0-9]{8}-[0-9]{6}\.(mp4|webm)", video.name)
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) >= 5
    content = table.read_text()
    assert content.endswith("\n")
    assert len({line.count(",") for line in content.splitlines()}) == 1


def test_a_reader_who_does_not_read_holds_up_no_other_sink(live: Live, tmp_path: Path) -> None:
    unread, written = os.pipe()
    fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, 4096)
    running = live("--json", "--csv", tmp_path / "faces.csv", "--size", "64x48", "--fps", "100", stdout=written)
    os.close(written)
    running.wait_until(grown(tmp_path / "faces.csv", 18_000))  # some 100 frames; the pipe holds six lines, 64 wait

    code, told, took = running.end(signal.SIGTERM)
    os.close(unread)

    assert code == 1
    assert took < 5
    assert "warning: stdout does not keep up with the source; it drops results" in told
    assert "warning: stdout: it does not respond; its last results may be lost" in told
    assert any(re.fullmatch("warning: stdout: [0-9]+ results dropped", line) for line in told)
    assert not any("Fatal" in line or "Traceback" in line for line in told)


def test_a_disk_that_runs_full_costs_the_exit_code_and_not_the_run(
    fer_edge: FerEdge, tiny: Path, video: Path, tmp_path: Path
) -> None:
    table = tmp_path / "faces.csv"
    arguments = ["run", "-m", str(tiny), "-s", str(video), "--detector", "none", "--json", "--csv", str(table)]
    program = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"from fer_edge.cli import app; app({arguments!r})"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert finished.returncode == 1
    assert len(finished.stdout.splitlines()) == 12
    warning, summary, _ = finished.stderr.splitlines()
    assert (
        warning
        == f"warning: --csv: cannot write {table}: File too large; choose another folder, or fix its permissions"
    )
    assert summary.startswith("12 frames")
    assert table.read_text().endswith("\n")


@pytest.mark.parametrize(("flags", "package"), [(("--mqtt", "mqtt://pi"), "mqtt"), (("--preview",), "preview")])
def test_a_missing_extra_is_one_line(tiny: Path, picture: Path, flags: tuple[str, ...], package: str) -> None:
    arguments = ["run", "-m", str(tiny), "-s", str(picture), "--detector", "none", *flags]
    program = (
        "import sys\nsys.modules.update(dict.fromkeys(('paho', 'uvicorn', 'starlette')))\n"
        f"from fer_edge.cli import app; app({arguments!r})"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert finished.returncode == 1
    assert finished.stderr.strip().endswith(
        f"is not installed; type, in your clone of fer-edge: pip install '.[{package}]'"
    )
    assert len(finished.stderr.splitlines()) == 1


def test_frames_are_turned_as_the_flags_say(fer_edge: FerEdge, tiny: Path, picture: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    level = np.zeros((60, 120, 3), np.uint8)
    level[:, :60] = 255
    write_picture(wide, level)
    arguments = ("run", "-m", tiny, "-s", wide, "--detector", "none", "--json", "--rotate", 90)
    (face,) = json.loads(fer_edge(*arguments).stdout)["faces"]

    assert face["box"] == [0, 0, 60, 120]
