"""One benchmark: model, detector and source put together, timed, and reported with the machine it ran on."""

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
from fer_edge_bench.figures import OTHERS, STAGES, Assertion, paired_ratio, spread
from fer_edge_bench.latency import Stages, Timings, measure
from fer_edge_bench.machine import describe, peak_memory_mb
from fer_edge_bench.settings import BenchmarkSettings

DRAWN_FRAMES = 8
"""Frames of 640x480 with one or two drawn faces, shown in turn; drawing one takes a quarter of a second."""

FLOAT_NAME = "model_float32.tflite"
"""What `fer-edge export` calls the float32 model that it writes beside the int8 one."""


def benchmark(settings: BenchmarkSettings, assertions: list[Assertion]) -> dict[str, Any]:
    """Time every stage on this machine and report it; `check` judges the report.

    Raises:
        FerEdgeError: Model, detector or source cannot be used.
        BenchmarkError: No face was found, so that nothing was classified.
    """
    cv2.setNumThreads(settings.threads)  # as `fer-edge run` does
    model = read_model(settings.model or BUNDLED)
    float_model = find_float(model, settings.float_model)
    with quiet():
        detector = make_detector(settings.detector, settings.detector_model, threads=settings.threads)
        recognizer = Recognizer(model, detector, settings.threads)
        float_classifier = Classifier(float_model, settings.threads) if float_model else None
    other = other_form(detector, settings.threads)
    stages = Stages[Detection](
        capture=drawn_frames() if settings.source is None else frames_of(settings.source),
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
            f"{detector.name} found no face in {settings.num_runs} frames, so nothing was classified; "
            "give pictures with faces: --source X, or --detector none for pictures that are faces"
        )
    report = {
        "model": _named(recognizer.classifier.model),
        "float_model": _named(float_model) if float_model else None,
        "source": settings.source or "drawn frames, 640x480",
        "detector": detector.name,
        "other_detector": other.name if other else None,
        "threads": settings.threads,
        "runtime": recognizer.classifier.network.runtime,
        "warmup_runs": settings.warmup_runs,
        "num_runs": settings.num_runs,
        **summarise(timings),
        "memory_mb": peak_memory_mb(),
        "invalid": before.reason(Throttle.read()),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe(),
    }
    report["assertions"] = [assertion.judge(report) for assertion in assertions]
    return report


def summarise(timings: Timings) -> dict[str, Any]:
    """Figures of each stage in milliseconds per frame, and how what was timed beside them compares."""
    stages = [*STAGES, *(other for other in OTHERS if other in timings.ms)]
    figures: dict[str, Any] = {
        "faces_per_frame": round(sum(timings.faces) / len(timings.faces), 2),
        "ms": {stage: spread(timings.ms.get(stage, [])) for stage in stages},
    }
    if "classify_float" in timings.ms:
        figures["float_over_int8"] = paired_ratio(timings.ms["classify_float"], timings.ms["classify"])
    if "detect_other" in timings.ms:
        figures["other_detector_over_own"] = paired_ratio(timings.ms["detect_other"], timings.ms["detect"])
    return figures


def other_form(detector: Detector, threads: int) -> Detector | None:
    """Make the bundled detector in the form that `detector` is not; None where it is no bundled one."""
    paths = list(BUNDLED_DETECTORS.values())
    if not isinstance(detector, YuNet) or detector.model.path not in paths:
        return None
    paths.remove(detector.model.path)
    return YuNet(paths[0], threads=threads)


def check(report: dict[str, Any]) -> None:
    """Refuse a report that cannot be trusted, or that does not fulfil its assertions.

    Raises:
        BenchmarkError: The machine slowed down during the run, or an assertion failed.
    """
    if report["invalid"]:
        raise BenchmarkError(f"the run is invalid: {report['invalid']}; let it cool, check its power supply, run again")
    failed = [f"{row['assertion']} (it is {row['value']})" for row in report["assertions"] if not row["passed"]]
    if failed:
        raise BenchmarkError(f"not fulfilled: {', '.join(failed)}")


def find_float(model: ModelFile, given: Path | None) -> ModelFile | None:
    """Find the float32 model to time beside `model`: `given`, or the one that its export wrote; None if there is none.

    Raises:
        ModelError: The two do not belong together.
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
            f"{found.path} has other classes or another input than {model.path}; give its own: --float-model FILE"
        )
    return found


def drawn_frames() -> Callable[[], tuple[Pixels, float | None]]:
    """Show `DRAWN_FRAMES` frames in turn; they are drawn beforehand, so that there is no capture to time."""
    frames = [frame_bgr for frame_bgr, _ in clip(DRAWN_FRAMES)]
    number = -1

    def capture() -> tuple[Pixels, None]:
        nonlocal number
        number += 1
        return frames[number % len(frames)], None

    return capture


def frames_of(source: str) -> Callable[[], tuple[Pixels, float | None]]:
    """Show the frames of a source, from its beginning again after the last; it is opened with the first frame."""
    frames = _endless(source)

    def capture() -> tuple[Pixels, float | None]:
        return next(frames)

    return capture


def _endless(source: str) -> Iterator[tuple[Pixels, float]]:
    while True:
        shown = False
        for frame in open_source(source):
            shown = True
            yield frame.bgr, frame.capture_ms
        if not shown:
            raise DataError(f"{source}: it has no frame; name another --source")


def _named(model: ModelFile) -> dict[str, Any]:
    return {
        "name": "bundled" if model.path == BUNDLED else model.path.name,
        "recipe": model.contract.recipe,
        "network": model.contract.network.get("name"),
        "size": model.contract.size,
        "colour": model.contract.colour,
        "bytes": len(model.flatbuffer),
        "sha256": sha256(model.flatbuffer),
    }
