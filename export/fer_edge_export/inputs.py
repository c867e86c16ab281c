"""What an export starts from: a run folder, or a `.keras` file with a prepared set beside it."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from fer_edge.console import console, warn
from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet
from fer_edge.files import read_json
from fer_edge.seen import Seen, read_seen, seen_in
from fer_edge_export.settings import Weights


@dataclass(frozen=True)
class Inputs:
    """Everything that an export reads, before TensorFlow is loaded."""

    network: Path
    """The `.keras` file."""
    name: str | None
    """The network's name; None if only the file knows it."""
    training: FaceSet
    """Faces to calibrate with."""
    heldout: FaceSet
    """Validation and, perhaps, testing faces."""
    temperature: float | None
    """Fitted in training for these weights; None if it has to be fitted now."""
    source: dict[str, Any]
    """What the network was trained on (`FaceSet.source`); empty where nobody knows."""
    seen: Seen | None
    """The pictures that it was trained and chosen on; None where nobody knows."""
    folder: Path
    """Where the export goes unless told otherwise."""


def folder_of(run: Path) -> Path:
    """The run folder that `run` is, or that it lies in if it is a `.keras` file."""
    return run.parent if run.suffix == ".keras" else run


def read_task(run: Path) -> dict[str, Any] | None:
    """Read config.json of a run of `fer-edge train --task detect`; None for a run, or file, of another task.

    Raises:
        DataError: The file is damaged.
    """
    path = folder_of(run) / "config.json"
    if not path.is_file():
        return None
    config = read_json(path, "")
    if config.get("task") != "detect":
        return None
    if not {"network", "source"} <= config.keys() or "name" not in config["network"]:
        raise DataError(f"{path} is not that of a training run")
    return config


def read_inputs(run: Path, data: Path | None, weights: Weights) -> Inputs:
    """Read what `run`, a run folder or a `.keras` file, and `data`, another prepared set, hold.

    A `.keras` file in a run folder has the run's classes, name and training data; one elsewhere takes its classes from
    `data`, and what it was trained on is not known.

    Raises:
        DataError: A file is missing or damaged, the set's classes are not the run's, or the run was trained on every
            face that is to judge it.
        UsageError: `run` is a `.keras` file outside a run folder, and no set was given.
    """
    is_file = run.suffix == ".keras"
    folder = folder_of(run)
    alone = is_file and not (folder / "config.json").is_file()
    if alone and data is None:
        raise UsageError(f"{run} comes without faces; type: fer-edge export {quote(str(run))} --data SET.npz")
    config = {} if alone else _read_config(folder)
    source = config.get("source", {})
    seen = read_seen(folder, source)
    training, heldout = _run_faces(folder) if data is None else _other_faces(data, source, seen)
    classes = tuple(config.get("classes", training.classes))
    network = run if is_file else folder / f"{weights}.keras"
    temperature = None
    if config and network.name == "best.keras" and (folder / "metrics.json").is_file():
        temperature = read_json(folder / "metrics.json", "").get("temperature")
    return Inputs(
        network=network,
        name=config["network"]["name"] if config else None,
        training=training.with_classes(classes),
        heldout=heldout.with_classes(classes),
        temperature=None if temperature is None else float(temperature),
        source=source,
        seen=seen,
        folder=folder / "export",
    )


def _read_config(run: Path) -> dict[str, Any]:
    config = read_json(run / "config.json", f"{run} is not a run folder; make one: fer-edge train --data DIR")
    try:
        classes = [str(label) for label in config["classes"]]
        return {"classes": classes, "network": {"name": str(config["network"]["name"])}, "source": config["source"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{run / 'config.json'} is not that of a training run ({error})") from error


def _run_faces(run: Path) -> tuple[FaceSet, FaceSet]:
    for name in ("calibration.npz", "heldout.npz"):
        if not (run / name).is_file():
            command = f"fer-edge export {quote(str(run))} --data SET.npz"
            raise DataError(f"{run} holds no {name}; give another set: {command}")
    return FaceSet.load(run / "calibration.npz"), FaceSet.load(run / "heldout.npz")


def _other_faces(data: Path, source: dict[str, Any], seen: Seen | None) -> tuple[FaceSet, FaceSet]:
    """Divide another set into faces to calibrate with and faces to judge on, which the network must not have learnt."""
    faces = FaceSet.load(data)
    heldout = faces.take(faces.split != "training")
    seen = seen_in(faces, source, seen)
    if seen is None:
        warn(f"cannot tell whether the network was trained on the held-out faces of {data}; int8 is judged on all")
        return faces.part("training"), heldout
    new = seen.roles(heldout) != "training"
    if len(heldout) and not new.any():
        raise DataError(
            f"the network was trained on every held-out face of {data}; leave out --data to judge int8 on the run's "
            "own, or give faces that it never met: --data SET.npz"
        )
    if not new.all():
        console.print(f"left out {np.count_nonzero(~new):,} held-out faces of {data} that the network was trained on")
    return faces.part("training"), heldout.take(new)
