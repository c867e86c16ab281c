"""Run something in a fork of this process first: a crash, a hang or a full memory there does no harm here."""

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
"""Processor time a trial may take: one of the bundled networks takes 0.01 to 0.02 s of it on x86."""
WALL_S = 60
"""Seconds until a trial is given up, whatever it waits for."""


class SandboxError(Exception):
    """What was tried does not work; says why."""


def run_in_fork(act: Callable[[], object], allowance_bytes: int) -> None:
    """Do `act` in a fork of this process and wait for its end.

    A fork has everything imported already, so that a trial takes milliseconds, not another start of Python. There is
    one on Linux only: macOS' libraries do not bear it, Windows has none, and there `act` is done in this process.

    Args:
        act: What to try; nothing of what it changes in memory is seen here.
        allowance_bytes: Memory it may take beyond what this process has.

    Raises:
        SandboxError: It raised an exception, crashed, or took too much time or memory.
        OSError: There is no room for another process.
    """
    if sys.platform != "linux":
        act()
        return
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _act_and_end(act, allowance_bytes, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        in_time = bool(select.select([stream], [], [], WALL_S)[0])
        if not in_time:
            os.kill(child, signal.SIGKILL)
        told = stream.read()
    status = 0
    with suppress(ChildProcessError):  # a program that ignores SIGCHLD is told nothing
        status = os.waitpid(child, 0)[1]
    if told == b"well":
        return
    if told:
        raise SandboxError(told.decode(errors="replace"))
    reason = signal.strsignal(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
    raise SandboxError(
        f"it crashes, or needs over {CPU_S} s or {allowance_bytes >> 20} MB for a picture ({reason or 'no answer'})"
    )


def _act_and_end(act: Callable[[], object], allowance_bytes: int, writer: int) -> None:
    """The child's whole life: tell how it went through `writer`, or die before."""
    import resource  # Windows has no such module

    try:
        faulthandler.disable()  # pytest's would report the crash as its own
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + allowance_bytes
        for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_AS, memory)):
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        act()
        os.write(writer, b"well")
    except BaseException as error:
        os.write(writer, one_line(error).encode(errors="replace"))
    finally:
        os._exit(0)
