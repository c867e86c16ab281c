"""Processes that train together, on one machine or many: they find each other by `jax.distributed`.

Who they are stands in the environment variables of `keras.distribution.initialize`.
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
"""Of `keras.distribution.initialize`: host:port of process 0, how many processes there are, which of them this is."""
START_S = 300
"""How long a process waits for the others to start."""
HEARTBEAT_S = 30
"""A process that was silent for so long is gone; one that was killed is noticed at once."""
REPORT_S = 3600
"""How long the others wait while the first process judges the finished network."""


@dataclass(frozen=True)
class Processes:
    """The processes that train together."""

    coordinator: str
    """host:port of the first."""
    count: int
    rank: int
    """Which of them this is, from 0."""


def read_processes(environment: Mapping[str, str]) -> Processes | None:
    """Read `VARIABLES`; None where they are not set, or name one process.

    >>> read_processes(dict(zip(VARIABLES, ("host1:1234", "2", "1"))))
    Processes(coordinator='host1:1234', count=2, rank=1)

    Raises:
        UsageError: They cannot be read.
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


class RunPlace(NamedTuple):
    """What one process does in a training."""

    leads: bool
    """Whether it is the first, which alone writes the run folder and reports."""
    project: Path
    """Where it puts its run folder."""
    resume: Path | None
    """The run folder that it goes on with."""


@contextmanager
def taking_part(project: Path, resume: Path | None) -> Iterator[RunPlace]:
    """Join the other processes, if there are any, for the `with` block, and wake Keras' backend.

    Raises:
        UsageError: The backend cannot do it, or a variable cannot be read.
        FerEdgeError: Another process does not come, or has gone.
    """
    processes = read_processes(os.environ)
    if processes is None:
        _wake()
        yield RunPlace(True, project, resume)
        return
    if keras.backend.backend() != "jax":
        told = f"{VARIABLES[1]}={processes.count}: several processes train on the JAX backend only"
        raise UsageError(f"{told}; type: pip install '.[jax]', then KERAS_BACKEND=jax fer-edge train ...")
    with _joined(processes), _own_folders(processes.rank == 0, project, resume) as place:
        _wake()
        yield place


def _wake() -> None:
    """Let the backend look for its devices where its start-up messages can be kept from the user."""
    with quiet(), suppress(ModuleNotFoundError):
        keras.ops.zeros(1)
        tf = importlib.import_module("tensorflow")  # Keras does it, if it can, in the first epoch of any backend
    if keras.backend.backend() == "tensorflow" and (gpus := len(tf.config.list_physical_devices("GPU"))) > 1:
        install = "pip install '.[jax]' 'jax[cuda12]', then KERAS_BACKEND=jax fer-edge train ..."
        console.print(f"TensorFlow trains on one of {gpus} GPUs; for all of them type: {install}")


@contextmanager
def _own_folders(leads: bool, project: Path, resume: Path | None) -> Iterator[RunPlace]:
    """Leave the folders to the first process as they are; the others' files would only be copies, and vanish."""
    if leads:
        yield RunPlace(True, project, resume)
        return
    if resume and not resume.is_dir():
        raise UsageError(f"{resume}: no such folder; every process must see the run folder that --resume names")
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        _temporary.append(folder)
        if resume:  # the first process may have begun to write
            unfinished = shutil.ignore_patterns(f"{TEMPORARY}*")
            resume = Path(shutil.copytree(resume, Path(folder) / "run", ignore=unfinished))
        yield RunPlace(False, Path(folder), resume)


_last_words = ""
"""What is told where JAX aborts this process."""
_temporary: list[str] = []
"""Folders that vanish with this process, also there."""


@contextmanager
def _joined(processes: Processes) -> Iterator[None]:
    """Hold this process's place in `jax.distributed`, and leave at once where the block fails: others notice that.

    JAX aborts a process when another one is gone, with pages from C++ (a Python callback for it dies of std::bad_cast,
    jaxlib 0.10). Here the abort is one line. Gloo writes to stdout, which is for JSON; both go nowhere.
    """
    import jax

    global _last_words
    coordinator, count = processes.coordinator, processes.count
    console.print(f"process {processes.rank} of {count}, waiting for all of them at {coordinator}")
    _last_words = f"not all of {count} processes came to {coordinator} within {START_S} s; start all of them"
    failing = False

    def aborted(_: int) -> None:
        while failing:  # the line is told already, and the main thread on its way out
            time.sleep(1)
        console.print(f"error: {_last_words}")
        for folder in _temporary:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)  # Python's own would wait for the main thread
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)
    with _descriptors_for_python_only():
        heed = signal.signal(signal.SIGINT, signal.SIG_DFL)  # JAX waits where Python hears no Ctrl-C
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
            signal.signal(signal.SIGINT, heed)
            _last_words = "another process is gone; start all of them again"
            yield
            jax.distributed.shutdown()
        except BaseException as error:
            failing = True
            code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)
            atexit.register(os._exit, code)  # before JAX's own, which would wait for the others
            raise
    ctypes.CDLL(None).signal(signal.SIGABRT, 0)


@contextmanager
def _descriptors_for_python_only() -> Iterator[None]:
    """Let only Python's own streams reach the user; it stays so where the block fails, and the process ends."""
    kept = {}
    for number, name in ((1, "stdout"), (2, "stderr")):
        kept[name] = getattr(sys, name)
        kept[name].flush()
        setattr(sys, name, os.fdopen(os.dup(number), "w", buffering=1, encoding=kept[name].encoding))
    own = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    yield
    for number, (stream, name) in enumerate(zip(own, kept, strict=True), start=1):
        setattr(sys, name, kept[name])
        os.dup2(stream.fileno(), number)
        stream.close()


@contextmanager
def watched(run: Path) -> Iterator[None]:
    """Turn what JAX raises when another process is gone into one clear line.

    Raises:
        FerEdgeError: Another process is gone.
    """
    global _last_words
    rank, count = rank_and_count()
    if count == 1:
        yield
        return
    folder = run if rank == 0 else "RUN, the run folder of process 0"
    _last_words = (
        f"another process is gone; start all of them again with --resume {folder}, which holds every whole epoch"
    )
    try:
        yield
    except (ValueError, RuntimeError) as error:  # gloo's are ValueErrors, JAX's others RuntimeErrors
        if not any(sign in str(error) for sign in ("Gloo", "NCCL", "gloo")):
            raise
        raise FerEdgeError(_last_words) from error


def rank_and_count() -> tuple[int, int]:
    """Which process this is, from 0, and how many train together."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def agree(*facts: object) -> None:
    """Compare what must be the same in every process.

    Raises:
        UsageError: It is not.
    """
    if rank_and_count()[1] == 1:
        return
    from jax.experimental import multihost_utils

    try:
        multihost_utils.assert_equal(zlib.crc32(repr(facts).encode()))
    except AssertionError as error:
        raise UsageError(
            "the processes have different data or settings; start all of them with the same ones"
        ) from error
