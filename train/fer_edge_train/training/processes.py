"""Multi-process training on one or several machines, by `jax.distributed`.

Configured by the environment variables of `keras.distribution.initialize`.
"""

import atexit
import ctypes
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras

from fer_edge.console import console
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.files import TEMPORARY
from fer_edge.native_logs import quiet

VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)
"""Of `keras.distribution.initialize`: host:port of process 0, number of processes, rank of this process."""
START_S = 300
"""Timeout for all processes to start."""
HEARTBEAT_S = 30
"""A process without heartbeat for this long counts as lost; a killed one is noticed at once."""
REPORT_S = 3600
"""Timeout of the other processes while process 0 evaluates the finished network."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training."""

    coordinator: str
    """host:port of process 0."""
    count: int
    rank: int
    """Rank of this process, from 0."""


def read_processes(environment: Mapping[str, str]) -> Processes | None:
    """Read `VARIABLES`; None if they are not set, or name one process.

    >>> read_processes(dict(zip(VARIABLES, ("host1:1234", "2", "1"))))
    Processes(coordinator='host1:1234', count=2, rank=1)

    Raises:
        UsageError: They are incomplete or invalid.
    """
    address, count, rank = (environment.get(name, "") for name in VARIABLES)
    if not (address or count or rank):
        return None
    coordinator = address.split(",")[0]
    port = coordinator.rpartition(":")[2]
    if not (port.isdecimal() and count.isdecimal() and rank.isdecimal() and int(rank) < int(count)):
        example = " ".join(f"{name}={value}" for name, value in zip(VARIABLES, ("host1:1234", 2, 0), strict=True))
        raise UsageError(
            f"several processes need all three of {example}, each with its own PROCESS_ID below the number"
        )
    return Processes(coordinator, int(count), int(rank)) if int(count) > 1 else None


class ProcessRole(NamedTuple):
    """The role of one process in a training."""

    is_main: bool
    """Whether it is process 0, the only one to write the run folder and to report."""
    project: Path
    """Folder for its run folder."""
    resume: Path | None
    """The run folder to resume."""


@contextmanager
def join_processes(project: Path, resume: Path | None) -> Iterator[ProcessRole]:
    """Join the other processes, if any, for the `with` block, and initialize Keras' backend.

    Raises:
        UsageError: The backend does not support it, or a variable is invalid.
        FerEdgeError: Another process did not start, or was lost.
    """
    processes = read_processes(os.environ)
    if processes is None:
        _initialize_backend()
        yield ProcessRole(True, project, resume)
        return
    if keras.backend.backend() != "jax":
        reason = f"{VARIABLES[1]}={processes.count}: several processes train on the JAX backend only"
        raise UsageError(f"{reason}; type: pip install '.[jax]', then KERAS_BACKEND=jax fer-edge train ...")
    with _joined(processes), _own_folders(processes.rank == 0, project, resume) as role:
        _initialize_backend()
        yield role


def _initialize_backend() -> None:
    """Initialize the backend's devices with its start-up messages suppressed."""
    with quiet(), suppress(ModuleNotFoundError):
        keras.ops.zeros(1)
        tf = importlib.import_module("tensorflow")  # otherwise Keras imports it in the first epoch, on any backend
    if keras.backend.backend() == "tensorflow" and (gpus := len(tf.config.list_physical_devices("GPU"))) > 1:
        install = "pip install '.[jax]' 'jax[cuda12]', then KERAS_BACKEND=jax fer-edge train ..."
        console.print(f"TensorFlow trains on one of {gpus} GPUs; for all of them type: {install}")


@contextmanager
def _own_folders(is_main: bool, project: Path, resume: Path | None) -> Iterator[ProcessRole]:
    """Give process 0 the real folders, and the others temporary ones: their files would only be copies."""
    if is_main:
        yield ProcessRole(True, project, resume)
        return
    if resume and not resume.is_dir():
        raise UsageError(f"{resume}: no such folder; every process must have access to the run folder of --resume")
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        _temporary.append(folder)
        if resume:  # process 0 may have started to write
            unfinished = shutil.ignore_patterns(f"{TEMPORARY}*")
            resume = Path(shutil.copytree(resume, Path(folder) / "run", ignore=unfinished))
        yield ProcessRole(False, Path(folder), resume)


_abort_message = ""
"""Error message if JAX aborts this process."""
_temporary: list[str] = []
"""Folders to remove with this process, also if JAX aborts it."""


@contextmanager
def _joined(processes: Processes) -> Iterator[None]:
    """Join `jax.distributed`; exit at once if the block fails, so that the others notice.

    JAX aborts a process when another one is lost, with pages from C++ (a Python callback for it fails with
    std::bad_cast, jaxlib 0.10). Here the abort is one line. Gloo writes to stdout, which is for JSON: silenced, too.
    """
    import jax

    global _abort_message
    coordinator, count = processes.coordinator, processes.count
    console.print(f"process {processes.rank} of {count}, waiting for all of them at {coordinator}")
    _abort_message = f"not all of {count} processes joined {coordinator} within {START_S} s; start all of them"
    failing = False

    def aborted(_: int) -> None:
        while failing:  # already reported, and the main thread is exiting
            time.sleep(1)
        console.print(f"error: {_abort_message}")
        for folder in _temporary:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)  # Python's own handler would wait for the main thread
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)
    with _silenced_native_output():
        sigint_handler = signal.signal(signal.SIGINT, signal.SIG_DFL)  # JAX blocks where Python cannot handle Ctrl-C
        try:
            jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
            jax.distributed.initialize(
                coordinator,
                count,
                processes.rank,
                cluster_detection_method="deactivate",
                initialization_timeout=START_S,
                heartbeat_timeout_seconds=HEARTBEAT_S,
                shutdown_timeout_seconds=REPORT_S,
            )
            signal.signal(signal.SIGINT, sigint_handler)
            _abort_message = "another process was lost; start all of them again"
            yield
            jax.distributed.shutdown()
        except BaseException as error:
            failing = True
            code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)
            atexit.register(os._exit, code)  # before JAX's own, which would wait for the others
            raise
    ctypes.CDLL(None).signal(signal.SIGABRT, 0)


@contextmanager
def _silenced_native_output() -> Iterator[None]:
    """Keep native code off stdout and stderr; not undone if the block fails, as the process then exits."""
    kept = {}
    for number, name in ((1, "stdout"), (2, "stderr")):
        kept[name] = getattr(sys, name)
        kept[name].flush()
        setattr(sys, name, os.fdopen(os.dup(number), "w", buffering=1, encoding=kept[name].encoding))
    own = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as devnull:
        os.dup2(devnull.fileno(), 1)
        os.dup2(devnull.fileno(), 2)
    yield
    for number, (stream, name) in enumerate(zip(own, kept, strict=True), start=1):
        setattr(sys, name, kept[name])
        os.dup2(stream.fileno(), number)
        stream.close()


@contextmanager
def process_errors(run: Path) -> Iterator[None]:
    """Turn JAX's error for a lost process into one line.

    Raises:
        FerEdgeError: Another process was lost.
    """
    global _abort_message
    rank, count = rank_and_count()
    if count == 1:
        yield
        return
    folder = run if rank == 0 else "RUN, the run folder of process 0"
    _abort_message = (
        f"another process was lost; start all of them again with --resume {folder}, which holds every complete epoch"
    )
    try:
        yield
    except (ValueError, RuntimeError) as error:  # gloo's are ValueErrors, JAX's others RuntimeErrors
        if not any(name in str(error) for name in ("Gloo", "NCCL", "gloo")):
            raise
        raise FerEdgeError(_abort_message) from error


def rank_and_count() -> tuple[int, int]:
    """Rank of this process, from 0, and number of processes."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def assert_same(*values: object) -> None:
    """Check that `values` are the same in every process.

    Raises:
        UsageError: They are not.
    """
    if rank_and_count()[1] == 1:
        return
    from jax.experimental import multihost_utils

    try:
        multihost_utils.assert_equal(zlib.crc32(repr(values).encode()))
    except AssertionError as error:
        raise UsageError(
            "the processes have different data or settings; start all of them with the same ones"
        ) from error
