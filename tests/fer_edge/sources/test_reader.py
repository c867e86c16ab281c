import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from fer_edge.errors import DataError, SourceError
from fer_edge.sources import Frame, Source, View, find_source
from fer_edge.sources.reader import LiveReader, SequentialReader, frames
from support.videos import grey, write_video

GREY = np.full((4, 4, 3), 100, np.uint8)
Opening = Callable[[], Iterator[Frame]]


def frame(index: int, captured: float | None = None, damaged: int = 0) -> Frame:
    """A frame of a camera at 10 frames per second that was opened when `captured` says, by default 100 s."""
    t = index / 10
    return Frame("camera 0", index, t, GREY, 1.0, 100 + t if captured is None else captured, None, 10, damaged)


class Camera:
    """A live source whose openings are told beforehand: frames, or an error in their place; then it has ended.

    Each frame but the first waits until the one before was taken, so that none is dropped.
    """

    def __init__(self, *openings: list[Frame] | SourceError) -> None:
        self.openings = list(openings)
        self.opened: list[float] = []
        self.taken = threading.Semaphore(1)

    def source(self) -> Source:
        return Source("camera 0", True, self.open)

    def open(self) -> Iterator[Frame]:
        self.opened.append(time.perf_counter())
        opening = self.openings.pop(0)
        if isinstance(opening, SourceError):
            raise opening
        return self.give(opening, last=not self.openings)

    def give(self, opening: list[Frame], last: bool) -> Iterator[Frame]:
        for one in opening:
            self.taken.acquire()
            yield one
        if not last:
            raise SourceError("camera 0 gives no more frames")

    def read(self, pauses: tuple[float, ...] = (0.0,)) -> tuple[list[Frame], list[str]]:
        """Every frame, and what was told meanwhile."""
        told: list[str] = []
        found = []
        with LiveReader(self.source(), told.append, pauses) as live:
            for one in live:
                found.append(one)
                self.taken.release()
        assert live.dropped == 0
        return found, told


GONE = SourceError("camera 0 does not open")


def test_a_file_is_read_frame_by_frame_without_a_thread() -> None:
    before = threading.active_count()
    source = Source("video", False, lambda: iter([frame(0), frame(1), frame(4, damaged=2)]))

    with frames(source, print) as reading:
        assert isinstance(reading, SequentialReader)
        assert [one.index for one in reading] == [0, 1, 4]
        assert threading.active_count() == before
    assert reading.dropped == 2  # those that were damaged


def test_a_file_can_be_closed_between_two_frames() -> None:
    with frames(Source("video", False, lambda: iter(map(frame, range(9)))), print) as reading:
        found = []
        for one in reading:
            found.append(one.index)
            if one.index == 1:
                reading.close()
    assert found == [0, 1]


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    all_came, go_on = threading.Event(), threading.Event()

    def camera() -> Iterator[Frame]:
        yield from (frame(0), frame(1), frame(3, damaged=1), frame(4))
        all_came.set()
        go_on.wait(10)
        yield frame(5)

    with frames(Source("camera 0", True, camera), print) as live:
        assert all_came.wait(10)
        reading = iter(live)
        assert next(reading).index == 4
        assert live.dropped == 4  # 0, 1 and 3 were never taken, 2 was damaged
        go_on.set()
        assert [one.index for one in reading] == [5]
        assert live.dropped == 4


def test_a_lost_camera_is_told_once_opened_again_and_told_once() -> None:
    camera = Camera([frame(0), frame(1)], GONE, GONE, [frame(0, 103.0), frame(1, 103.1)])

    found, told = camera.read()

    assert told == ["camera 0 gives no more frames; retrying", "camera 0 is back"]
    assert [one.index for one in found] == [0, 1, 2, 3]
    assert [round(one.t, 3) for one in found] == [0, 0.1, 3.0, 3.1]  # the time while it was away has passed


def test_what_opens_but_gives_no_frame_is_not_back() -> None:
    found, told = Camera([frame(0)], [], [], [frame(0, 101.0)]).read()

    assert len(found) == 2
    assert told[1:] == ["camera 0 is back"]


def test_the_pauses_between_two_tries_grow_and_the_last_one_stays() -> None:
    camera = Camera([frame(0)], GONE, GONE, GONE, [frame(0, 101.0)])

    camera.read(pauses=(0.02, 0.06, 0.12))

    waited = np.diff(camera.opened)
    assert (waited >= [0.02, 0.06, 0.12, 0.12]).all(), waited


def test_a_loose_plug_is_tried_less_and_less_often() -> None:
    camera = Camera([frame(0)], [frame(0, 101.0)], [frame(0, 102.0)], [frame(0, 103.0)])

    camera.read(pauses=(0.0, 0.0, 0.1))

    assert camera.opened[3] - camera.opened[2] >= 0.1


def test_a_camera_that_was_steady_is_tried_again_at_once() -> None:
    steady = [frame(0, 101.0), frame(101, 111.1)]
    camera = Camera([frame(0)], steady, [frame(0, 112.0)])

    found, _ = camera.read(pauses=(0.0, 3.0))

    assert len(found) == 4
    assert camera.opened[2] - camera.opened[1] < 3


def test_a_source_that_is_not_there_at_first_is_an_error_at_once() -> None:
    live = LiveReader(Camera(GONE).source(), print)

    with pytest.raises(SourceError, match="camera 0 does not open"), live:
        pass
    live._thread.join(5)
    assert not live._thread.is_alive()


@pytest.mark.parametrize("error", [DataError("the video is broken"), RuntimeError("a bug")])
def test_an_error_that_is_no_loss_reaches_the_reader_after_the_last_frame(error: Exception) -> None:
    def broken() -> Iterator[Frame]:
        yield frame(0)
        raise error

    with LiveReader(Source("video", True, broken), print) as live:
        reading = iter(live)
        assert next(reading).index == 0
        with pytest.raises(type(error), match=str(error)):
            next(reading)


@pytest.mark.parametrize("live", [True, False])
def test_the_source_is_closed_with_the_block(live: bool) -> None:
    known: list[Generator[Frame, None, None]] = []

    def camera() -> Generator[Frame, None, None]:
        for index in range(1000):
            time.sleep(0.001)
            yield frame(index)

    def open_once() -> Iterator[Frame]:
        known.append(camera())
        return known[0]

    with frames(Source("camera 0", live, open_once), print) as reading:
        next(iter(reading))
    assert next(known[0], None) is None  # it has ended, and so has what stands in its `finally`


class Hanging:
    """A camera that hangs after one frame, or already when it is opened, until the test is over."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def frames(self) -> Iterator[Frame]:
        yield frame(0)
        self.free.wait(30)

    def open(self) -> Iterator[Frame]:
        self.free.wait(30)
        return iter([])


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    camera = Hanging()
    yield camera
    camera.free.set()


def test_a_camera_that_hangs_is_closed_within_a_second(hanging: Hanging) -> None:
    with LiveReader(Source("camera 0", True, hanging.frames), print) as live:
        assert next(iter(live)).index == 0
        begun = time.perf_counter()
    assert time.perf_counter() - begun < 1.5  # 0.3 s, on a machine that has other work


def test_closing_from_another_thread_wakes_who_waits(hanging: Hanging) -> None:
    with LiveReader(Source("camera 0", True, hanging.frames), print) as live:
        reading = iter(live)
        next(reading)
        threading.Timer(0.05, live.close).start()
        begun = time.perf_counter()
        assert list(reading) == []
    assert time.perf_counter() - begun < 10


def test_closing_ends_the_pause_before_the_next_try() -> None:
    camera = Camera([frame(0)], [])
    lost, begun = threading.Event(), time.perf_counter()
    with LiveReader(camera.source(), lambda line: lost.set(), pauses=(20.0,)) as live:
        assert lost.wait(10)
    assert not live._thread.is_alive()
    assert time.perf_counter() - begun < 10


def test_ctrl_c_ends_the_wait_for_an_address_that_does_not_answer(hanging: Hanging) -> None:
    def interrupt(number: int, stack: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt), LiveReader(Source("a stream", True, hanging.open), print):
            pass
    finally:
        signal.signal(signal.SIGALRM, before)


def left_over() -> tuple[int, list[str]]:
    """How many file handles are open, and the names of the reading threads."""
    threads = [thread.name for thread in threading.enumerate() if thread.name == "fer-edge clip.avi"]
    return len(list(Path("/proc/self/fd").iterdir())), threads


@pytest.mark.parametrize("view", [View(), View(loop=True), View(realtime=True), View(realtime=True, loop=True)])
def test_no_thread_and_no_file_handle_is_left_over(tmp_path: Path, view: View) -> None:
    source = find_source(str(write_video(tmp_path / "clip.avi", [grey(0)] * 5, 50)), view)

    def read(count: int) -> None:
        with frames(source, print) as reading:
            for _, one in zip(range(count), reading, strict=False):
                assert one.bgr.shape == (48, 64, 3)

    read(9)  # what OpenCV opens once and keeps
    before = left_over()
    for count in (1, 3, 9, 1, 3, 9):
        read(count)

    assert left_over() == before == (before[0], [])
