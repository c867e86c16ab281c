"""Several GPUs of one machine: a worker for each, started by the first with the command line it was started by."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from fer_edge.console import console
from fer_edge.errors import UsageError
from fer_edge.native_logs import quiet

END_S = 60
"""How long the other workers may still take once the first is done."""


@contextmanager
def one_worker_per_gpu() -> Iterator[tuple[str, Callable[[], bool]]]:
    """Start the other workers; yield this one's TF_CONFIG, and what tells whether another has ended.

    They end with the block.

    What they print would be said twice; of one that fails people are told the last line.

    Raises:
        UsageError: There are not several GPUs.
    """
    names = gpus()
    if len(names) < 2:
        seen = f"{len(names) or 'no'} GPU"
        raise UsageError(f"--strategy mirrored is for several GPUs, TensorFlow sees {seen}; leave it out")
    workers = [f"127.0.0.1:{port}" for port in free_ports(len(names))]
    configs = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}})
        for rank in range(len(workers))
    ]
    with ExitStack() as stack:
        others: list[tuple[subprocess.Popen[str], IO[str]]] = []
        for config, gpu in zip(configs[1:], names[1:], strict=True):
            said: IO[str] = stack.enter_context(tempfile.TemporaryFile("w+"))
            environment = {**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": gpu}
            command = [sys.executable, *sys.orig_argv[1:]]
            other = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said, text=True)
            stack.callback(_end, other)
            others.append((other, said))
        try:
            yield configs[0], lambda: any(other.poll() is not None for other, _ in others)
            for other, _ in others:
                other.wait(END_S)
        finally:
            for rank, (other, said) in enumerate(others, start=1):
                if other.poll():  # not None, which is still at work, and not 0
                    said.seek(0)
                    console.print(f"worker {rank} ended: {(said.read().strip() or 'without a word').splitlines()[-1]}")


def gpus() -> list[str]:
    """Name the GPUs that TensorFlow sees, as CUDA_VISIBLE_DEVICES has them, and leave it only the first of them."""
    import tensorflow as tf

    with quiet():
        found = tf.config.list_physical_devices("GPU")
        tf.config.set_visible_devices(found[:1], "GPU")
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[: len(found)] if named else [str(number) for number in range(len(found))]


def free_ports(count: int) -> list[int]:
    """Find ports of this machine that nobody uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def _end(worker: "subprocess.Popen[str]") -> None:
    worker.terminate()
    try:
        worker.wait(5)
    except subprocess.TimeoutExpired:  # it waits inside TensorFlow, which heeds no signal
        worker.kill()
        worker.wait()
