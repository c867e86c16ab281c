"""The worker process: what happens there does no harm here. The functions are called there by their names."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge import worker
from fer_edge.worker import Limits, Worker, WorkerDiedError, WorkerError


def echo(*blobs: bytes, **options: object) -> bytes:
    return repr((blobs, options)).encode()


def pid() -> bytes:
    return str(os.getpid()).encode()


def fail(text: str) -> None:
    raise ValueError(text)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def wait() -> None:
    signal.pause()


def spin() -> None:
    while True:
        pass


def fill(size: int) -> None:
    bytearray(size)


def talk() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to descriptor 1")


@pytest.fixture
def own() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.close()


def test_blobs_and_options_arrive(own: Worker) -> None:
    assert (
        own.call(echo, b"\n\0", b"", size=3, shape=None) == repr(((b"\n\0", b""), {"size": 3, "shape": None})).encode()
    )


def test_calls_share_a_process_that_is_not_this_one(own: Worker) -> None:
    assert own.call(pid) == own.call(pid) != pid()


def test_exception_is_told_in_one_line(own: Worker) -> None:
    with pytest.raises(WorkerError, match=r"^two lines$"):
        own.call(fail, text="two\nlines")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE])
def test_crash_is_survived(own: Worker, number: int) -> None:
    with pytest.raises(WorkerDiedError, match=signal.strsignal(number)):
        own.call(die, number=int(number))
    assert own.call(echo) == b"((), {})"


def test_process_that_an_earlier_call_damaged_blames_no_later_one(own: Worker) -> None:
    first = int(own.call(pid))
    os.kill(first, signal.SIGKILL)
    assert int(own.call(pid)) != first


def test_time_is_limited(own: Worker) -> None:
    with pytest.raises(WorkerDiedError, match=signal.strsignal(signal.SIGALRM)):
        own.call(wait, limits=Limits(wall_s=1))
    with pytest.raises(WorkerDiedError, match=signal.strsignal(signal.SIGXCPU)):
        own.call(spin, limits=Limits(cpu_s=1))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_is_limited_and_the_limit_is_lifted(own: Worker) -> None:
    with pytest.raises(WorkerError, match="MemoryError"):
        own.call(fill, size=1 << 30, limits=Limits(memory_bytes=64 << 20))
    own.call(fill, size=1 << 28)


def test_idle_process_ends_and_another_is_started(own: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        worker, "START", worker.START.replace("serve()", "import fer_edge.worker as w; w.IDLE_S = 1; serve()")
    )
    first = own.call(pid)
    time.sleep(2)
    assert own.call(pid) != first


def test_its_output_is_discarded(own: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    own.call(talk)
    assert capfd.readouterr() == ("", "")


def test_fork_of_this_process_starts_its_own(own: Worker) -> None:
    mine = own.call(pid)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, own.call(pid))
        own.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 20) != mine
    assert own.call(pid) == mine


def test_fork_while_another_thread_waits_for_a_reply_neither_hangs_nor_takes_it(own: Worker) -> None:
    """The lock is held at the time of the fork, and the child holds the pipes open."""
    caught: list[type] = []

    def blocked() -> None:
        try:
            own.call(wait, limits=Limits(wall_s=1))
        except WorkerDiedError as error:
            caught.append(type(error))

    thread = threading.Thread(target=blocked)
    thread.start()
    time.sleep(0.4)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        own.call(pid)
        own.close()
        os._exit(0)
    thread.join(10)
    assert caught == [WorkerDiedError]
    assert os.waitpid(child, 0)[1] == 0


def test_program_that_ignores_its_children_is_answered(own: Worker) -> None:
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        own.call(pid)
        with pytest.raises(WorkerDiedError):
            own.call(die, number=int(signal.SIGKILL))
    finally:
        signal.signal(signal.SIGCHLD, kept)


def test_nothing_is_left_of_it(own: Worker) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        child = int(own.call(pid))
        own.close()
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_frozen_program_calls_it_itself(own: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert own.call(pid) == pid()
