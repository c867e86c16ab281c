"""Set up model, detector and source, time them, and report the latencies with the machine they were measured on."""

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2

from fer_edge.console import progress
from fer_edge.detection.detector import BUNDLED_DETECTORS, Detection, Detector, YuNet, make_detector
from fer_edge.device.machine import Throttle
from fer_edge.errors import BenchmarkError, DataError, ModelError
from fer_edge.files import sha256
from fer_edge.imaging.images import Pixels
from fer_edge.model.contract import ModelFile, read_model
from fer_edge.native_logs import quiet
from fer_edge.recognition.classifier import BUNDLED, Classifier
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.sources import open_source
from fer_edge.synthetic.render import clip
from fer_edge_bench.figures import EXTRA_STAGES, STAGES, Assertion, paired_ratio, spread
from fer_edge_bench.latency import Stages, Timings, measure
from fer_edge_bench.machine import describe, peak_memory_mb
from fer_edge_bench.settings import BenchmarkSettings

DRAWN_FRAMES = 8
"""Frames of 640x480 with one or two drawn faces, used in a loop; drawing one takes a quarter of a second."""

FLOAT_NAME = "model_float32.tflite"
"""File name of the float32 model that `fer-edge export` writes next to the int8 one."""


def benchmark(settings: BenchmarkSettings, assertions: list[Assertion]) -> dict[str, Any]:
    """Time every stage on this machine and return the report; `check` validates it.

    Raises:
        FerEdgeError: Model, detector or source cannot be used.
    BenchmarkError: No face was detected, so nothing was classified.
    """
    cv2.setNumThreads(settings.threads)  # as `fer-edge run` does
    model = read_model(settings.model or BUNDLED)
    float_model = find_float_model(model, settings.float_model)
    with quiet():
        detector = make_detector(settings.detector, settings.detector_model, threads=settings.threads)
        recognizer = Recognizer(model, detector, settings.threads)
        float_classifier = Classifier(float_model, settings.threads) if float_model else None
    other = other_bundled_detector(detector, settings.threads)
    stages = Stages[Detection](
        capture=drawn_frames() if settings.source is None else source_frames(settings.source),
        detect=detector.detect,
        crop=recognizer.crop,
        classify=recognizer.classifier.probabilities,
        classify_float=float_classifier.probabilities if float_classifier else None,
        detect_other=other.detect if other else None,
    )
    before = Throttle.read()
    with progress() as bar:
        task = bar.add_task("benchmark", total=settings.warmup_runs + settings.num_runs)
        timings = measure(stages, settings.warmup_runs, settings.num_runs, advance=lambda: bar.advance(task))
    if not any(timings.faces):
        raise BenchmarkError(
            f"{detector.name} detected no face in {settings.num_runs} frames, so nothing was classified; "
            "use images with faces: --source X, or --detector none for images that are face crops"
        )
    report = {
        "model": _model_facts(recognizer.classifier.model),
        "float_model": _model_facts(float_model) if float_model else None,
        "source": settings.source or "drawn frames, 640x480",
        "detector": detector.name,
        "other_detector": other.name if other else None,
        "threads": settings.threads,
        "runtime": recognizer.classifier.network.runtime,
        "warmup_runs": settings.warmup_runs,
        "num_runs": settings.num_runs,
        **summarize(timings),
        "memory_mb": peak_memory_mb(),
        "invalid": before.reason(Throttle.read()),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe(),
    }
    report["assertions"] = [assertion.evaluate(report) for assertion in assertions]
    return report


def summarize(timings: Timings) -> dict[str, Any]:
    """Statistics of each stage in milliseconds per frame, and ratios to the float32 model and the other detector."""
    stages = [*STAGES, *(stage for stage in EXTRA_STAGES if stage in timings.ms)]
    figures: dict[str, Any] = {
        "faces_per_frame": round(sum(timings.faces) / len(timings.faces), 2),
        "ms": {stage: spread(timings.ms.get(stage, [])) for stage in stages},
    }
    if "classify_float" in timings.ms:
        figures["float_over_int8"] = paired_ratio(timings.ms["classify_float"], timings.ms["classify"])
    if "detect_other" in timings.ms:
        figures["other_detector_over_own"] = paired_ratio(timings.ms["detect_other"], timings.ms["detect"])
    return figures


def other_bundled_detector(detector: Detector, threads: int) -> Detector | None:
    """Load the other bundled detector, float16 for int8 and vice versa; None if `detector` is not a bundled one."""
    paths = list(BUNDLED_DETECTORS.values())
    if not isinstance(detector, YuNet) or detector.model.path not in paths:
        return None
    paths.remove(detector.model.path)
    return YuNet(paths[0], threads=threads)


def check(report: dict[str, Any]) -> None:
    """Raise an error if the run is invalid or an assertion failed.

    Raises:
    BenchmarkError: The processor was throttled during the run, or an assertion failed.
    """
    if report["invalid"]:
        raise BenchmarkError(
            f"the run is invalid: {report['invalid']}; let the machine cool down, check its power supply, run again"
        )
    failed = [f"{row['assertion']} (measured: {row['value']})" for row in report["assertions"] if not row["passed"]]
    if failed:
        raise BenchmarkError(f"assertion failed: {', '.join(failed)}")


def find_float_model(model: ModelFile, given: Path | None) -> ModelFile | None:
    """Find the float32 model to compare `model` with: `given`, or the one from the same export; None if there is none.

    Raises:
    ModelError: `given` is not float32, or its classes or input differ.
    """
    sibling = model.path.with_name(FLOAT_NAME)
    if given is None and (model.contract.recipe == "float32" or not sibling.is_file()):
        return None
    found = read_model(given or sibling)
    if found.contract.recipe != "float32":
        raise ModelError(
            f"{found.path} is {found.contract.recipe}; --float-model takes a float32 model of fer-edge export"
        )
    if (found.contract.labels, found.contract.face_shape) != (model.contract.labels, model.contract.face_shape):
        raise ModelError(
            f"the classes or the input of {found.path} differ from those of {model.path}; use --float-model FILE"
        )
    return found


def drawn_frames() -> Callable[[], tuple[Pixels, float | None]]:
    """Return `DRAWN_FRAMES` frames in a loop; they are drawn in advance, so capture takes no time."""
    frames = [frame_bgr for frame_bgr, _ in clip(DRAWN_FRAMES)]
    number = -1

    def capture() -> tuple[Pixels, None]:
        nonlocal number
        number += 1
        return frames[number % len(frames)], None

    return capture


def source_frames(source: str) -> Callable[[], tuple[Pixels, float | None]]:
    """Return the frames of a source in a loop; it is opened when the first frame is read."""
    frames = _loop_source(source)

    def capture() -> tuple[Pixels, float | None]:
        return next(frames)

    return capture


def _loop_source(source: str) -> Iterator[tuple[Pixels, float]]:
    while True:
        empty = True
        for frame in open_source(source):
            empty = False
            yield frame.bgr, frame.capture_ms
        if empty:
            raise DataError(f"{source}: contains no frames; choose another --source")


def _model_facts(model: ModelFile) -> dict[str, Any]:
    return {
        "name": "bundled" if model.path == BUNDLED else model.path.name,
        "recipe": model.contract.recipe,
        "network": model.contract.network.get("name"),
        "size": model.contract.size,
        "colour": model.contract.colour,
        "bytes": len(model.flatbuffer),
        "sha256": sha256(model.flatbuffer),
    }
