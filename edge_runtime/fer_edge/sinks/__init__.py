"""Sinks, which consume results one by one and are closed however the run ends.

From Python, with `closing` of contextlib:

    with closing(Table(Path("faces.csv"), EXPRESSIONS)) as table:
        for result in fer_edge.stream("0"):
            table.write(result)
"""

from abc import ABC, abstractmethod

from fer_edge.tracking.pipeline import Result


class Sink(ABC):
    """Consumes results, in one thread; a sink that may be slow is wrapped in `fer_edge.sinks.threaded`."""

    dropped: int = 0
    """Results dropped because the sink does not keep up."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Write one result.

        Raises:
            FerEdgeError: Writing fails permanently.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish and release the output; nothing is written afterwards."""
