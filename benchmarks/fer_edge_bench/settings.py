"""What decides a benchmark: defaults, limits and help of its settings and flags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fer_edge.options import Option
from fer_edge.settings import DetectorForm, DetectorPath, ModelPath, Threads


@dataclass(frozen=True)
class BenchmarkSettings:
    """Everything that decides a benchmark, but for the machine."""

    model: ModelPath = None
    float_model: Annotated[
        Path | None, Option(help="float32 model to time beside it; default: model_float32.tflite next to it.")
    ] = None
    source: Annotated[
        str | None, Option(short="-s", help="Picture, folder, video or camera number; default: drawn frames.")
    ] = None
    threads: Threads = 1
    warmup_runs: Annotated[int, Option(0, help="Frames that are not counted.")] = 10
    num_runs: Annotated[int, Option(1, help="Frames that are.")] = 200
    detector: DetectorForm = "auto"
    detector_model: DetectorPath = None
