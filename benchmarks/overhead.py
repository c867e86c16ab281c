"""What does a frame cost besides the face detector and the expression network? Milliseconds, with one face.

python benchmarks/overhead.py

A drawn person sways before a live source: a thread of its own hands over the newest of 30 VGA frames a second
(`fer_edge.live`). Counted is the time from when a frame is there until its JSON line is written (to /dev/null),
without what the detector and the network took: hand-over, following, crop, smoothing, line. Every figure is a median
over the frames that found exactly one face.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import chain, cycle, islice
from os import devnull
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from fer_edge.console import console, print_json
from fer_edge.files import write_json
from fer_edge.images import Pixels
from fer_edge.live import Live
from fer_edge.recognizer import Recognizer
from fer_edge.render import clip
from fer_edge.sinks.lines import as_json
from fer_edge.sources import Frame, Source
from fer_edge.watch import DETECT_EVERY, FollowSettings, Watcher
from fer_edge_bench.machine import describe

FPS = 30.0
GOAL_MS = 0.5


def swaying(pictures: list[Pixels]) -> Iterator[Frame]:
    """Give the pictures forth and back without end, 30 a second."""
    begun = time.perf_counter()
    for index, pixels in enumerate(cycle(chain(pictures, pictures[::-1]))):
        time.sleep(max(0.0, begun + index / FPS - time.perf_counter()))
        now = time.perf_counter()
        yield Frame("drawn", index, index / FPS, pixels, 0.0, now, None, FPS)


def measured(pictures: list[Pixels], every: int, frames: int) -> dict[str, Any]:
    """Watch `frames` frames, and some before that do not count, with a detection every so many frames."""
    watcher = Watcher(Recognizer(), FollowSettings(detect_every=every))
    taken: dict[str, list[float]] = defaultdict(list)
    source = Source("drawn", True, lambda: swaying(pictures))
    with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere), Live(source, console.print) as reading:
        for frame in islice(reading, frames + 30):
            handed_over = time.perf_counter()
            result = watcher.step(frame, reading.dropped)
            watched = time.perf_counter()
            print_json(as_json(result), indent=None)
            written = time.perf_counter()
            if len(result.faces) != 1 or frame.index < 30:
                continue
            ms = {"hand-over": 1000 * (handed_over - frame.captured), **result.ms, "line": 1000 * (written - watched)}
            ms["total"] = 1000 * (written - frame.captured)
            ms["overhead"] = ms["total"] - ms["detect"] - ms["classify"]
            for stage, value in ms.items():
                taken[stage].append(value)
    del taken["capture"]
    return {
        "frames": len(taken["total"]),
        "dropped": reading.dropped,
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
    figures = {f"detect_every_{every}": measured(pictures, every, frames) for every in (1, DETECT_EVERY)}
    worst = max(figure["ms"]["overhead"] for figure in figures.values())
    document = {"goal_ms": GOAL_MS, "met": worst < GOAL_MS, **figures, "machine": describe()}
    if out:
        write_json(out, document)
    print_json(document)


if __name__ == "__main__":
    typer.run(main)
