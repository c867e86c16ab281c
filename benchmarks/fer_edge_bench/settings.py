"""Settings of `fer-edge benchmark`: defaults, limits and help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fer_edge.options import Option
from fer_edge.settings import DetectorForm, DetectorPath, ModelPath, Threads


@dataclass(frozen=True)
class BenchmarkSettings:
    """Settings of one benchmark."""

    model: ModelPath = None
    float_model: Annotated[
        Path | None, Option(help="float32 model to compare with; default: model_float32.tflite next to the model.")
    ] = None
    source: Annotated[
        str | None, Option(short="-s", help="Image, folder, video or camera number; default: drawn frames.")
    ] = None
    threads: Threads = 1
    warmup_runs: Annotated[int, Option(0, help="Number of untimed warm-up frames.")] = 10
    num_runs: Annotated[int, Option(1, help="Number of timed frames.")] = 200
    detector: DetectorForm = "auto"
    detector_model: DetectorPath = None
