"""Latency of the bundled networks with 1, 2 and 4 threads, networks only.

python -m studies.speed.detector_forms
gdb -batch -x benchmarks/studies/speed/avx2_only.py --args python -m studies.speed.detector_forms

The second command measures as on a processor without VNNI.

All networks run alternately on the input of a VGA frame, 320x256 (the expression model: on one face). With `--beside`,
another thread decodes and encodes a JPEG of a VGA frame 30 times a second, as camera capture and live page do.
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
    """Create an interpreter without the trial in a forked process, which gdb would have to follow."""
    _, runtime = load_runtime()
    network = runtime.Interpreter(model_content=read_packed(path).flatbuffer, num_threads=threads)
    network.allocate_tensors()
    tensor = network.get_input_details()[0]
    picture = np.random.default_rng(0).integers(0, 256, tensor["shape"])
    is_uint8 = tensor["dtype"] == np.uint8
    network.set_tensor(tensor["index"], np.asarray(picture if is_uint8 else picture / 255, tensor["dtype"]))
    return network


def capture_and_encode(stop: threading.Event) -> None:
    """Decode and encode a JPEG 30 times a second until `stop`."""
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    content = cv2.imencode(".jpg", frame)[1]
    while not stop.wait(1 / 30):
        cv2.imencode(".jpg", decode_picture(content.tobytes(), "frame"))


def main(
    num_runs: Annotated[int, typer.Option(min=1, help="Timed runs of each network.")] = 200,
    beside: Annotated[bool, typer.Option("--beside", help="Decode and encode JPEGs in another thread.")] = False,
) -> None:
    """Print median and minimum latency of every network as JSON."""
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
        threading.Thread(target=capture_and_encode, args=(stop,), daemon=True).start()
    latency_ms: dict[str, list[float]] = {name: [] for name in networks}
    for run in range(num_runs + WARM_UP):
        for name, network in networks.items():
            start = time.perf_counter()
            network.invoke()
            if run >= WARM_UP:
                latency_ms[name].append(1000 * (time.perf_counter() - start))
    stop.set()
    rows = {
        name: {"median": round(statistics.median(ms), 3), "least": round(min(ms), 3)} for name, ms in latency_ms.items()
    }
    print_json({"machine": describe(), "avx2_only": in_gdb, "beside": beside, "ms": rows})


if __name__ == "__main__":
    typer.run(main)
