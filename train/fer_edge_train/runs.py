"""The run folder: `runs/train/NAME/`, its files, and what each holds.

config.json           settings, classes, where the faces came from, versions
best.keras            weights with the best validation accuracy
last.keras            weights, optimizer and step count of the last whole epoch: what --resume goes on from
history.csv           one row per epoch
metrics.json          figures of best.keras on the held-out faces, and the temperature
history.png, confusion_matrix.png
calibration.npz       training faces, for `fer-edge export`
heldout.npz           validation and testing faces, likewise
"""

import csv
import io
from pathlib import Path
from typing import Any

from fer_edge.errors import DataError, FerEdgeError
from fer_edge.files import read_json, write_text

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "faces_per_s", "seconds")
Row = dict[str, float]


def new_run(project: Path, name: str, *, exist_ok: bool = False) -> Path:
    """Make `project/name`, or `project/name2`, `name3` ... where that is taken; nothing is ever overwritten.

    Args:
        project: Folder of the runs.
        name: Name of this one.
        exist_ok: Take `project/name` even if it is there; its files are replaced.

    Raises:
        FerEdgeError: The folder cannot be made.
    """
    number = 1
    while True:
        run = project / (name if number == 1 else f"{name}{number}")
        try:
            run.mkdir(parents=True, exist_ok=exist_ok)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise FerEdgeError(f"cannot make {run}: {error.strerror}; name another folder: --project DIR") from error
        else:
            return run


def read_config(run: Path) -> dict[str, Any]:
    """Read a run's config.json.

    Raises:
        DataError: `run` is no run folder, or the file is damaged.
    """
    config = read_json(run / "config.json", f"{run} is not a run folder; make one: fer-edge train --data DIR")
    if not {"settings", "classes", "source"} <= config.keys():
        raise DataError(f"{run}/config.json is not that of a training run")
    return config


def write_history(path: Path, rows: list[Row]) -> None:
    """Write one row per epoch to `path`, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[Row]:
    """Read one row per epoch; empty where there is no file yet.

    Raises:
        DataError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="") as stream:
            return [{name: float(row[name]) for name in HISTORY} for row in csv.DictReader(stream)]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
