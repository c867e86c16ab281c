"""Workers wait for each other before TensorFlow does: its own wait has no end and hears no Ctrl-C."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from fer_edge.errors import FerEdgeError
from fer_edge_train.cluster import Cluster

WAIT_S = 600
"""How long a worker waits for the others to start."""
STEP_S = 0.2
"""How often it looks whether to give up."""
GO = b"go\n"


def meet(cluster: Cluster, ended: Callable[[], bool]) -> None:
    """Return once all workers are there: each of them calls on the first, which then tells all to go.

    Args:
        cluster: The workers, and which of them this is.
        ended: Tells whether one of them is known to be gone.

    Raises:
        FerEdgeError: They are not there within `WAIT_S` seconds, one has ended, or this one's port is taken.
    """
    end = time.monotonic() + WAIT_S

    def go_on() -> None:
        if ended():
            raise FerEdgeError("another worker ended before it was there")
        if time.monotonic() > end:
            raise FerEdgeError(f"not all of {', '.join(cluster.workers)} came within {WAIT_S} s; start all of them")

    if cluster.rank == 0:
        _lead(cluster, go_on)
    else:
        _follow(cluster, go_on)


def _lead(cluster: Cluster, go_on: Callable[[], None]) -> None:
    own = cluster.workers[0]
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_server(_host_and_port(own)[1]))
        except OSError as error:
            raise FerEdgeError(f"cannot take part as {own}: {error.strerror or error}; is the port in use?") from error
        server.settimeout(STEP_S)
        there: dict[bytes, socket.socket] = {}
        wanted = {_greeting(cluster, rank) for rank in range(1, len(cluster.workers))}
        while there.keys() != wanted:
            go_on()
            with suppress(OSError):  # nobody yet, or somebody who is gone again
                caller = stack.enter_context(server.accept()[0])
                caller.settimeout(1)
                greeting = caller.recv(1024)
                if greeting in wanted:  # else a stranger
                    there[greeting] = caller
        for caller in there.values():
            with suppress(OSError):  # it went; TensorFlow will notice
                caller.sendall(GO)


def _follow(cluster: Cluster, go_on: Callable[[], None]) -> None:
    while True:
        go_on()
        with suppress(OSError), socket.create_connection(_host_and_port(cluster.workers[0]), timeout=1) as leader:
            leader.sendall(_greeting(cluster, cluster.rank))
            leader.settimeout(STEP_S)
            while (answer := _answer(leader)) is None:
                go_on()
            if answer == GO:
                return
        time.sleep(STEP_S)


def _answer(leader: socket.socket) -> bytes | None:
    """What the first worker says; None as long as it says nothing, b"" where it is gone."""
    try:
        return leader.recv(len(GO))
    except TimeoutError:
        return None


def _greeting(cluster: Cluster, rank: int) -> bytes:
    return f"fer-edge worker {rank} of {' '.join(cluster.workers)}\n".encode()[:1024]


def _server(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _host_and_port(worker: str) -> tuple[str, int]:
    host, _, port = worker.rpartition(":")
    return host.strip("[]"), int(port)
