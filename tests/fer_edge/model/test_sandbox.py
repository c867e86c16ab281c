import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_edge.model import sandbox
from fer_edge.model.contract import read_model
from fer_edge.model.interpreter import Network
from fer_edge.model.sandbox import SandboxError, run_in_fork

ROOM = 64 << 20


def test_what_works_changes_nothing_here() -> None:
    kept: list[int] = []

    run_in_fork(lambda: kept.append(1), ROOM)

    assert kept == []


def test_an_exception_is_told_in_one_line() -> None:
    def fail() -> None:
        raise ValueError("two\nlines")

    with pytest.raises(SandboxError, match=r"^two lines$"):
        run_in_fork(fail, ROOM)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE])
def test_a_crash_is_told_by_its_signal(number: signal.Signals) -> None:
    with pytest.raises(SandboxError, match=rf"it crashes, or needs .*\({signal.strsignal(number)}\)"):
        run_in_fork(lambda: os.kill(os.getpid(), number), ROOM)


def test_a_quiet_end_is_a_crash() -> None:
    with pytest.raises(SandboxError, match="it crashes"):
        run_in_fork(lambda: os._exit(0), ROOM)


def test_what_computes_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever() -> None:
        while True:
            pass

    monkeypatch.setattr(sandbox, "CPU_S", 1)

    with pytest.raises(SandboxError, match=r"over 1 s .*\(CPU time limit exceeded\)"):
        run_in_fork(forever, ROOM)


def test_what_waits_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WALL_S", 0.2)

    with pytest.raises(SandboxError, match=r"\(Killed\)"):
        run_in_fork(signal.pause, ROOM)


def test_memory_beyond_the_allowance_is_refused() -> None:
    with pytest.raises(SandboxError, match="MemoryError"):
        run_in_fork(lambda: bytearray(1 << 30), ROOM)


def test_nothing_is_left_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    children = []

    def fork(fork: Callable[[], int] = os.fork) -> int:
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", fork)
    for _ in range(5):
        run_in_fork(lambda: None, ROOM)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert len(children) == 5
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def test_a_program_that_ignores_its_children_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run_in_fork(lambda: None, ROOM)
        with pytest.raises(SandboxError, match="no answer"):
            run_in_fork(lambda: os._exit(0), ROOM)
    finally:
        signal.signal(signal.SIGCHLD, kept)


@pytest.mark.parametrize(("place", "byte"), [(6612, 12), (11033, 209)], ids=["segmentation fault", "division by zero"])
def test_a_flatbuffer_on_which_litert_crashes_is_refused(tiny: Path, place: int, byte: int) -> None:
    model = read_model(tiny)
    content = bytearray(model.flatbuffer)
    content[place] = byte

    with pytest.raises(ModelError, match=r"tiny\.tflite: \w+ cannot run it: "):
        Network(replace(model, flatbuffer=bytes(content)), reference=True)
