"""Write to all sinks of a run."""

from collections.abc import Callable
from contextlib import ExitStack

from fer_edge.errors import FerEdgeError
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Result


class FanOut:
    """Writes each result to every sink. A sink that fails is reported, closed and removed; the others continue.

    Other errors than FerEdgeError end the run, as when the reader of stdout closes it (`| head`). So does a failure on
    the first result of a source that is not live: nothing is lost by it, and usually a flag is wrong.
    """

    def __init__(self, log: Callable[[str], None], *, live: bool) -> None:
        """Start without sinks; `log` is called with a line for each sink that fails or does not keep up."""
        self._log, self._live = log, live
        self._sinks: dict[str, Sink] = {}
        self._first = True
        self._slow: set[str] = set()
        self.failed: list[str] = []
        """Names of the sinks that failed."""

    def add(self, name: str, sink: Sink) -> None:
        """Add a sink under the name of its flag."""
        self._sinks[name] = sink

    def write(self, result: Result) -> None:
        """Write one result to all sinks.

        Raises:
            FerEdgeError: A sink failed on the first result of a source that is not live.
            BrokenPipeError: The reader of stdout closed it.
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
                self._log(f"{name} does not keep up with the source; it drops results")
        self._first = False

    def close(self) -> None:
        """Close all sinks, also if some fail."""
        with ExitStack() as stack:  # closes the rest also when Ctrl-C interrupts one
            for name, sink in self._sinks.items():
                stack.callback(self._close, name, sink)
        self._sinks.clear()

    def _close(self, name: str, sink: Sink) -> None:
        try:
            sink.close()
        except FerEdgeError as error:
            self._fail(name, error)
        if sink.dropped:
            self._log(f"{name}: {sink.dropped} results dropped")

    def _fail(self, name: str, error: FerEdgeError) -> None:
        if name not in self.failed:
            self.failed.append(name)
        self._log(f"{name}: {error}")
