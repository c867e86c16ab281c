"""Is training limited by the input pipeline? Throughput of pipeline and training step, alone and together.

python -m studies.speed.pipeline --config train/configs/edge.yaml

The pipeline alone makes batches in one thread, as in training; the step alone trains on the same batch repeatedly;
together is `training.epochs.fit_epochs`, with weight averaging and progress bar, without validation, as reported in
history.csv. The three alternate, so that load on the machine affects all of them; each figure is the median over the
rounds except the first, which includes compilation.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import keras
import numpy as np
import typer
from rich.table import Table

from fer_edge.console import console, print_json
from fer_edge.data.faceset import FaceSet
from fer_edge.files import write_json
from fer_edge.labels import EXPRESSIONS
from fer_edge_bench.machine import describe
from fer_edge_train.config_file import read_config_file
from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import Batches, targets
from fer_edge_train.training.epochs import fit_epochs
from fer_edge_train.training.fit import build_network

MIN_RATIO = 0.85
"""Required throughput together, as a share of the slower of the two alone."""


@dataclass(frozen=True)
class Throughput:
    """Faces per second."""

    pipeline: float
    step: float
    together: float

    @property
    def ratio(self) -> float:
        """Throughput together over that of the slower of the two alone."""
        return self.together / min(self.pipeline, self.step)


def main(
    config: Annotated[Path | None, typer.Option(help="Settings as for fer-edge train; default: the defaults.")] = None,
    data: Annotated[Path | None, typer.Option(help="A prepared set (.npz); default: 2,560 drawn faces.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps per round.")] = 20,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of each measurement; the first is not counted.")] = 6,
    out: Annotated[Path | None, typer.Option(help="Write the JSON to this file, too.")] = None,
) -> None:
    """Print the throughput of pipeline, step and both as a table (stderr) and as JSON (stdout)."""
    cv2.setNumThreads(1)
    settings = read_config_file(config, TrainSettings()) if config else TrainSettings()
    settings = replace(settings, epochs=rounds, patience=0)
    faces, labels = _faces(data, steps * settings.batch, settings)
    batches = Batches(faces, labels, np.ones(len(faces), np.float32), settings)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(batches, settings, rounds, Path(folder))
    document = {
        **{name: round(value, 1) for name, value in asdict(figures).items()},
        "ratio": round(figures.ratio, 3),
        "enough": figures.ratio >= MIN_RATIO,
        "unit": "faces/s",
        "batch": batches.batch,
        "steps": len(batches),
        "rounds": rounds,
        "settings": asdict(settings),
        "backend": keras.backend.backend(),
        "machine": describe(),
    }
    _show(figures, settings)
    if out:
        write_json(out, document)
    print_json(document)


def _faces(data: Path | None, count: int, settings: TrainSettings) -> tuple[Any, Any]:
    """Return `count` training faces, (count, size, size) uint8 grey, and their targets; a smaller set is repeated."""
    if data:
        training = FaceSet.load(data).part("training")
        kept, labels = targets(training, settings.label_mode)
        rows = np.arange(count) % len(kept)
        return training.faces[kept[rows]], labels[rows]
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count, settings.imgsz, settings.imgsz), np.uint8)
    drawn = np.stack(
        [cv2.GaussianBlur(face, (0, 0), settings.imgsz / 24) for face in noise]
    )  # about as smooth as a face
    return drawn, np.eye(len(EXPRESSIONS), dtype=np.float32)[rng.integers(len(EXPRESSIONS), size=count)]


def measure(batches: Batches, settings: TrainSettings, rounds: int, folder: Path) -> Throughput:
    """Measure pipeline, step and both, alternating.

    Args:
        batches: Training batches.
        settings: Settings of `fer-edge train`; `epochs` is the number of rounds.
        rounds: Number of rounds; the first is not counted.
        folder: Folder for the files of a run.
    """
    network, alone = (build_network(settings, batches, EXPRESSIONS) for _ in range(2))
    constant = [keras.ops.convert_to_tensor(part) for part in batches[0]]
    faces = len(batches) * batches.batch

    def pipeline() -> float:
        return _rate(faces, lambda: [batches[index] for index in range(len(batches))])

    def step() -> float:
        return _rate(faces, lambda: [alone.train_on_batch(*constant) for _ in range(len(batches))])

    def together(number: int) -> float:
        so_far = replace(settings, epochs=number + 1, patience=0)
        return fit_epochs(folder, network, batches, so_far, score="accuracy")[-1]["faces_per_s"]

    taken = [(pipeline(), step(), together(number)) for number in range(rounds)]
    return Throughput(*(statistics.median(column) for column in zip(*taken[1:], strict=True)))


def _rate(faces: int, work: Callable[[], object]) -> float:
    """Return the faces per second of `work`, which processes `faces` of them."""
    start = time.perf_counter()
    work()
    return faces / (time.perf_counter() - start)


def _show(figures: Throughput, settings: TrainSettings) -> None:
    table = Table("", "faces/s", title=f"{settings.network}, {settings.imgsz} pixels, batches of {settings.batch}")
    table.add_row("pipeline alone", f"{figures.pipeline:,.0f}")
    table.add_row("step alone, constant batch", f"{figures.step:,.0f}")
    table.add_row("together", f"{figures.together:,.0f}")
    table.add_row("together / slower of the two", f"{figures.ratio:.2f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
