"""A command of the user's: its input, and that it delays nothing, whatever it does."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import UsageError
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks.on_change import MOST, OnChange
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Event, Result

OnChanges = Callable[..., tuple[OnChange, list[str]]]


def result(*events: Event) -> Result:
    frame = Frame("camera 0", 0, 0.0, np.zeros((4, 4, 3), np.uint8), 0.0, 0.0, None, 10)
    faces = [Face((1, 2, 3, 4), one.after, 0.87654321, {}, 0.9, id=one.id) for one in events if one.after]
    return Result(frame, faces, list(events))


@pytest.fixture
def on_change() -> Iterator[OnChanges]:
    begun: list[OnChange] = []

    def begin(command: str, longest_s: float = 10) -> tuple[OnChange, list[str]]:
        told: list[str] = []
        begun.append(OnChange(command, told.append, longest_s))
        return begun[-1], told

    yield begin
    for sink in begun:
        sink.close()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Makes a script, in a folder with a blank in its name, that appends what it is told to `said`."""

    def make(last_line: str = "") -> str:
        path = tmp_path / "my scripts" / "changed.sh"
        path.parent.mkdir()
        variables = " ".join(f'"$FER_EDGE_{name}"' for name in ("ID", "BEFORE", "AFTER", "SCORE", "T"))
        path.write_text(f"#!/bin/sh\necho {variables} \"$@\" >> '{tmp_path}/said'\n{last_line}\n")
        path.chmod(0o755)
        return f"'{path}'"

    return make


def said(tmp_path: Path, count: int) -> list[str]:
    """Wait until the script has run so often."""
    path, until = tmp_path / "said", time.monotonic() + 20
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < until
        time.sleep(0.01)
    return path.read_text().splitlines()


def test_the_command_finds_what_changed_in_its_environment(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, told = on_change(script("") + " --room 'living room' '$HOME' ';' '|'")
    sink.write(result(Event(2.5, 7, None, "neutral")))
    said(tmp_path, 1)
    sink.write(result(Event(3.25, 7, "neutral", "happiness")))
    said(tmp_path, 2)
    sink.write(result(Event(4, 7, "happiness", None)))

    words = "--room living room $HOME ; |"  # no shell came between
    assert said(tmp_path, 3) == [
        f"7  neutral 0.8765 2.500 {words}",
        f"7 neutral happiness 0.8765 3.250 {words}",
        f"7 happiness   4.000 {words}",
    ]
    assert told == []


def test_frames_without_a_change_run_nothing(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, _ = on_change(script(""))
    for _ in range(10):
        sink.write(result())
    sink.close()

    assert not (tmp_path / "said").exists()


def test_what_happens_meanwhile_is_told_face_by_face_in_the_end(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, _ = on_change(script(f"while ! test -e '{tmp_path}/go-on'; do sleep 0.01; done"))
    sink.write(result(Event(0, 1, None, "neutral")))
    said(tmp_path, 1)
    sink.write(result(Event(1, 1, "neutral", "anger"), Event(1, 2, None, "fear")))
    sink.write(result(Event(2, 1, "anger", "happiness"), Event(2, 3, None, "fear")))
    sink.write(result(Event(3, 2, "fear", "neutral"), Event(3, 3, "fear", None)))  # 3 came and went
    (tmp_path / "go-on").touch()

    assert said(tmp_path, 3) == [
        "1  neutral 0.8765 0.000",
        "1 neutral happiness 0.8765 2.000",
        "2  neutral 0.8765 3.000",
    ]
    sink.close()
    assert len(said(tmp_path, 3)) == 3


def test_a_hanging_command_is_killed_with_its_children_and_delays_nothing(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, told = on_change(script(f"trap '' TERM\nsleep 600 &\necho $! >> '{tmp_path}/sleepers'\nwait\nwait"), 0.3)
    sink.write(result(Event(0, 1, None, "neutral")))
    said(tmp_path, 1)
    begun = time.perf_counter()
    for index in range(1000):
        sink.write(result(Event(index, index % 100, "neutral", "anger")))
    assert time.perf_counter() - begun < 1

    said(tmp_path, 2)
    (line,) = told
    assert "changed.sh was stopped after 0." in line
    assert line.endswith("s; further failures are not reported")
    sleeper = int((tmp_path / "sleepers").read_text().split()[0])
    assert not _runs(sleeper)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_end_of_the_run_waits_a_moment_for_what_is_still_to_be_told(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, told = on_change(script(""))
    sink.write(result(Event(0, 1, None, "neutral"), Event(0, 2, None, "anger")))
    sink.close()

    assert len((tmp_path / "said").read_text().splitlines()) == 2
    assert told == []


def test_the_end_of_the_run_does_not_wait_long_and_leaves_nothing_running(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, _ = on_change(script(f"echo $$ > '{tmp_path}/sleeper'\nexec sleep 600"))
    sink.write(result(Event(0, 1, None, "neutral"), Event(0, 2, None, "anger")))
    said(tmp_path, 1)
    begun = time.perf_counter()
    sink.close()

    assert time.perf_counter() - begun < 2
    assert len(said(tmp_path, 1)) == 1
    assert not _runs(int((tmp_path / "sleeper").read_text()))


def test_a_command_that_fails_is_told_once(tmp_path: Path, script: Callable[[str], str], on_change: OnChanges) -> None:
    sink, told = on_change(script("exit 3"))
    for number in range(3):
        sink.write(result(Event(0, number, None, "neutral")))
    said(tmp_path, 3)
    sink.close()

    assert len(told) == 1
    assert "changed.sh failed with exit code 3; further failures are not reported" in told[0]


def test_a_command_that_went_away_is_told_once(
    tmp_path: Path, script: Callable[[str], str], on_change: OnChanges
) -> None:
    sink, told = on_change(script(""))
    (tmp_path / "my scripts" / "changed.sh").unlink()
    for number in range(3):
        sink.write(result(Event(0, number, None, "neutral")))
    sink.close()

    assert len(told) == 1
    assert "cannot start: No such file or directory" in told[0]


def test_what_a_command_prints_does_not_mix_with_the_results(
    on_change: OnChanges, capfd: pytest.CaptureFixture[str]
) -> None:
    sink, _ = on_change("echo hello")
    sink.write(result(Event(0, 1, None, "neutral")))
    sink.close()

    assert tuple(capfd.readouterr()) == ("", "hello\n")


def test_ctrl_c_is_not_for_the_command(tmp_path: Path, script: Callable[[str], str], on_change: OnChanges) -> None:
    sink, _ = on_change(script(f"ps -o pgid= -p $$ > '{tmp_path}/group'"))
    sink.write(result(Event(0, 1, None, "neutral")))
    sink.close()

    assert int((tmp_path / "group").read_text()) != os.getpgid(0)


def test_a_crowd_does_not_fill_the_memory(tmp_path: Path, script: Callable[[str], str], on_change: OnChanges) -> None:
    sink, _ = on_change(script("sleep 600"))
    for number in range(10 * MOST):
        sink.write(result(Event(0, number, None, "neutral")))

    assert len(sink._waiting) <= MOST


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("", "needs a command"),
        ("'a", "No closing quotation; quote the whole command"),
        ("no-such-command --now", "no-such-command: no such command, or not executable"),
        (__file__, "not executable"),
        ("export A=1", "for a shell command, type: --on-change 'sh -c '"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused_at_once(command: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        OnChange(command, print)
