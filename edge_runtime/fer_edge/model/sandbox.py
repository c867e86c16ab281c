"""Run a function in a fork first, where a crash, a hang or too much memory does no harm."""

import faulthandler
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fer_edge.errors import one_line

CPU_S = 10
"""CPU seconds allowed; a bundled network takes 0.01 to 0.02 s on x86."""
WALL_S = 60
"""Timeout in seconds."""


class SandboxError(Exception):
    """The function failed in the fork."""


def run_in_fork(act: Callable[[], object], allowance_bytes: int) -> None:
    """Run `act` in a fork of this process and wait for its end.

    A fork has everything imported already and takes milliseconds, not another start of Python. Linux only: macOS'
    libraries do not support it, Windows has none, and there `act` runs in this process.

    Args:
        act: Function to run; its changes to memory are lost.
        allowance_bytes: Memory it may use beyond that of this process.

    Raises:
        SandboxError: It raised an exception, crashed, or exceeded the time or memory limit.
        OSError: The process cannot fork.
    """
    if sys.platform != "linux":
        act()
        return
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(act, allowance_bytes, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        in_time = bool(select.select([stream], [], [], WALL_S)[0])
        if not in_time:
            os.kill(child, signal.SIGKILL)
        report = stream.read()
    status = 0
    with suppress(ChildProcessError):  # no status in a program that ignores SIGCHLD
        status = os.waitpid(child, 0)[1]
    if report == b"ok":
        return
    if report:
        raise SandboxError(report.decode(errors="replace"))
    reason = signal.strsignal(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
    raise SandboxError(
        f"it crashes, or needs over {CPU_S} s or {allowance_bytes >> 20} MB per image ({reason or 'no answer'})"
    )


def _run_child(act: Callable[[], object], allowance_bytes: int, writer: int) -> None:
    """Run the child process: report the outcome through `writer`, and exit."""
    import resource  # Windows has no such module

    try:
        faulthandler.disable()  # pytest's handler would report the crash as pytest's own
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + allowance_bytes
        for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_AS, memory)):
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        act()
        os.write(writer, b"ok")
    except BaseException as error:
        os.write(writer, one_line(error).encode(errors="replace"))
    finally:
        os._exit(0)
