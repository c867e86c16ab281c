"""Run a sink in its own thread, so that a slow disk or reader never blocks the camera."""

import threading
from collections import deque

from fer_edge.errors import FerEdgeError
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Result

MOST = 64
"""Queue length: four seconds at 15 frames per second."""
MOST_BYTES = 64_000_000
"""Bytes of queued frames: 64 of VGA, ten of full HD; a Pi has little memory."""
CLOSING_S = 1.0
"""Seconds that closing waits for the queue, and again for the other sink to close."""


class ThreadedSink(Sink):
    """Writes to another sink in a thread; when the queue is full, new results are dropped and counted.

    `write` is for one thread. The other sink is used and closed only in the worker thread.
    """

    def __init__(self, sink: Sink, most: int = MOST, closing_s: float = CLOSING_S) -> None:
        """Start writing to `sink`, with at most `most` queued results and `closing_s` seconds per step of closing."""
        self._sink, self._most, self._closing_s = sink, most, closing_s
        self._changed = threading.Condition()
        self._queue: deque[Result] = deque()
        self._bytes = 0
        self._finished = self._raised = False
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"fer-edge {type(sink).__name__}", daemon=True)
        self._thread.start()
        self.dropped = 0

    def write(self, result: Result) -> None:
        """Queue one result; never blocks.

        Raises:
            Exception: The other sink's error for an earlier result; no more results are accepted.
        """
        with self._changed:
            self._raise_failure()
            size = result.frame.bgr.nbytes
            if self._queue and (len(self._queue) >= self._most or self._bytes + size > MOST_BYTES):
                self.dropped += 1
                return
            self._queue.append(result)
            self._bytes += size
            self._changed.notify()

    def close(self) -> None:
        """Write queued results for up to a second, and close the other sink within another: a video needs its trailer.

        Raises:
            FerEdgeError: The other sink hangs.
            Exception: The other sink's error.
        """
        with self._changed:
            self._finished = True
            self._changed.notify()
        self._thread.join(self._closing_s)
        with self._changed:
            self.dropped += len(self._queue)
            self._queue.clear()
        self._thread.join(self._closing_s)
        with self._changed:
            if self._thread.is_alive():
                self.dropped += 1  # the one being written
                raise FerEdgeError("it does not respond; its last results may be lost")
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
        except Exception as error:  # re-raised in the writing thread
            self._fail(error)
        try:
            self._sink.close()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failed = self._failed or error
            self._queue.clear()

    def _next(self) -> Result | None:
        """Wait for the next result; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._finished)
            if not self._queue:
                return None
            result = self._queue.popleft()
            self._bytes -= result.frame.bgr.nbytes
            return result
