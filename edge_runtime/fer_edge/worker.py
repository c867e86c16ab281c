"""Call a function in a fresh Python process: a crash, a hang or a full memory there does no harm here.

A fork of this process would inherit locks that other threads hold, and objects whose threads exist only here
(TensorFlow's calibrator): what works would seem to crash. The fresh process takes about 0.2 s to start (x86), prints
nothing, and ends after `IDLE_S` without a call.
"""

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

IDLE_S = 20
"""Seconds without a call after which the process ends; the next call starts another."""
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from fer_edge.worker import serve; serve()"
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")


class WorkerError(Exception):
    """The function raised an exception; says what that said."""


class WorkerDiedError(WorkerError):
    """The process ended during the call; names the signal, if one did it."""


class Limits(NamedTuple):
    """What a call may take (POSIX; the memory on Linux); None: any amount."""

    cpu_s: int | None = None
    """Processor time, in seconds."""
    wall_s: int | None = None
    """Seconds."""
    memory_bytes: int | None = None
    """Memory beyond what the process has."""


UNLIMITED = Limits()


class Worker:
    """A process that calls functions, one at a time; started when it is needed. Threads may share it."""

    def __init__(self) -> None:
        self._reset()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)  # the process and its pipes are the parent's

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def call(
        self, function: Callable[..., bytes | None], *blobs: bytes, limits: Limits = UNLIMITED, **options: Any
    ) -> bytes:
        """Call `function(*blobs, **options)` in the worker process.

        A frozen program (PyInstaller), which cannot start another Python, calls it itself.

        Args:
            function: Of a module's top level.
            blobs: Its positional arguments.
            limits: What the call may take.
            options: Its keyword arguments, as JSON has them: a tuple arrives as a list.

        Raises:
            WorkerError: It raised an exception.
            WorkerDiedError: It crashed, or took more than `limits`.
            OSError: The process cannot be started.
        """
        if getattr(sys, "frozen", False) or not sys.executable:
            return function(*blobs, **options) or b""
        call = [function.__module__, function.__name__, options, limits, [len(blob) for blob in blobs]]
        request = b"".join([json.dumps(call).encode(), b"\n", *blobs])
        with self._lock:
            fresh = self._process is None
            reply = self._ask(request)
            if reply is None and not fresh:  # it had ended, or an earlier call has damaged it
                self.close()
                reply = self._ask(request)
            if reply is None:
                raise WorkerDiedError(self.close() or "no answer")
        if reply[:1] == b"-":
            raise WorkerError(reply[1:].decode(errors="replace"))
        return reply[1:]

    def close(self) -> str | None:
        """End the process; returns the name of the signal that had ended it, if one had."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in _pipes(process):
            with suppress(OSError):
                pipe.close()
        try:
            status = process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        return signal.strsignal(-status) if status < 0 else None

    def _ask(self, request: bytes) -> bytes | None:
        """Send a request and wait for the reply; None if the process has ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C is for this process
            )
        requests, replies = _pipes(self._process)
        try:
            requests.write(request)
            requests.flush()
            length = replies.read(8)
            reply = replies.read(int.from_bytes(length, "big"))
        except BrokenPipeError:
            return None
        except BaseException:  # Ctrl-C: the next call must not read the reply to this one
            self._process.kill()
            self.close()
            raise
        return reply or None


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Its standard input and output."""
    return cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)


WORKER = Worker()
"""The one of this process."""


def serve() -> None:
    """Be the worker process: answer requests until there are none."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    while True:
        limit(Limits(wall_s=IDLE_S))
        call = requests.readline()
        if not call:
            return
        module, name, options, limits, lengths = json.loads(call)
        blobs = [requests.read(length) for length in lengths]
        function = getattr(importlib.import_module(module), name)
        limit(Limits(*limits))
        try:
            reply = b"+" + (function(*blobs, **options) or b"")
        except BaseException as error:
            reply = b"-" + (" ".join(str(error).split()) or type(error).__name__).encode(errors="replace")
        replies.write(len(reply).to_bytes(8, "big") + reply)
        replies.flush()


def limit(limits: Limits) -> None:
    """Let the system end this process as soon as it takes more than `limits` from now on."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    signal.alarm(limits.wall_s or 0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = {resource.RLIMIT_CORE: 0}
    if limits.cpu_s:
        wanted[resource.RLIMIT_CPU] = int(used.ru_utime + used.ru_stime) + limits.cpu_s + 1
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted[resource.RLIMIT_AS] = pages * resource.getpagesize() + limits.memory_bytes if limits.memory_bytes else -1
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY or most < 0 else min(most, hard), hard))
