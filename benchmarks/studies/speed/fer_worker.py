"""The other end of the pipe for against_fer.py: finds the faces of one frame after the other, with either library.

python -m studies.speed.fer_worker fer|fer-mtcnn|fer-edge|fer-edge-follow frames.bin

Runs under the Python of either environment and imports only what a user of that library would. A line on stdin is the
number of a frame in frames.bin (640x480 uint8 BGR, one behind the other); a JSON line on stdout is the answer.
"""

import time

BEGUN = time.perf_counter()

import json  # noqa: E402  the clock runs before anything is imported
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
    """Load PyPI `fer` as its README does."""
    if mtcnn:
        mend_torchvision()
    detector = import_module("fer.fer").FER(mtcnn=mtcnn)
    return lambda frame_bgr: [[int(part) for part in face["box"]] for face in detector.detect_emotions(frame_bgr)]


def use_fer_edge() -> Callable[[Any], Boxes]:
    """Load fer-edge for single frames: a detection in each."""
    import cv2

    from fer_edge import Recognizer

    cv2.setNumThreads(1)  # as `fer-edge run` does
    recognizer = Recognizer()
    return lambda frame_bgr: [list(face.box) for face in recognizer.predict(frame_bgr)]


def use_fer_edge_follow() -> Callable[[Any], Boxes]:
    """Load fer-edge for a film, as `fer-edge run` watches it; frames have to come in order."""
    import cv2

    from fer_edge import Recognizer
    from fer_edge.sources import Frame
    from fer_edge.tracking.pipeline import Pipeline

    cv2.setNumThreads(1)
    watcher, numbers = Pipeline(Recognizer()), iter(range(sys.maxsize))

    def watch(frame_bgr: Any) -> Boxes:
        number = next(numbers)
        frame = Frame("film", number, number / 25, frame_bgr, 0.0, time.perf_counter(), None, 25.0)
        return [list(face.box) for face in watcher.step(frame).faces]

    return watch


LIBRARIES: dict[str, Callable[[], Callable[[Any], Boxes]]] = {
    "fer": lambda: use_fer(mtcnn=False),
    "fer-mtcnn": lambda: use_fer(mtcnn=True),
    "fer-edge": use_fer_edge,
    "fer-edge-follow": use_fer_edge_follow,
}

standing_in = 0.0
"""Seconds so far in what stands in for torchvision; they do not count."""


def mend_torchvision() -> None:
    """Put numpy in the place of the one function that torchvision's wheel lacks beside a torch without CUDA."""
    torch = import_module("torch")
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
        boxes = import_module("torchvision.ops.boxes")

        def timed(corners: Any, scores: Any, most: float) -> Any:
            global standing_in
            begun = time.perf_counter()
            kept = torch.tensor(best(corners.numpy(), scores.numpy(), most), dtype=torch.int64)
            standing_in += time.perf_counter() - begun
            return kept

        boxes.nms = timed  # type: ignore[attr-defined]


def best(corners: Any, scores: Any, most: float) -> list[int]:
    """Non-maximum suppression: rows, best first, of which no two overlap by more than `most`.

    Args:
        corners: (n, 4) x0, y0, x1, y1.
        scores: (n,).
        most: Intersection over union.
    """
    kept, left = [], np.argsort(-scores, kind="stable")
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        sides = np.minimum(corners[first, 2:], corners[left, 2:]) - np.maximum(corners[first, :2], corners[left, :2])
        shared = np.clip(sides, 0, None).prod(axis=1)
        left = left[shared <= most * (areas[first] + areas[left] - shared)]
    return kept


def peak_mb() -> float:
    """Largest resident memory; not getrusage's, which would begin with that of the process that started this one."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    library, frames = sys.argv[1:]
    find = LIBRARIES[library]()
    with Path(frames).open("rb") as file:
        for line in sys.stdin:
            size = int(np.prod(SHAPE))
            file.seek(int(line) * size)
            frame_bgr = np.frombuffer(bytearray(file.read(size)), np.uint8).reshape(SHAPE)
            begun, cpu, stood_in = time.perf_counter(), time.process_time(), standing_in
            boxes = find(frame_bgr)
            ended, cpu_ended = time.perf_counter(), time.process_time()
            not_counted = standing_in - stood_in
            answer = {
                "ms": 1000 * (ended - begun - not_counted),
                "cpu_ms": 1000 * (cpu_ended - cpu - not_counted),
                "boxes": boxes,
                "peak_mb": peak_mb(),
                "since_start_s": ended - BEGUN,
            }
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
