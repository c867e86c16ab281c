"""The run folder: `runs/train/NAME/`, its files, and who may write to it."""

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
    "config.json",  # settings, classes, where the faces came from, versions; where it is, the set-up is whole
    "config.yaml",  # the settings alone, as --config takes them
    "best.keras",  # weights with the best validation accuracy
    "last.keras",  # weights, optimizer and step count of the last whole epoch: what --resume goes on from
    "history.csv",  # one row per epoch
    "metrics.json",  # figures of best.keras on the held-out faces, and the temperature
    "history.png",
    "confusion_matrix.png",
    "calibration.npz",  # training faces, for `fer-edge export`
    "heldout.npz",  # validation and testing faces, likewise
    "seen.npz",  # pictures that it was trained and chosen on
    "teachers.npz",  # what the teachers said of the training faces, where there were teachers
)
EXPORT = "export"
"""Folder where `fer-edge export` puts the models of this run."""
TENSORBOARD = "tensorboard"
"""Folder of the logs for TensorBoard, where they are wanted."""
LOCK = ".lock"
"""Locked as long as a training goes on; stays behind, for a lock that is removed can be taken twice."""
Row = dict[str, float]
SCORE = "val_accuracy"
"""The figure of validation whose highest value chooses the best epoch."""


def new_run(project: Path, name: str, *, exist_ok: bool = False) -> Path:
    """Make `project/name`, or `project/name2`, `name3` ... where that is taken; nothing is ever overwritten.

    Args:
        project: Folder of the runs.
        name: Name of this one.
        exist_ok: Take `project/name` if it is there, and a run; `clear` removes what it holds.

    Raises:
        UsageError: `name` is not the name of one folder.
        FerEdgeError: The folder cannot be made, or holds something else than a run.
    """
    if name in ("", "..") or Path(name).name != name:
        raise UsageError(f"--name {shlex.quote(name)}: name one folder; the folder that holds it goes to --project")
    make_folder(project)
    number = 1
    while True:
        run = project / (name if number == 1 else f"{name}{number}")
        try:
            run.mkdir()
        except FileExistsError:
            if exist_ok:
                _refuse_what_is_no_run(run)
                return run
            number += 1
        except OSError as error:
            raise FerEdgeError(f"cannot make {run}: {error.strerror}; name another folder: --project DIR") from error
        else:
            return run


def _refuse_what_is_no_run(run: Path) -> None:
    if not run.is_dir() or (any(run.iterdir()) and not any((run / name).exists() for name in ("config.json", LOCK))):
        raise FerEdgeError(f"{run} is there already and no run that --exist-ok could replace; give another --name")


@contextmanager
def alone_in(run: Path, refusal: str | None = None) -> Iterator[None]:
    """Keep every other training out of `run` while the block lasts, and sweep up after one that was killed.

    Args:
        run: A folder.
        refusal: What the others are told, where it is no run folder.

    Raises:
        FerEdgeError: Another training goes on in `run`.
    """
    with (run / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it however the process ends
        except BlockingIOError as error:
            refusal = refusal or f"another training goes on in {run}; wait for it, or give another --name"
            raise FerEdgeError(refusal) from error
        remove_temporaries(run)
        yield


def goes_on(run: Path) -> bool:
    """Whether a training goes on in `run`."""
    try:
        with (run / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no lock: nothing was ever trained there
    return False


def clear(run: Path) -> None:
    """Remove every file that a run and its export leave, and nothing that anybody else put there.

    config.json goes first: a kill half-way must not leave something that looks like a whole run.
    """
    for name in FILES:
        (run / name).unlink(missing_ok=True)
    for name in (EXPORT, TENSORBOARD):
        if (run / name).exists():
            shutil.rmtree(run / name)


def read_config(run: Path) -> dict[str, Any]:
    """Read a run's config.json; settings have the names of today, whichever fer-edge wrote it.

    Raises:
        DataError: `run` is no run folder, or a face detector's, or the file is damaged.
    """
    config = read_json(run / "config.json", f"{run} is not a run folder; make one: fer-edge train --data DIR")
    if config.get("task") == "detect":
        raise DataError(f"{run}: a face detector's run, of an older fer-edge; detectors are not trained any more")
    if not {"settings", "classes", "network", "source"} <= config.keys():
        raise DataError(f"{run}/config.json is not that of a training run")
    if isinstance(config["settings"], dict):
        config["settings"] = migrated(config["settings"])
    return config


def write_history(path: Path, rows: list[Row]) -> None:
    """Write one row per epoch to `path`, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    # as short as a person would write it: an epoch that was read back, 1.0, is 1 again
    writer.writerows({name: f"{value:.10g}" for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def read_history(path: Path, score: str) -> list[Row]:
    """Read one row per epoch; empty where there is no file yet.

    Args:
        path: The file.
        score: A column that must be there.

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
