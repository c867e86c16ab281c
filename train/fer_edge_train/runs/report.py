"""Terminal output of `runs`: the list, the comparison, and the plot of learning curves."""

from pathlib import Path
from typing import Any

from rich.table import Table

from fer_edge.console import console, warn
from fer_edge_train.runs.listing import Run, differences, figures, short_names
from fer_edge_train.runs.plots import draw_curves


def show_runs(runs: list[Run], refused: list[str], project: Path) -> None:
    """Print one line per run, and a warning for each folder that is not a run."""
    table = Table("run", "data", "network", "epochs", "best", "time", "state")
    for run in runs:
        shown = run.as_json()
        best = "-" if run.best is None else f"accuracy {run.best:.2%}"
        epochs = f"{shown['epochs']}/{shown['planned']}"
        row = (run.folder.name, shown["data"], shown["network"], epochs, best, _time(run.seconds), run.state)
        table.add_row(*(_sanitized(cell) for cell in row))
    if runs:
        console.print(table)
    else:
        console.print(f"no run in {project}; start one: fer-edge train --data DIR")
    for line in refused:
        warn(line)


def draw(path: Path, runs: list[Run]) -> None:
    """Plot the learning curves of `runs` to `path` (.png)."""
    rows = {name: run.rows for name, run in zip(short_names(runs), runs, strict=True)}
    draw_curves(path, rows)


def show_comparison(runs: list[Run], picture: Path) -> None:
    """Print the settings in which `runs` differ, and their metrics side by side."""
    table = Table("", *(_sanitized(name) for name in short_names(runs)))
    for part in (differences(runs), figures(runs)):
        for name, values in part.items():
            table.add_row(_sanitized(name), *(_value(value) for value in values))
        table.add_section()
    console.print(table)
    console.print(f"wrote {picture}")


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e5 else f"{value:,.0f}"
    text = _sanitized(str(value))
    return text[:12] + "…" if len(text) == 64 and text.isalnum() else text  # a digest


def _time(seconds: float) -> str:
    """Format a duration as h:mm:ss.

    >>> _time(59), _time(3212.7)
    ('0:00:59', '0:53:32')
    """
    return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02}:{int(seconds) % 60:02}"


def _sanitized(text: Any) -> str:
    """Replace control characters: a name on disk may contain any, and they could redraw the terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(text))
