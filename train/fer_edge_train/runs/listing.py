"""Reading run folders: the list of runs, and the comparison of several."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fer_edge.errors import DataError, UsageError
from fer_edge.files import read_json
from fer_edge_train.runs.folder import SCORE, Row, is_running, read_config, read_history

SHOWN_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "calibration_error", "n")
"""Metrics of metrics.json in the comparison."""


@dataclass(frozen=True)
class Run:
    """Contents of a run folder."""

    folder: Path
    config: dict[str, Any]
    rows: list[Row]
    """One per epoch."""
    metrics: dict[str, Any]
    """Empty until the run is finished."""
    started: float
    """Seconds since 1970."""
    state: Literal["running", "stopped", "finished"]

    @property
    def best(self) -> float | None:
        """Highest validation accuracy; None before the end of the first epoch."""
        return max((row[SCORE] for row in self.rows), default=None)

    @property
    def seconds(self) -> float:
        """Total time of the epochs."""
        return round(sum((row.get("seconds", 0.0) for row in self.rows), 0.0), 1)

    def as_json(self) -> dict[str, Any]:
        """Convert to the form of `--json`."""
        return {
            "run": str(self.folder),
            "state": self.state,
            "data": self.config["source"].get("name", ""),
            "network": self.config["network"]["name"],
            "epochs": len(self.rows),
            "planned": self.config["settings"]["epochs"],
            SCORE: self.best,
            "seconds": self.seconds,
            "started": datetime.fromtimestamp(self.started).astimezone().isoformat(timespec="seconds"),
        }


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        DataError: It is not a run folder, or a file in it is damaged.
    """
    state: Literal["running", "stopped"] = "running" if is_running(folder) else "stopped"
    config = read_config(folder)
    try:
        settings, network, source = config["settings"], config["network"], config["source"]
        if not all(isinstance(part, dict) for part in (settings, network, source)):
            raise TypeError("settings, network and source must be objects")
        _ = int(settings["epochs"]), network["name"]
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"{folder}/config.json is not that of a training run: {error}") from error
    rows = read_history(folder / "history.csv", SCORE)
    metrics = read_json(folder / "metrics.json", "") if (folder / "metrics.json").exists() else {}
    started = (folder / "config.json").stat().st_mtime
    return Run(folder, config, rows, metrics, started, "finished" if metrics and state == "stopped" else state)


def read_runs(project: Path) -> tuple[list[Run], list[str]]:
    """Read every run folder in `project`.

    Returns:
        The runs, newest first, and one line for each folder that is not a run or cannot be read.

    Raises:
        UsageError: The folder does not exist.
    """
    if not project.is_dir():
        raise UsageError(f"{project}: no such folder; give the folder of your runs: --project DIR")
    runs, refused = [], []
    for folder in sorted(path for path in project.iterdir() if path.is_dir()):
        try:
            runs.append(read_run(folder))
        except DataError as error:
            if is_running(folder):
                refused.append(f"{folder} is being set up")
            elif (folder / "config.json").exists():
                refused.append(str(error))
            else:
                refused.append(f"{folder} is not a run: config.json is missing")
    return sorted(runs, key=lambda run: run.started, reverse=True), refused


def find_runs(names: list[str], project: Path) -> list[Run]:
    """Read the runs `names`: each a folder, or the name of one in `project`.

    Raises:
        UsageError: Fewer than two names.
        DataError: One is not a run folder.
    """
    if len(names) < 2:
        raise UsageError("give two or more runs: fer-edge runs compare A B")
    runs = []
    for name in names:
        inside = project / name
        runs.append(read_run(inside if inside.is_dir() and not (Path(name) / "config.json").exists() else Path(name)))
    return runs


def short_names(runs: list[Run]) -> list[str]:
    """Short unique names: the folder names, or the paths if two folders share a name."""
    names = [run.folder.resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [os.path.relpath(run.folder) for run in runs]


def differences(runs: list[Run]) -> dict[str, list[Any]]:
    """Differences in settings, data, network or versions: name -> one value per run, None if missing.

    >>> flat({"size": 48, "augmentation": {"flip": True}})
    {'size': 48, 'augmentation.flip': True}
    """
    described = []
    for run in runs:
        parts = {name: run.config.get(name, {}) for name in ("settings", "network", "source", "made_with")}
        parts["source"] = {name: parts["source"].get(name) for name in ("name", "digest")}
        described.append(flat(parts))
    names = list(dict.fromkeys(name for values in described for name in values))
    table = {name.removeprefix("settings."): [values.get(name) for values in described] for name in names}
    return {name: values for name, values in table.items() if any(value != values[0] for value in values)}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested objects; names are joined by dots."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def figures(runs: list[Run]) -> dict[str, list[Any]]:
    """Metrics of the runs: name -> one value per run, None if missing."""
    table: dict[str, list[Any]] = {
        "state": [run.state for run in runs],
        "epochs done": [len(run.rows) for run in runs],
        "seconds": [run.seconds for run in runs],
        f"best {SCORE}": [run.best for run in runs],
    }
    for part in ("validation", "testing"):
        for name in SHOWN_FIGURES:
            values = [run.metrics.get(part, {}).get(name) for run in runs]
            if any(value is not None for value in values):
                table[f"{part} {name}"] = values
    return table
