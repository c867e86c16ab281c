"""Where results go. Each kind is a file; it takes results one by one, and is closed however the run ends.

From Python, with `closing` of contextlib:

    with closing(Table(Path("faces.csv"), EXPRESSIONS)) as table:
        for result in fer_edge.stream("0"):
            table.write(result)
"""

from abc import ABC, abstractmethod

from fer_edge.tracking.pipeline import Result


class Sink(ABC):
    """Takes results. Called from one thread; what may be slow stands behind `fer_edge.sinks.threaded`."""

    dropped: int = 0
    """Results that were left out, because it does not keep up."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            FerEdgeError: It cannot, and will not be able to.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish what was begun; nothing is written afterwards."""
