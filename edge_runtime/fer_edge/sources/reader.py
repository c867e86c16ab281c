"""Reading a source: a live one in a thread of its own, where the newest frame wins; any other frame by frame."""

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from types import TracebackType

from fer_edge.errors import SourceError
from fer_edge.sources.frame import Frame, Source

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each try to open a lost source again; the last one stays."""
STEADY_S = 10.0
"""A source that was back for less than this goes on with the longer pauses: a loose plug must not fill the log."""
CLOSING_S = 0.3
"""How long closing waits for a camera that hangs in a read; after that its thread ends when the read does, or with the
process. Python's own end, with FFmpeg in a read, takes another 0.4 s, and all of it together must be under a second."""


class LiveReader:
    """Frames of a live source, each the newest that there is.

    A thread reads on; a frame that nobody has taken when the next one comes is dropped and counted, so no delay ever
    builds up. A source that is lost is opened again, after growing pauses, for as long as the block lasts; numbers and
    times of its frames go on. Iterate in one thread; `close` may come from any, and from a signal handler.
    """

    def __init__(self, source: Source, log: Callable[[str], None], pauses: tuple[float, ...] = PAUSES) -> None:
        """Prepare to read `source`; it is opened when the block begins.

        Args:
            source: A live one.
            log: Is given a line when the source is lost, and one when it is back; called in the reading thread.
            pauses: Seconds before each new try.
        """
        self._source, self._log, self._pauses = source, log, pauses
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._opened = self._over = self._stop = False
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"fer-edge {source.name}", daemon=True)
        self._timeline = _Timeline()
        self._lost, self._tries = False, 0
        self.dropped = 0
        """Frames that came and were never taken, or were damaged."""

    def __enter__(self) -> "LiveReader":
        """Open the source, in the thread, so that Ctrl-C ends also the wait for one that does not answer.

        Raises:
            SourceError: It is not there. It is not waited for at the beginning, when somebody may have mistyped it.
        """
        self._thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._opened or self._over or self._stop)
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
        """End the frames now; whoever waits for one waits no longer."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """Give the newest frame, waiting for it where it was taken already, until the source ends or is closed.

        Raises:
            FerEdgeError: What reading ended with, if it was no loss that may pass.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._over or self._stop)
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
            self._read_on()
        except BaseException as error:  # whatever it is, it belongs to the thread that iterates
            self._failed = error
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _read_on(self) -> None:
        frames: Iterator[Frame] | None = self._source.open()
        with self._changed:
            self._opened = True
            self._changed.notify_all()
        while frames is not None:
            lost = self._put_all(frames)
            frames = self._found_again(lost) if lost else None

    def _put_all(self, frames: Iterator[Frame]) -> SourceError | None:
        """Go through the frames of one opening; returns how they were lost, None where they are over."""
        try:
            for frame in frames:
                self._put(frame)
                if self._stop:
                    break
        except SourceError as error:
            return error
        finally:
            _close(frames)
        return None

    def _put(self, frame: Frame) -> None:
        if self._lost:
            self._lost = False
            self._log(f"{self._source.name} is back")
        placed = self._timeline.place(frame)
        with self._changed:
            self.dropped += frame.damaged + (self._newest is not None)
            self._newest = placed
            self._changed.notify_all()

    def _found_again(self, error: SourceError) -> Iterator[Frame] | None:
        """Try to open the source until it opens; None where the block ends before that."""
        if not self._lost:
            self._lost = True
            self._log(f"{error}; trying again until it is back")
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
    """Numbers and times of frames that go on where a source was opened again, and begins at 0 itself."""

    def __init__(self) -> None:
        self._origin: float | None = None  # when the first opening's t was 0, as `Frame.captured`
        self._fresh = True
        self._begun = self._latest = 0.0
        self._index_shift = self._next_index = 0
        self._t_shift = 0.0

    def reopen(self) -> None:
        self._fresh, self._begun, self._latest = True, 0.0, 0.0

    def lasted(self) -> float:
        """Seconds of frames since the last opening."""
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
    """Frames of a source that waits: every one, read when it is asked for, in the thread that asks."""

    def __init__(self, source: Source) -> None:
        """Prepare to read `source`; it is opened when the block begins."""
        self._source = source
        self._stop = False
        self.dropped = 0
        """Frames that were damaged."""

    def __enter__(self) -> "SequentialReader":
        """Open the source.

        Raises:
            FerEdgeError: It is not there, or cannot be read.
        """
        self._frames = self._source.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._frames)

    def close(self) -> None:
        """End the frames after the one that is being read; may be called from any thread, and from a signal handler."""
        self._stop = True

    def __iter__(self) -> Iterator[Frame]:
        """Give frame after frame.

        Raises:
            FerEdgeError: The source cannot be read on.
        """
        for frame in self._frames:
            if self._stop:
                return
            self.dropped += frame.damaged
            yield frame


def frames(source: Source, log: Callable[[str], None]) -> LiveReader | SequentialReader:
    """Read a source of whatever kind: a block that opens and closes it, and gives its frames.

    >>> from fer_edge.sources import find_source
    >>> with frames(find_source("fake"), log=print) as reading:
    ...     print(next(iter(reading)).bgr.shape, reading.dropped)
    (480, 640, 3) 0

    Args:
        source: Of `find_source`.
        log: Is given a line when a live source is lost, and one when it is back; called in another thread.
    """
    return LiveReader(source, log) if source.live else SequentialReader(source)


def _close(frames: Iterator[Frame]) -> None:
    """Close a generator, and with it what it reads from."""
    if isinstance(frames, Generator):
        frames.close()
