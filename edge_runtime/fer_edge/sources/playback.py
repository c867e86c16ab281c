"""Loop a video, and play it at its frame rate."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from fer_edge.sources.frame import Frame


def looped(open_once: Callable[[], Iterator[Frame]], stride: int) -> Iterator[Frame]:
    """Open a video immediately and repeat it without end; indices and times continue across repetitions.

    Raises:
        FerEdgeError: Raised by opening it, now or again later.
    """
    return _repeat(open_once(), open_once, stride)


def _repeat(frames: Iterator[Frame], open_once: Callable[[], Iterator[Frame]], stride: int) -> Iterator[Frame]:
    base = 0
    while True:
        following = base
        for frame in frames:
            following = base + frame.index + stride
            yield replace(frame, index=base + frame.index, t=frame.t + base / (frame.fps or 1))
        if following == base:  # it gives no frames any more: do not spin
            return
        base, frames = following, open_once()


def paced(
    frames: Iterator[Frame],
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Frame]:
    """Delay every frame to its time in the video, which becomes its capture time.

    Late frames are not delayed until playback has caught up. Clock and sleep are in seconds.
    """
    start: float | None = None
    for frame in frames:
        if start is not None and (wait := start + frame.t - clock()) > 0:
            sleep(wait)
        yield replace(frame, captured=clock())
        if start is None:  # one-time work on the first frame, such as choosing a codec, makes no other frame late
            start = clock() - frame.t
