"""A sink in a thread of its own, so that a slow disk or reader never holds up the camera."""

import threading
from collections import deque

from fer_edge.errors import FerEdgeError
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Result

MOST = 64
"""Results that may wait: four seconds at 15 frames per second."""
MOST_BYTES = 64_000_000
"""And the bytes of their frames: 64 of VGA, ten of full HD. A Pi has no memory for more."""
CLOSING_S = 1.0
"""How long closing waits for what has not been written yet, and then again for the other sink's own end."""


class ThreadedSink(Sink):
    """Writes into another sink, in a thread; of what that one cannot take in time, the newest is left out and counted.

    For one writing thread. The other sink is used by the thread alone; it is closed there, too.
    """

    def __init__(self, sink: Sink, most: int = MOST, closing_s: float = CLOSING_S) -> None:
        """Begin to write into `sink`; at most so many results wait, and for so many seconds at the end."""
        self._sink, self._most, self._closing_s = sink, most, closing_s
        self._changed = threading.Condition()
        self._waiting: deque[Result] = deque()
        self._bytes = 0
        self._over = self._raised = False
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"fer-edge {type(sink).__name__}", daemon=True)
        self._thread.start()
        self.dropped = 0

    def write(self, result: Result) -> None:
        """Hand over one result; never waits.

        Raises:
            Exception: What the other sink raised, for an earlier one; nothing is taken any more.
        """
        with self._changed:
            self._raise_failure()
            size = result.frame.bgr.nbytes
            if self._waiting and (len(self._waiting) >= self._most or self._bytes + size > MOST_BYTES):
                self.dropped += 1
                return
            self._waiting.append(result)
            self._bytes += size
            self._changed.notify()

    def close(self) -> None:
        """Write what still waits, for a second, and close the other sink, for another: a video needs its end.

        Raises:
            FerEdgeError: The other sink hangs.
            Exception: What it raised in the end.
        """
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(self._closing_s)
        with self._changed:
            self.dropped += len(self._waiting)
            self._waiting.clear()
        self._thread.join(self._closing_s)
        with self._changed:
            if self._thread.is_alive():
                self.dropped += 1  # which it has in its hands
                raise FerEdgeError("it does not respond, and was given up")
            if not self._raised:
                self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failed:
            self._raised = True
            raise self._failed

    def _run(self) -> None:
        try:
            while result := self._next():
                self._sink.write(result)
        except Exception as error:  # whatever it is, it belongs to the thread that writes
            self._fail(error)
        try:
            self._sink.close()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failed = self._failed or error
            self._waiting.clear()

    def _next(self) -> Result | None:
        """Wait for the next result; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            if not self._waiting:
                return None
            result = self._waiting.popleft()
            self._bytes -= result.frame.bgr.nbytes
            return result
