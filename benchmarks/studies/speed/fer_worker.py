"""Worker process of against_fer.py: detects the faces in one frame after the other with one of the libraries.

python -m studies.speed.fer_worker fer|fer-mtcnn|fer-edge|fer-edge-tracking frames.bin

Runs with the Python of either environment and imports only what a user of that library would. A line on stdin is the
index of a frame in frames.bin (640x480 uint8 BGR, concatenated); a JSON line on stdout is the result.
"""

import time

START = time.perf_counter()

import json  # noqa: E402  the clock starts before all imports
import os  # noqa: E402
import sys  # noqa: E402
import types  # noqa: E402
from collections.abc import Callable  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

Boxes = list[list[int]]
SHAPE = (480, 640, 3)


def use_fer(*, mtcnn: bool) -> Callable[[Any], Boxes]:
    """Load PyPI `fer` as in its README."""
    if mtcnn:
        patch_torchvision()
    detector = import_module("fer.fer").FER(mtcnn=mtcnn)
    return lambda frame_bgr: [[int(part) for part in face["box"]] for face in detector.detect_emotions(frame_bgr)]


def use_fer_edge() -> Callable[[Any], Boxes]:
    """Load fer-edge for single frames, with detection in each."""
    import cv2

    from fer_edge import Recognizer

    cv2.setNumThreads(1)  # as `fer-edge run` does
    recognizer = Recognizer()
    return lambda frame_bgr: [list(face.box) for face in recognizer.predict(frame_bgr)]


def use_fer_edge_tracking() -> Callable[[Any], Boxes]:
    """Load fer-edge for a video, with tracking as in `fer-edge run`; frames have to be in order."""
    import cv2

    from fer_edge import Recognizer
    from fer_edge.sources import Frame
    from fer_edge.tracking.pipeline import Pipeline

    cv2.setNumThreads(1)
    pipeline, numbers = Pipeline(Recognizer()), iter(range(sys.maxsize))

    def process(frame_bgr: Any) -> Boxes:
        number = next(numbers)
        frame = Frame("video", number, number / 25, frame_bgr, 0.0, time.perf_counter(), None, 25.0)
        return [list(face.box) for face in pipeline.step(frame).faces]

    return process


LIBRARIES: dict[str, Callable[[], Callable[[Any], Boxes]]] = {
    "fer": lambda: use_fer(mtcnn=False),
    "fer-mtcnn": lambda: use_fer(mtcnn=True),
    "fer-edge": use_fer_edge,
    "fer-edge-tracking": use_fer_edge_tracking,
}

nms_seconds = 0.0
"""Seconds spent so far in the replacement of torchvision's NMS; subtracted from all latencies."""


def patch_torchvision() -> None:
    """Replace torchvision's NMS, which its wheel lacks for a torch without CUDA, with numpy."""
    torch = import_module("torch")
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
        boxes = import_module("torchvision.ops.boxes")

        def timed_nms(corners: Any, scores: Any, max_iou: float) -> Any:
            global nms_seconds
            start = time.perf_counter()
            kept = torch.tensor(non_maximum_suppression(corners.numpy(), scores.numpy(), max_iou), dtype=torch.int64)
            nms_seconds += time.perf_counter() - start
            return kept

        boxes.nms = timed_nms  # type: ignore[attr-defined]


def non_maximum_suppression(corners: Any, scores: Any, max_iou: float) -> list[int]:
    """Return the rows, best score first, of which no two overlap by more than `max_iou`.

    Args:
        corners: (n, 4) x0, y0, x1, y1.
        scores: (n,).
        max_iou: Intersection over union.
    """
    kept, rest = [], np.argsort(-scores, kind="stable")
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    while len(rest):
        first, rest = rest[0], rest[1:]
        kept.append(int(first))
        sides = np.minimum(corners[first, 2:], corners[rest, 2:]) - np.maximum(corners[first, :2], corners[rest, :2])
        shared = np.clip(sides, 0, None).prod(axis=1)
        rest = rest[shared <= max_iou * (areas[first] + areas[rest] - shared)]
    return kept


def peak_mb() -> float:
    """Return the peak resident memory; getrusage would include that of the parent process."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Process frames until stdin ends."""
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of the libraries goes to stderr
    library, frames = sys.argv[1:]
    detect = LIBRARIES[library]()
    with Path(frames).open("rb") as file:
        for line in sys.stdin:
            size = int(np.prod(SHAPE))
            file.seek(int(line) * size)
            frame_bgr = np.frombuffer(bytearray(file.read(size)), np.uint8).reshape(SHAPE)
            start, cpu, nms_before = time.perf_counter(), time.process_time(), nms_seconds
            boxes = detect(frame_bgr)
            end, cpu_end = time.perf_counter(), time.process_time()
            excluded = nms_seconds - nms_before
            result = {
                "ms": 1000 * (end - start - excluded),
                "cpu_ms": 1000 * (cpu_end - cpu - excluded),
                "boxes": boxes,
                "peak_mb": peak_mb(),
                "since_start_s": end - START,
            }
            output.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
