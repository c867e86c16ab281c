"""Several sinks at once: one that is slow, hangs or fails holds up neither the camera nor the others."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.imaging.images import Pixels
from fer_edge.sinks import Sink
from fer_edge.sinks.fan_out import FanOut
from fer_edge.sinks.threaded import ThreadedSink
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Result

GREY = np.full((4, 4, 3), 100, np.uint8)


class Kept(Sink):
    """A sink that keeps what it gets; it can be held back, and can fail."""

    def __init__(self, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.got: list[int] = []
        self.closed = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self._fails_at, self._error = fails_at, error or FerEdgeError("the disk is full")

    def write(self, result: Result) -> None:
        assert self.go_on.wait(30)
        if result.frame.index == self._fails_at:
            raise self._error
        self.got.append(result.frame.index)

    def close(self) -> None:
        self.closed += 1


def result(index: int, picture: Pixels = GREY) -> Result:
    return Result(Frame("camera 0", index, index / 10, picture, 0.0, 0.0, None, 10), [])


def results(count: int, picture: Pixels = GREY) -> list[Result]:
    return [result(index, picture) for index in range(count)]


def test_a_sink_in_the_background_gets_everything_in_order_and_is_closed_behind_it() -> None:
    sink = Kept()
    background = ThreadedSink(sink)
    for one in results(60):
        background.write(one)
    background.close()

    assert (sink.got, sink.closed, background.dropped) == (list(range(60)), 1, 0)


def test_a_blocking_sink_delays_no_other_and_its_dropped_results_are_counted() -> None:
    sink = Kept()
    sink.go_on.clear()
    background = ThreadedSink(sink, most=5)
    begun = time.perf_counter()
    for one in results(1000):
        background.write(one)
    took = time.perf_counter() - begun
    sink.go_on.set()
    background.close()

    assert took < 1
    assert len(sink.got) + background.dropped == 1000
    assert len(sink.got) in (5, 6)  # five that waited, and the one that it may have had in its hands


def test_large_frames_that_wait_do_not_fill_the_memory() -> None:
    large = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (4000, 4000, 3))  # 48 MB each, if they were real
    sink = Kept()
    sink.go_on.clear()
    background = ThreadedSink(sink)
    for one in results(10, large):
        background.write(one)
    sink.go_on.set()
    background.close()

    assert background.dropped >= 8


def test_a_sink_that_hangs_is_given_up_when_the_run_ends() -> None:
    sink = Kept()
    sink.go_on.clear()
    background = ThreadedSink(sink, closing_s=0.05)
    for one in results(3):
        background.write(one)

    with pytest.raises(FerEdgeError, match="it does not respond; its last results may be lost"):
        background.close()
    assert background.dropped == 3
    sink.go_on.set()


class Slow(Kept):
    def write(self, result: Result) -> None:
        time.sleep(0.02)
        super().write(result)


def test_a_sink_that_is_behind_when_the_run_ends_is_closed_all_the_same() -> None:
    sink = Slow()
    background = ThreadedSink(sink, closing_s=0.1)
    for one in results(60):
        background.write(one)
    background.close()

    assert sink.closed == 1
    assert 0 < len(sink.got) < 60
    assert len(sink.got) + background.dropped == 60


def wait_for(what: Callable[[], bool]) -> None:
    until = time.perf_counter() + 10
    while not what():
        assert time.perf_counter() < until
        time.sleep(0.001)


def test_an_error_in_the_background_reaches_who_writes_once() -> None:
    sink = Kept(fails_at=1)
    background = ThreadedSink(sink)
    for one in results(2):
        background.write(one)
    wait_for(lambda: sink.closed == 1)

    with pytest.raises(FerEdgeError, match="the disk is full"):
        background.write(result(2))
    background.close()
    assert (sink.got, sink.closed) == ([0], 1)


class Unclosable(Kept):
    def close(self) -> None:
        super().close()
        raise FerEdgeError("no frame was written")


@pytest.mark.parametrize("kind", [Kept, Unclosable])
def test_the_first_unreported_error_is_raised_at_the_end(kind: type[Kept]) -> None:
    background = ThreadedSink(kind(fails_at=0))
    background.write(result(0))

    with pytest.raises(FerEdgeError, match="the disk is full"):
        background.close()


def several(sinks: dict[str, Sink], live: bool = True) -> tuple[FanOut, list[str]]:
    told: list[str] = []
    all_of_them = FanOut(told.append, live=live)
    for name, sink in sinks.items():
        all_of_them.add(name, sink)
    return all_of_them, told


@pytest.mark.parametrize("live", [True, False])
def test_a_sink_that_fails_is_told_once_and_the_others_go_on(live: bool) -> None:
    broken, whole = Kept(fails_at=2), Kept()
    sinks, told = several({"--save": broken, "--csv": whole}, live)
    for one in results(5):
        sinks.write(one)
    sinks.close()

    assert told == ["--save: the disk is full"]
    assert (broken.got, broken.closed, whole.got, whole.closed) == ([0, 1], 1, [0, 1, 2, 3, 4], 1)
    assert sinks.failed == ["--save"]


def test_a_camera_goes_on_without_a_sink_that_cannot_even_begin() -> None:
    broken, whole = Kept(fails_at=0), Kept()
    sinks, _ = several({"--save": broken, "--csv": whole})
    for one in results(2):
        sinks.write(one)

    assert (broken.closed, whole.got, sinks.failed) == (1, [0, 1], ["--save"])


def test_a_file_is_not_gone_through_for_a_sink_that_cannot_even_begin() -> None:
    sinks, _ = several({"--save": Kept(fails_at=0)}, live=False)

    with pytest.raises(FerEdgeError, match="the disk is full"):
        sinks.write(results(1)[0])


def test_a_reader_of_stdout_that_went_away_ends_the_run() -> None:
    sinks, _ = several({"stdout": Kept(1, BrokenPipeError())})
    first, second = results(2)
    sinks.write(first)

    with pytest.raises(BrokenPipeError):
        sinks.write(second)


class Impatient(Kept):
    def close(self) -> None:
        super().close()
        raise KeyboardInterrupt


def test_every_sink_is_closed_whatever_happens_to_the_others() -> None:
    first, last = Kept(), Kept()
    sinks, told = several({"a": first, "--save": Unclosable(), "b": Impatient(), "c": last})

    with pytest.raises(KeyboardInterrupt):
        sinks.close()
    assert (first.closed, last.closed, sinks.failed) == (1, 1, ["--save"])
    assert told == ["--save: no frame was written"]


def test_a_sink_that_does_not_keep_up_is_told_when_it_begins_and_counted_in_the_end() -> None:
    slow = Kept()
    slow.go_on.clear()
    sinks, told = several({"--save": ThreadedSink(slow, most=2)})
    for one in results(10):
        sinks.write(one)
    slow.go_on.set()
    sinks.close()

    assert told[0] == "--save does not keep up with the source; it drops results"
    assert told[1] == f"--save: {10 - len(slow.got)} results dropped"
    assert len(told) == 2
