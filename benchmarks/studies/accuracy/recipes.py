"""Size, accuracy and latency of every recipe of `fer-edge export`, compared in one run.

python -m studies.accuracy.recipes runs/train/edge runs/train/legend-cnn runs/train/expw-cnn --out runs/recipes

Each run is exported with all five recipes, as `fer-edge export` does, and evaluated on the same held-out faces. Then
the five models of a run classify face after face on one thread, in rounds that start with another model each time, so
that load on the machine affects all equally; latencies are reported as ratios to float32's in the same round. int16x8
runs on LiteRT's reference kernels, tens of times slower, and only in every `SLOW_EVERY`th round.

Writes DIR/RUN/RECIPE, DIR/recipes.md and DIR/recipes.json (kept as benchmarks/results/recipes-*.json), and exits with 5
if throttling or other processes slowed the machine down.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fer_edge.console import console, print_json, progress
from fer_edge.data.faceset import FaceSet
from fer_edge.device.machine import Throttle
from fer_edge.errors import BenchmarkError, FerEdgeError, UsageError
from fer_edge.files import read_json, write_json, write_text
from fer_edge.imaging.images import Pixels
from fer_edge.model.contract import read_model
from fer_edge.recognition.classifier import Classifier
from fer_edge_bench.figures import paired_ratio, spread
from fer_edge_bench.machine import describe
from fer_edge_export.export import export
from fer_edge_export.recipes import RECIPES
from fer_edge_export.results import as_json
from fer_edge_export.settings import ExportSettings

WARM_UP = 10
"""Rounds that are not timed: first calls allocate memory and fill caches."""
FACES = 64
"""Number of held-out faces, used in a loop."""
SLOW, SLOW_EVERY = "int16x8", 20
MAX_OTHER_LOAD = 0.1
"""Cores that other processes may have used on average; an idle machine has 0.01 to 0.03."""

Milliseconds = dict[str, dict[int, float]]
"""Latency by recipe and round."""


@dataclass(frozen=True)
class CpuTime:
    """CPU time used so far by all processes and by this one, in seconds."""

    now: float
    all_processes: float | None
    """None if the system does not report it."""
    own: float

    @staticmethod
    def read(stat: Path = Path("/proc/stat")) -> "CpuTime":
        """Read user, nice, system, irq, softirq and steal time of all cores (`man 5 proc`)."""
        total = None
        if stat.is_file():
            columns = stat.read_text().split("\n", 1)[0].split()[1:9]
            total = sum(int(columns[index]) for index in (0, 1, 2, 5, 6, 7)) / os.sysconf("SC_CLK_TCK")
        return CpuTime(time.perf_counter(), total, time.process_time())

    def reason(self, later: "CpuTime") -> str | None:
        """Return how many cores other processes used between this moment and `later`; None if few."""
        if self.all_processes is None or later.all_processes is None:
            return None
        others = (later.all_processes - self.all_processes) - (later.own - self.own)
        share = others / (later.now - self.now)
        return f"other processes used {share:.2f} cores" if share > MAX_OTHER_LOAD else None


def main(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of fer-edge train.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the exports and the table.")],
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of each run's models.")] = 400,
    times_only: Annotated[bool, typer.Option("--times-only", help="Time the existing exports in DIR.")] = False,
) -> None:
    """Export and time all recipes; print a table and JSON, and write both to DIR."""
    try:
        document = measure(runs, out, rounds, times_only)
        show(document)
        write_text(out / "recipes.md", as_markdown(document))
        write_json(out / "recipes.json", document)
        print_json(document)
        if document["invalid"]:
            raise BenchmarkError(f"the times are invalid: {document['invalid']}; run it again on an idle machine")
    except FerEdgeError as error:
        console.print(f"error: {error}")
        raise typer.Exit(error.exit_code) from error


def measure(runs: Sequence[Path], out: Path, rounds: int, times_only: bool = False) -> dict[str, Any]:
    """Export every run with every recipe, unless `times_only`, then time the models, run after run.

    Raises:
        FerEdgeError: A run cannot be exported.
    """
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UsageError(f"runs with the same name: {', '.join(names)}; their exports would overwrite each other")
    networks = {name: export_all(run, out / name, times_only) for name, run in zip(names, runs, strict=True)}
    throttle, load = Throttle.read(), CpuTime.read()
    for run, (name, rows) in zip(runs, networks.items(), strict=True):
        models = {recipe: out / name / recipe / f"model_{recipe}.tflite" for recipe in rows}
        faces = FaceSet.load(run / "heldout.npz").faces[:FACES]
        add_latencies(rows, measure_latencies(models, faces, rounds, name))
    return {
        "networks": networks,
        "threads": 1,
        "rounds": rounds,
        "slow": {"recipe": SLOW, "every": SLOW_EVERY},
        "invalid": throttle.reason(Throttle.read()) or load.reason(CpuTime.read()),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe(),
    }


def export_all(run: Path, folder: Path, exported: bool) -> dict[str, dict[str, Any]]:
    """Export one run with every recipe, or read the reports if it was already `exported`; return a summary per recipe.

    Raises:
        FerEdgeError: The run cannot be exported, or a report is missing.
    """
    rows: dict[str, dict[str, Any]] = {}
    for recipe in RECIPES.values():
        if exported:
            path = folder / recipe.name / "export_report.json"
            report = read_json(path, f"{path}: no such file; run it without --times-only")
        else:
            console.print(f"{run.name}: {recipe.name}")
            report = as_json(export(run, ExportSettings(recipe=recipe.name), folder / recipe.name)[1], recipe.name)
        comparison = report["comparison"]
        rows[recipe.name] = {
            "bytes": report["files"][recipe.name]["bytes"],
            "n": comparison["n"],
            "accuracy": comparison[recipe.name]["accuracy"],
            "balanced_accuracy": comparison[recipe.name]["balanced_accuracy"],
            **{name: comparison[name] for name in ("drop", "drop_interval", "agreement", "mcnemar_p")},
            "passed": report["gate"]["passed"],
            "heldout": report["heldout"],
        }
    return rows


def measure_latencies(models: dict[str, Path], faces: Pixels, rounds: int, name: str) -> Milliseconds:
    """Classify one face per round with each model on one thread, starting with another model each time.

    Args:
        models: Model files by recipe.
        faces: (n, size, size) uint8, used in a loop.
        rounds: Number of timed rounds.
        name: Network name for the progress bar.
    """
    classifiers = {recipe: Classifier(read_model(path), threads=1) for recipe, path in models.items()}
    taken: Milliseconds = {recipe: {} for recipe in classifiers}
    order = list(classifiers)
    with progress() as bar:
        for number in bar.track(range(-WARM_UP, rounds), description=f"timing {name}"):
            face = faces[number % len(faces)][None]
            first = number % len(order)
            for recipe in order[first:] + order[:first]:
                if recipe == SLOW and number % SLOW_EVERY:
                    continue
                start = time.perf_counter()
                classifiers[recipe].probabilities(face)
                if number >= 0:
                    taken[recipe][number] = 1000 * (time.perf_counter() - start)
    return taken


def add_latencies(rows: dict[str, dict[str, Any]], taken: Milliseconds) -> None:
    """Add each recipe's milliseconds per face to its row, and the ratio to float32's in the same rounds."""
    reference = taken["float32"]
    for recipe, row in rows.items():
        own = taken[recipe]
        row["ms"] = spread(list(own.values()))
        row["over_float32"] = paired_ratio(list(own.values()), [reference[number] for number in own])


HEADERS = ("recipe", "KB", "accuracy", "drop (95 %), points", "same", "ms", "of float32 (80 %)")


def cells(rows: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the table rows of one network."""
    lines = []
    for recipe, row in rows.items():
        low, high = row["drop_interval"]
        failed = "" if row["passed"] else " FAILED"
        ratio = "{p50:.2f} ({p10:.2f} to {p90:.2f})".format(**row["over_float32"])
        against = [f"{100 * row['drop']:.2f} ({100 * low:.2f} to {100 * high:.2f}){failed}", f"{row['agreement']:.1%}"]
        lines.append(
            [
                recipe,
                f"{row['bytes'] / 1000:,.0f}",
                f"{row['accuracy']:.2%}",
                *(["-", "-"] if recipe == "float32" else against),
                f"{row['ms']['p50']:.3g}",
                "1" if recipe == "float32" else ratio,
            ]
        )
    return lines


def title(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Return the network and the faces it was evaluated on."""
    row = rows["float32"]
    return f"{name}, {row['n']:,} {row['heldout']['split']} faces, protocol: {row['heldout']['protocol']}"


def caption(document: dict[str, Any]) -> str:
    """Return how the latencies were measured."""
    machine = document["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"same: same class as float32. ms: median per face, one thread. of float32: median and middle 80 % of "
        f"{document['rounds']} rounds (interleaved; {SLOW}: 1 in {SLOW_EVERY}). {machine['board'] or machine['cpu']}, "
        f"{machine['cores']} cores, governor {machine['governor'] or 'unknown'}, Python {machine['python']}, {packages}"
        + (f". INVALID: {document['invalid']}" if document["invalid"] else "")
    )


def show(document: dict[str, Any]) -> None:
    """Print the tables to the terminal."""
    for name, rows in document["networks"].items():
        table = Table(title=title(name, rows), title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for header in HEADERS:
            table.add_column(header, justify="left" if header == "recipe" else "right")
        for row in cells(rows):
            table.add_row(*row)
        console.print(table)
    console.print(caption(document))


def as_markdown(document: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    parts = []
    for name, rows in document["networks"].items():
        lines = [[title(name, rows), *HEADERS[1:]], ["---", *["---:"] * (len(HEADERS) - 1)], *cells(rows)]
        parts.append("".join(f"| {' | '.join(row)} |\n" for row in lines))
    return "\n".join([*parts, f"{caption(document)}.\n"])


if __name__ == "__main__":
    typer.run(main)
