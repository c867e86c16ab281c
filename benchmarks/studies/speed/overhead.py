"""Latency of a frame without the face detector and the expression network, with one face.

python -m studies.speed.overhead

A drawn face moves in front of a live source, whose thread hands over the newest VGA frame (`sources.reader`): at 30
frames per second, as from a camera, and back to back. At 30 per second the processor sleeps between frames, and
everything after a sleep takes longer, networks included; back to back shows the cost of the code alone. Measured is the
time from capture of a frame until its JSON line is written (to /dev/null), minus detector and network: hand-over,
tracking, crop, smoothing, JSON. Every figure is the median over the frames with exactly one detected face.
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


def moving_face(pictures: list[Pixels], wait: Callable[[int], None]) -> Iterator[Frame]:
    """Yield the pictures back and forth endlessly, each when `wait` for its index returns."""
    for index, pixels in enumerate(cycle(chain(pictures, pictures[::-1]))):
        wait(index)
        captured = pixels.copy()  # a camera's frame has just been written to memory, too
        yield Frame("drawn", index, index / FPS, captured, 0.0, time.perf_counter(), None, FPS)


def measure(pictures: list[Pixels], every: int, frames: int, *, paced: bool) -> dict[str, Any]:
    """Process 30 warm-up frames and `frames` timed frames with a detection in every `every`-th one."""
    pipeline = Pipeline(Recognizer(), TrackingSettings(detect_every=every))
    taken: dict[str, list[float]] = defaultdict(list)
    requested, start = Semaphore(), time.perf_counter()

    def wait(index: int) -> None:
        if paced:
            time.sleep(max(0.0, start + index / FPS - time.perf_counter()))
        else:
            requested.acquire()

    source = Source("drawn", True, lambda: moving_face(pictures, wait))
    with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere), LiveReader(source, console.print) as reading:
        for frame in islice(reading, frames + 30):
            handed_over = time.perf_counter()
            result = pipeline.step(frame, reading.dropped)
            processed = time.perf_counter()
            print_json(as_json(result), indent=None)
            written = time.perf_counter()
            requested.release()
            if len(result.faces) != 1 or frame.index < 30:
                continue
            ms = {"hand-over": 1000 * (handed_over - frame.captured), **result.ms, "line": 1000 * (written - processed)}
            ms["total"] = 1000 * (written - frame.captured)
            ms["overhead"] = ms["total"] - ms["detect"] - ms["classify"]
            for stage, value in ms.items():
                taken[stage].append(value)
        dropped = reading.dropped
        requested.release()
    del taken["capture"]
    return {
        "frames": len(taken["total"]),
        "dropped": dropped,
        "ms": {stage: round(statistics.median(values), 3) for stage, values in taken.items()},
        "overhead_p95_ms": round(float(np.quantile(taken["overhead"], 0.95)), 3),
        "overhead_share": round(sum(taken["overhead"]) / sum(taken["total"]), 3),
    }


def main(
    frames: Annotated[int, typer.Option(min=1, help="Timed frames of each configuration.")] = 600,
    out: Annotated[Path | None, typer.Option(help="Write the JSON to this file, too.")] = None,
) -> None:
    """Print the overhead per frame with detection in every frame, and in every few, as JSON."""
    cv2.setNumThreads(1)
    pictures = [pixels for pixels, _ in islice(clip(180), 59)]  # a second person enters after these
    figures = {
        mode: {f"detect_every_{every}": measure(pictures, every, frames, paced=paced) for every in (1, DETECT_EVERY)}
        for mode, paced in (("30_a_second", True), ("one_after_another", False))
    }
    worst = {mode: max(figure["ms"]["overhead"] for figure in figures[mode].values()) for mode in figures}
    document = {"goal_ms": GOAL_MS, "worst_ms": worst, **figures, "machine": describe()}
    if out:
        write_json(out, document)
    print_json(document)


if __name__ == "__main__":
    typer.run(main)
