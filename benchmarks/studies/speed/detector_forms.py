"""Which form of the bundled detector is fastest here, and do more threads help? Networks alone, in turns.

python -m studies.speed.detector_forms
gdb -batch -x benchmarks/studies/speed/avx2_only.py --args python -m studies.speed.detector_forms

The second as on a processor without VNNI.

Each network, with 1, 2 and 4 threads, is run in turns with all others on a VGA frame's input, 320x256 (the expression
model: on one face). With `--beside`, a second thread decodes and encodes a JPEG of a VGA frame 30 times a second
meanwhile, as a camera's capture and the live page do.
"""

import os
import signal
import statistics
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from fer_edge.console import print_json
from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.imaging.images import decode_picture
from fer_edge.model.package import read_packed
from fer_edge.model.trial import load_runtime
from fer_edge.recognition.classifier import BUNDLED
from fer_edge_bench.machine import describe

THREADS = (1, 2, 4)
WARM_UP = 20


def load(path: Path, threads: int) -> Any:
    """Make an interpreter without the trial in a process of its own, which gdb would have to follow."""
    _, runtime = load_runtime()
    network = runtime.Interpreter(model_content=read_packed(path).flatbuffer, num_threads=threads)
    network.allocate_tensors()
    tensor = network.get_input_details()[0]
    picture = np.random.default_rng(0).integers(0, 256, tensor["shape"])
    whole = tensor["dtype"] == np.uint8
    network.set_tensor(tensor["index"], np.asarray(picture if whole else picture / 255, tensor["dtype"]))
    return network


def capture_and_page(stop: threading.Event) -> None:
    """Decode and encode a JPEG 30 times a second."""
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    content = cv2.imencode(".jpg", frame)[1]
    while not stop.wait(1 / 30):
        cv2.imencode(".jpg", decode_picture(content.tobytes(), "frame"))


def main(
    num_runs: Annotated[int, typer.Option(min=1, help="Timed runs of each.")] = 200,
    beside: Annotated[bool, typer.Option("--beside", help="With capture and live page beside.")] = False,
) -> None:
    """Print milliseconds of every network as JSON: median and least."""
    cv2.setNumThreads(1)
    load_runtime()
    in_gdb = "gdb" in Path(f"/proc/{os.getppid()}/comm").read_text()
    if in_gdb:
        os.kill(os.getpid(), signal.SIGUSR1)
    paths = {**{f"detector {recipe}": path for recipe, path in BUNDLED_DETECTORS.items()}, "expressions int8": BUNDLED}
    networks = {
        f"{name}, {threads} threads": load(path, threads) for name, path in paths.items() for threads in THREADS
    }
    if in_gdb:
        os.kill(os.getpid(), signal.SIGUSR1)
    stop = threading.Event()
    if beside:
        threading.Thread(target=capture_and_page, args=(stop,), daemon=True).start()
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(num_runs + WARM_UP):
        for name, network in networks.items():
            begun = time.perf_counter()
            network.invoke()
            if turn >= WARM_UP:
                taken[name].append(1000 * (time.perf_counter() - begun))
    stop.set()
    rows = {name: {"median": round(statistics.median(ms), 3), "least": round(min(ms), 3)} for name, ms in taken.items()}
    print_json({"machine": describe(), "avx2_only": in_gdb, "beside": beside, "ms": rows})


if __name__ == "__main__":
    typer.run(main)
