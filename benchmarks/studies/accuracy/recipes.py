"""What each recipe of `fer-edge export` costs and gains: size, accuracy and time, side by side in one run.

python -m studies.accuracy.recipes runs/train/edge runs/train/legend-cnn runs/train/expw-cnn --out runs/recipes

Each run is exported by all five recipes as `fer-edge export` does it, all judged on the same held-out faces. Then the
five models of a run classify face after face on one thread, in turns that begin with another model each round, so that
whatever else the machine does meets all alike; a time is told by its ratio to float32's in the same round. int16x8 runs
on LiteRT's reference kernels, tens of times slower, and joins in every `SLOW_EVERY`th round only.

Writes DIR/RUN/RECIPE, DIR/recipes.md and DIR/recipes.json (kept as benchmarks/results/recipes-*.json), and exits with 5
where heat or other programs slowed the machine down during the rounds.
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
"""Rounds that are not counted: first calls allocate memory and fill caches."""
FACES = 64
"""Held-out faces that are shown in turn."""
SLOW, SLOW_EVERY = "int16x8", 20
MOST_OTHERS = 0.1
"""Processors that other programs may have kept busy; a machine at rest shows 0.01 to 0.03."""

Milliseconds = dict[str, dict[int, float]]
"""By recipe, then by round."""


@dataclass(frozen=True)
class Load:
    """What this machine and this program have computed so far, in seconds."""

    now: float
    all_programs: float | None
    """None where the system does not tell."""
    own: float

    @staticmethod
    def read(stat: Path = Path("/proc/stat")) -> "Load":
        """Read the clocks: user, nice, system, irq, softirq and steal of all processors, of `man 5 proc`."""
        everything = None
        if stat.is_file():
            columns = stat.read_text().split("\n", 1)[0].split()[1:9]
            everything = sum(int(columns[index]) for index in (0, 1, 2, 5, 6, 7)) / os.sysconf("SC_CLK_TCK")
        return Load(time.perf_counter(), everything, time.process_time())

    def reason(self, later: "Load") -> str | None:
        """Say how busy other programs kept the machine between this moment and `later`; None where that is little."""
        if self.all_programs is None or later.all_programs is None:
            return None
        others = (later.all_programs - self.all_programs) - (later.own - self.own)
        share = others / (later.now - self.now)
        return f"other programs kept {share:.2f} processors busy" if share > MOST_OTHERS else None


def main(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of fer-edge train.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the exports and the table.")],
    rounds: Annotated[int, typer.Option(min=1, help="Of each run's models.")] = 400,
    times_only: Annotated[bool, typer.Option("--times-only", help="Time the exports that DIR has already.")] = False,
) -> None:
    """Export and time all recipes; a table on stderr, in DIR/recipes.md and as JSON (stdout, DIR/recipes.json)."""
    try:
        document = measure(runs, out, rounds, times_only)
        show(document)
        write_text(out / "recipes.md", as_markdown(document))
        write_json(out / "recipes.json", document)
        print_json(document)
        if document["invalid"]:
            raise BenchmarkError(f"the times are invalid: {document['invalid']}; run it again on a machine at rest")
    except FerEdgeError as error:
        console.print(f"error: {error}")
        raise typer.Exit(error.exit_code) from error


def measure(runs: Sequence[Path], out: Path, rounds: int, times_only: bool = False) -> dict[str, Any]:
    """Export every run by every recipe, unless that was done before, then time them all, run after run.

    Raises:
        FerEdgeError: A run cannot be exported.
    """
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UsageError(f"runs of one name: {', '.join(names)}; their exports would overwrite one another")
    networks = {name: export_all(run, out / name, times_only) for name, run in zip(names, runs, strict=True)}
    throttle, load = Throttle.read(), Load.read()
    for run, (name, rows) in zip(runs, networks.items(), strict=True):
        models = {recipe: out / name / recipe / f"model_{recipe}.tflite" for recipe in rows}
        faces = FaceSet.load(run / "heldout.npz").faces[:FACES]
        with_times(rows, in_turns(models, faces, rounds, name))
    return {
        "networks": networks,
        "threads": 1,
        "rounds": rounds,
        "slow": {"recipe": SLOW, "every": SLOW_EVERY},
        "invalid": throttle.reason(Throttle.read()) or load.reason(Load.read()),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe(),
    }


def export_all(run: Path, folder: Path, done: bool) -> dict[str, dict[str, Any]]:
    """Export one run by every recipe, or read what was `done`; by recipe, what its report says in short.

    Raises:
        FerEdgeError: The run cannot be exported, or was not.
    """
    rows: dict[str, dict[str, Any]] = {}
    for recipe in RECIPES.values():
        if done:
            path = folder / recipe.name / "export_report.json"
            report = read_json(path, f"{path}: no such file; leave out --times-only")
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


def in_turns(models: dict[str, Path], faces: Pixels, rounds: int, name: str) -> Milliseconds:
    """Let the models classify one face each per round, one thread, beginning with another model every time.

    Args:
        models: Model files by recipe.
        faces: (n, size, size) uint8, shown in turn.
        rounds: That count.
        name: Of the network, for the progress bar.
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
                started = time.perf_counter()
                classifiers[recipe].probabilities(face)
                if number >= 0:
                    taken[recipe][number] = 1000 * (time.perf_counter() - started)
    return taken


def with_times(rows: dict[str, dict[str, Any]], taken: Milliseconds) -> None:
    """Put each recipe's milliseconds per face into its row, and their ratio to float32's in the same rounds."""
    reference = taken["float32"]
    for recipe, row in rows.items():
        own = taken[recipe]
        row["ms"] = spread(list(own.values()))
        row["over_float32"] = paired_ratio(list(own.values()), [reference[number] for number in own])


HEADS = ("recipe", "KB", "accuracy", "drop (95 %), points", "same", "ms", "of float32 (80 %)")


def cells(rows: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The table of one network."""
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
    """Say what a network was judged on."""
    row = rows["float32"]
    return f"{name}, {row['n']:,} {row['heldout']['split']} faces, protocol: {row['heldout']['protocol']}"


def caption(document: dict[str, Any]) -> str:
    """Say how the times were taken."""
    machine = document["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"same: same answer as float32. ms: median of a face on one thread. of float32: median and middle 80 % of "
        f"{document['rounds']} rounds in turns ({SLOW}: every {SLOW_EVERY}th). {machine['board'] or machine['cpu']}, "
        f"{machine['cores']} cores, governor {machine['governor'] or 'unknown'}, Python {machine['python']}, {packages}"
        + (f". INVALID: {document['invalid']}" if document["invalid"] else "")
    )


def show(document: dict[str, Any]) -> None:
    """Lay it out for the terminal."""
    for name, rows in document["networks"].items():
        table = Table(title=title(name, rows), title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for head in HEADS:
            table.add_column(head, justify="left" if head == "recipe" else "right")
        for row in cells(rows):
            table.add_row(*row)
        console.print(table)
    console.print(caption(document))


def as_markdown(document: dict[str, Any]) -> str:
    """Lay it out as Markdown."""
    parts = []
    for name, rows in document["networks"].items():
        lines = [[title(name, rows), *HEADS[1:]], ["---", *["---:"] * (len(HEADS) - 1)], *cells(rows)]
        parts.append("".join(f"| {' | '.join(row)} |\n" for row in lines))
    return "\n".join([*parts, f"{caption(document)}.\n"])


if __name__ == "__main__":
    typer.run(main)
