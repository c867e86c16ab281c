"""What does a frame cost besides the face detector and the expression network? Milliseconds, with one face.

python -m studies.speed.overhead

A drawn person sways before a live source, whose thread hands over the newest VGA frame (`sources.reader`): 30 a second,
as a camera does, and one as soon as the one before is done. Between 30 a second the processor sleeps, and after each
sleep everything, the networks too, takes longer: that is the machine's price, the other pace shows what the code costs.
Counted is the time from when a frame is there until its JSON line is written (to /dev/null), without what the detector
and the network took: hand-over, following, crop, smoothing, line. Every figure is a median over the frames that found
exactly one face.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from itertools import chain, cycle, islice
from os import devnull
from pathlib import Path
from threading import Semaphore
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from fer_edge.console import console, print_json
from fer_edge.files import write_json
from fer_edge.imaging.images import Pixels
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.settings import TrackingSettings
from fer_edge.sinks.stdout import as_json
from fer_edge.sources import Frame, Source
from fer_edge.sources.reader import LiveReader
from fer_edge.synthetic.render import clip
from fer_edge.tracking.budget import DETECT_EVERY
from fer_edge.tracking.pipeline import Pipeline
from fer_edge_bench.machine import describe

FPS = 30.0
GOAL_MS = 0.5


def swaying(pictures: list[Pixels], wait: Callable[[int], None]) -> Iterator[Frame]:
    """Give the pictures forth and back without end, each when `wait` for its number is over."""
    for index, pixels in enumerate(cycle(chain(pictures, pictures[::-1]))):
        wait(index)
        just_taken = pixels.copy()  # a camera's frame was written a moment ago, too
        yield Frame("drawn", index, index / FPS, just_taken, 0.0, time.perf_counter(), None, FPS)


def measured(pictures: list[Pixels], every: int, frames: int, *, paced: bool) -> dict[str, Any]:
    """Watch `frames` frames, and some before that do not count, with a detection every so many frames."""
    watcher = Pipeline(Recognizer(), TrackingSettings(detect_every=every))
    taken: dict[str, list[float]] = defaultdict(list)
    asked, begun = Semaphore(), time.perf_counter()

    def wait(index: int) -> None:
        if paced:
            time.sleep(max(0.0, begun + index / FPS - time.perf_counter()))
        else:
            asked.acquire()

    source = Source("drawn", True, lambda: swaying(pictures, wait))
    with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere), LiveReader(source, console.print) as reading:
        for frame in islice(reading, frames + 30):
            handed_over = time.perf_counter()
            result = watcher.step(frame, reading.dropped)
            watched = time.perf_counter()
            print_json(as_json(result), indent=None)
            written = time.perf_counter()
            asked.release()
            if len(result.faces) != 1 or frame.index < 30:
                continue
            ms = {"hand-over": 1000 * (handed_over - frame.captured), **result.ms, "line": 1000 * (written - watched)}
            ms["total"] = 1000 * (written - frame.captured)
            ms["overhead"] = ms["total"] - ms["detect"] - ms["classify"]
            for stage, value in ms.items():
                taken[stage].append(value)
        dropped = reading.dropped
        asked.release()
    del taken["capture"]
    return {
        "frames": len(taken["total"]),
        "dropped": dropped,
        "ms": {stage: round(statistics.median(values), 3) for stage, values in taken.items()},
        "overhead_p95_ms": round(float(np.quantile(taken["overhead"], 0.95)), 3),
        "overhead_share": round(sum(taken["overhead"]) / sum(taken["total"]), 3),
    }


def main(
    frames: Annotated[int, typer.Option(min=1, help="How many count, for each way to detect.")] = 600,
    out: Annotated[Path | None, typer.Option(help="Write the JSON there as well.")] = None,
) -> None:
    """Print what a frame costs with a detection in every frame, and every few, as JSON."""
    cv2.setNumThreads(1)
    pictures = [pixels for pixels, _ in islice(clip(180), 59)]  # the second person comes behind these
    figures = {
        pace: {f"detect_every_{every}": measured(pictures, every, frames, paced=paced) for every in (1, DETECT_EVERY)}
        for pace, paced in (("30_a_second", True), ("one_after_another", False))
    }
    worst = {pace: max(figure["ms"]["overhead"] for figure in figures[pace].values()) for pace in figures}
    document = {"goal_ms": GOAL_MS, "worst_ms": worst, **figures, "machine": describe()}
    if out:
        write_json(out, document)
    print_json(document)


if __name__ == "__main__":
    typer.run(main)
