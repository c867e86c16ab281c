"""All sinks of a run at once."""

from collections.abc import Callable
from contextlib import ExitStack

from fer_edge.errors import FerEdgeError
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Result


class FanOut:
    """Gives each result to every sink. One that fails is told, closed and left out, and the others go on.

    What is no FerEdgeError ends the run, as when the reader of stdout went away (`| head`). So does a sink that cannot
    take even the first result, where nothing is lost by it: the source is no camera, and a flag is to be mended.
    """

    def __init__(self, log: Callable[[str], None], *, live: bool) -> None:
        """Begin without a sink; `log` is given a line for each one that fails or does not keep up."""
        self._log, self._live = log, live
        self._sinks: dict[str, Sink] = {}
        self._first = True
        self._slow: set[str] = set()
        self.failed: list[str] = []
        """Names of those that failed."""

    def add(self, name: str, sink: Sink) -> None:
        """Add a sink; its name is that of its flag."""
        self._sinks[name] = sink

    def write(self, result: Result) -> None:
        """Give one result to all.

        Raises:
            FerEdgeError: One cannot take the first result of what is no camera.
            BrokenPipeError: The reader of stdout went away.
        """
        for name, sink in list(self._sinks.items()):
            try:
                sink.write(result)
            except FerEdgeError as error:
                if self._first and not self._live:
                    raise
                del self._sinks[name]
                self._fail(name, error)
                self._close(name, sink)
            if sink.dropped and name not in self._slow:
                self._slow.add(name)
                self._log(f"{name} does not keep up with the source; some results are left out there")
        self._first = False

    def close(self) -> None:
        """Close all, whichever of them fails meanwhile."""
        with ExitStack() as stack:  # goes on, too, where Ctrl-C ends the wait for one of them
            for name, sink in self._sinks.items():
                stack.callback(self._close, name, sink)
        self._sinks.clear()

    def _close(self, name: str, sink: Sink) -> None:
        try:
            sink.close()
        except FerEdgeError as error:
            self._fail(name, error)
        if sink.dropped:
            self._log(f"{name}: {sink.dropped} results were left out")

    def _fail(self, name: str, error: FerEdgeError) -> None:
        if name not in self.failed:
            self.failed.append(name)
        self._log(f"{name}: {error}")
