"""Runs for a person to look at: the list, the comparison, and the curves together."""

from pathlib import Path
from typing import Any

from rich.table import Table

from fer_edge.console import console, warn
from fer_edge_train.runs.listing import Run, differences, figures, short_names
from fer_edge_train.runs.plots import draw_curves


def show_runs(runs: list[Run], refused: list[str], project: Path) -> None:
    """Print one line per run, and one for each folder that is none."""
    table = Table("run", "data", "network", "epochs", "best", "time", "state")
    for run in runs:
        shown = run.as_json()
        best = "-" if run.best is None else f"accuracy {run.best:.2%}"
        epochs = f"{shown['epochs']}/{shown['planned']}"
        row = (run.folder.name, shown["data"], shown["network"], epochs, best, _time(run.seconds), run.state)
        table.add_row(*(_plain(cell) for cell in row))
    if runs:
        console.print(table)
    else:
        console.print(f"no run in {project}; make one: fer-edge train --data DIR")
    for line in refused:
        warn(line)


def draw(path: Path, runs: list[Run]) -> None:
    """Draw the curves of `runs` together to `path` (.png)."""
    rows = {name: run.rows for name, run in zip(short_names(runs), runs, strict=True)}
    draw_curves(path, rows)


def show_comparison(runs: list[Run], picture: Path) -> None:
    """Print the settings in which `runs` differ, and their figures side by side."""
    table = Table("", *(_plain(name) for name in short_names(runs)))
    for part in (differences(runs), figures(runs)):
        for name, values in part.items():
            table.add_row(_plain(name), *(_value(value) for value in values))
        table.add_section()
    console.print(table)
    console.print(f"wrote {picture}")


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e5 else f"{value:,.0f}"
    text = _plain(str(value))
    return text[:12] + "…" if len(text) == 64 and text.isalnum() else text  # a digest


def _time(seconds: float) -> str:
    """Round a time for a person.

    >>> _time(59), _time(3212.7)
    ('0:00:59', '0:53:32')
    """
    return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02}:{int(seconds) % 60:02}"


def _plain(text: Any) -> str:
    """Leave no control character that could redraw the user's terminal; a name on disk may hold any."""
    return "".join(character if character.isprintable() else "?" for character in str(text))
