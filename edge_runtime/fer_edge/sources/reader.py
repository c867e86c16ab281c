"""Read a source: a live one in a thread that keeps the newest frame, any other frame by frame."""

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from types import TracebackType

from fer_edge.errors import SourceError
from fer_edge.sources.frame import Frame, Source

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each attempt to reopen a lost source; the last one repeats."""
STEADY_S = 10.0
"""Seconds a reopened source must last before the pauses start again from the shortest: a loose cable must not fill
the log."""
CLOSING_S = 0.3
"""Seconds that closing waits for a blocked read; after that the thread ends with the read or the process. Python's
exit during an FFmpeg read takes another 0.4 s, and the total must stay below a second."""


class LiveReader:
    """Frames of a live source, always the newest.

    A thread reads continuously; a frame that was not consumed when the next one arrives is dropped and counted, so no
    delay builds up. A lost source is reopened after growing pauses, until the block ends; frame indices and times
    continue. Iterate in one thread; `close` may be called from any thread and from a signal handler.
    """

    def __init__(self, source: Source, log: Callable[[str], None], pauses: tuple[float, ...] = PAUSES) -> None:
        """Read `source`, which is opened on entering the block.

        Args:
            source: A live source.
            log: Called with a line when the source is lost and when it is back, in the reading thread.
            pauses: Seconds before each attempt to reopen.
        """
        self._source, self._log, self._pauses = source, log, pauses
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._opened = self._finished = self._stop = False
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"fer-edge {source.name}", daemon=True)
        self._timeline = _Timeline()
        self._lost, self._tries = False, 0
        self.dropped = 0
        """Frames that were not consumed in time, or damaged."""

    def __enter__(self) -> "LiveReader":
        """Open the source in the thread, so that Ctrl-C also interrupts the wait for one that does not answer.

        Raises:
            SourceError: It is missing. Only a source that was open before is waited for; a mistyped one fails here.
        """
        self._thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._opened or self._finished or self._stop)
            if self._failed and not self._opened:
                raise self._failed
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._thread.join(CLOSING_S)

    def close(self) -> None:
        """End the iteration now, also one that is waiting for a frame."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame, waiting for one if needed, until the source ends or is closed.

        Raises:
            FerEdgeError: Reading failed in a way that reopening cannot fix.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._finished or self._stop)
                frame, self._newest = self._newest, None
            if self._stop:
                return
            if frame is None:
                if self._failed:
                    raise self._failed
                return
            yield frame

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # re-raised in the iterating thread
            self._failed = error
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def _read(self) -> None:
        frames: Iterator[Frame] | None = self._source.open()
        with self._changed:
            self._opened = True
            self._changed.notify_all()
        while frames is not None:
            lost = self._publish_all(frames)
            frames = self._reopen(lost) if lost else None

    def _publish_all(self, frames: Iterator[Frame]) -> SourceError | None:
        """Publish frames until the source ends; return the error if it was lost."""
        try:
            for frame in frames:
                self._publish(frame)
                if self._stop:
                    break
        except SourceError as error:
            return error
        finally:
            _close(frames)
        return None

    def _publish(self, frame: Frame) -> None:
        if self._lost:
            self._lost = False
            self._log(f"{self._source.name} is back")
        frame = self._timeline.place(frame)
        with self._changed:
            self.dropped += frame.damaged + (self._newest is not None)
            self._newest = frame
            self._changed.notify_all()

    def _reopen(self, error: SourceError) -> Iterator[Frame] | None:
        """Try to reopen the source until it opens; None if the block ends first."""
        if not self._lost:
            self._lost = True
            self._log(f"{error}; retrying")
        if self._timeline.lasted() >= STEADY_S:
            self._tries = 0
        self._timeline.reopen()
        while True:
            pause = self._pauses[min(self._tries, len(self._pauses) - 1)]
            self._tries += 1
            with self._changed:
                if self._changed.wait_for(lambda: self._stop, pause):
                    return None
            try:
                return self._source.open()
            except SourceError:
                continue


class _Timeline:
    """Continues frame indices and times across reopenings, where a source starts at 0 again."""

    def __init__(self) -> None:
        self._origin: float | None = None  # capture time of t = 0 in the first opening
        self._fresh = True
        self._begun = self._latest = 0.0
        self._index_shift = self._next_index = 0
        self._t_shift = 0.0

    def reopen(self) -> None:
        self._fresh, self._begun, self._latest = True, 0.0, 0.0

    def lasted(self) -> float:
        """Seconds of frames since the source was last opened."""
        return self._latest - self._begun

    def place(self, frame: Frame) -> Frame:
        if self._fresh:
            zero = frame.captured - frame.t
            self._origin = zero if self._origin is None else self._origin
            self._t_shift, self._index_shift = zero - self._origin, self._next_index
            self._begun, self._fresh = frame.captured, False
        self._latest = frame.captured
        index = frame.index + self._index_shift
        self._next_index = index + 1
        return replace(frame, index=index, t=frame.t + self._t_shift) if self._index_shift else frame


class SequentialReader:
    """Every frame of a source that is not live, read on demand in the calling thread."""

    def __init__(self, source: Source) -> None:
        """Read `source`, which is opened on entering the block."""
        self._source = source
        self._stop = False
        self.dropped = 0
        """Damaged frames."""

    def __enter__(self) -> "SequentialReader":
        """Open the source.

        Raises:
            FerEdgeError: It is missing or cannot be read.
        """
        self._frames = self._source.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._frames)

    def close(self) -> None:
        """End the iteration after the current frame; may be called from any thread and from a signal handler."""
        self._stop = True

    def __iter__(self) -> Iterator[Frame]:
        """Yield frame after frame.

        Raises:
            FerEdgeError: Reading failed.
        """
        for frame in self._frames:
            if self._stop:
                return
            self.dropped += frame.damaged
            yield frame


def frames(source: Source, log: Callable[[str], None]) -> LiveReader | SequentialReader:
    """Return the reader for a source: a context manager that opens and closes it, and iterates over its frames.

    >>> from fer_edge.sources import find_source
    >>> with frames(find_source("fake"), log=print) as reading:
    ...     print(next(iter(reading)).bgr.shape, reading.dropped)
    (480, 640, 3) 0

    Args:
        source: Returned by `find_source`.
        log: Called with a line when a live source is lost and when it is back, in another thread.
    """
    return LiveReader(source, log) if source.live else SequentialReader(source)


def _close(frames: Iterator[Frame]) -> None:
    """Close a generator and the source it reads."""
    if isinstance(frames, Generator):
        frames.close()
