"""Loop the frames of a file, and play them at their frame rate."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from fer_edge.sources.frame import Frame


def looped(open_once: Callable[[], Iterator[Frame]], stride: int) -> Iterator[Frame]:
    """Open a video now and give it over and over; numbers and times go on, as if it were one long video.

    Raises:
        FerEdgeError: What opening raises, at once or at a later beginning.
    """
    return _rounds(open_once(), open_once, stride)


def _rounds(frames: Iterator[Frame], open_once: Callable[[], Iterator[Frame]], stride: int) -> Iterator[Frame]:
    base = 0
    while True:
        following = base
        for frame in frames:
            following = base + frame.index + stride
            yield replace(frame, index=base + frame.index, t=frame.t + base / (frame.fps or 1))
        if following == base:  # nothing any more; without this, a loop that never waits
            return
        base, frames = following, open_once()


def paced(
    frames: Iterator[Frame],
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Frame]:
    """Hold every frame back until its time has come; it counts as captured then.

    Frames that take longer to decode or draw than to record are late: then nothing is held back, until they have caught
    up. Clock and sleep are those of `time`, in seconds.
    """
    begun: float | None = None
    for frame in frames:
        begun = clock() - frame.t if begun is None else begun
        early = begun + frame.t - clock()
        if early > 0:
            sleep(early)
        yield replace(frame, captured=clock())
