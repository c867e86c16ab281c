"""The run folder `runs/train/NAME/`: its files and its lock."""

import csv
import fcntl
import io
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer_edge.errors import DataError, FerEdgeError, UsageError
from fer_edge.files import make_folder, read_json, remove_temporaries, write_text
from fer_edge.options import migrated

FILES = (
    "config.json",  # settings, classes, provenance of the faces, versions; written last in the set-up
    "config.yaml",  # the settings, for --config
    "best.keras",  # weights with the best validation accuracy
    "last.keras",  # weights, optimizer and step count of the last complete epoch, for --resume
    "history.csv",  # one row per epoch
    "metrics.json",  # metrics of best.keras on the held-out faces, and the temperature
    "history.png",
    "confusion_matrix.png",
    "calibration.npz",  # training faces, for `fer-edge export`
    "heldout.npz",  # validation and testing faces, for `fer-edge export`
    "seen.npz",  # pictures used for training and for choosing the best epoch
    "teachers.npz",  # teacher targets of the training faces, if there were teachers
)
EXPORT = "export"
"""Output folder of `fer-edge export` for this run."""
TENSORBOARD = "tensorboard"
"""Folder of the TensorBoard logs."""
LOCK = ".lock"
"""Locked during training; never removed, since a removed lock file could be locked twice."""
Row = dict[str, float]
SCORE = "val_accuracy"
"""The validation metric whose highest value chooses the best epoch."""


def new_run(project: Path, name: str, *, exist_ok: bool = False) -> Path:
    """Create `project/name`, or `project/name2`, `name3` ... if it exists; nothing is overwritten.

    Args:
        project: Folder of the runs.
        name: Name of the run.
        exist_ok: Reuse `project/name` if it is a run; `clear` removes its files.

    Raises:
        UsageError: `name` is not the name of one folder.
        FerEdgeError: The folder cannot be created, or is not a run.
    """
    if name in ("", "..") or Path(name).name != name:
        raise UsageError(
            f"--name {shlex.quote(name)}: give the name of one folder; its parent folder goes to --project"
        )
    make_folder(project)
    number = 1
    while True:
        run = project / (name if number == 1 else f"{name}{number}")
        try:
            run.mkdir()
        except FileExistsError:
            if exist_ok:
                _check_is_run(run)
                return run
            number += 1
        except OSError as error:
            raise FerEdgeError(
                f"cannot create {run}: {error.strerror}; choose another folder: --project DIR"
            ) from error
        else:
            return run


def _check_is_run(run: Path) -> None:
    if not run.is_dir() or (any(run.iterdir()) and not any((run / name).exists() for name in ("config.json", LOCK))):
        raise FerEdgeError(f"{run} exists and is not a run that --exist-ok could replace; give another --name")


@contextmanager
def run_lock(run: Path, refusal: str | None = None) -> Iterator[None]:
    """Lock `run` for the `with` block, and remove temporary files of a killed process.

    Args:
        run: A folder.
        refusal: Error message if it is locked; default: that of a run folder.

    Raises:
        FerEdgeError: `run` is locked by another process.
    """
    with (run / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it however the process ends
        except BlockingIOError as error:
            refusal = refusal or f"another training is running in {run}; wait for it, or give another --name"
            raise FerEdgeError(refusal) from error
        remove_temporaries(run)
        yield


def is_running(run: Path) -> bool:
    """Whether a training is running in `run`."""
    try:
        with (run / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no lock file: never trained
    return False


def clear(run: Path) -> None:
    """Remove the files of a run and its export, and no others.

    config.json is removed first: a kill half-way must not leave what looks like a complete run.
    """
    for name in FILES:
        (run / name).unlink(missing_ok=True)
    for name in (EXPORT, TENSORBOARD):
        if (run / name).exists():
            shutil.rmtree(run / name)


def read_config(run: Path) -> dict[str, Any]:
    """Read a run's config.json; settings of older versions get their current names.

    Raises:
        DataError: `run` is not a run folder, or a face detector's, or the file is damaged.
    """
    config = read_json(run / "config.json", f"{run} is not a run folder; create one: fer-edge train --data DIR")
    if config.get("task") == "detect":
        raise DataError(f"{run}: a face detector's run of an older fer-edge; detectors are no longer trained")
    if not {"settings", "classes", "network", "source"} <= config.keys():
        raise DataError(f"{run}/config.json is not that of a training run")
    if isinstance(config["settings"], dict):
        config["settings"] = migrated(config["settings"])
    return config


def write_history(path: Path, rows: list[Row]) -> None:
    """Write one row per epoch to `path`, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    # shortest form: an epoch that was read back as 1.0 is written as 1 again
    writer.writerows({name: f"{value:.10g}" for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def read_history(path: Path, score: str) -> list[Row]:
    """Read one row per epoch; empty if there is no file yet.

    Args:
        path: The file.
        score: A required column.

    Raises:
        DataError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="") as stream:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
        if any({"epoch", score} - row.keys() for row in rows):
            raise ValueError(f"no column epoch or {score}")
        return rows
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
