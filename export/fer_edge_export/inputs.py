"""What an export starts from: a run folder, or a `.keras` file with a prepared set beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet
from fer_edge.files import read_json

Weights = Literal["best", "last"]


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
    folder: Path
    """Where the export goes unless told otherwise."""


def read_inputs(run: Path, data: Path | None, weights: Weights) -> Inputs:
    """Read what `run`, a run folder or a `.keras` file, and `data`, another prepared set, hold.

    Raises:
        DataError: A file is missing or damaged, or the set's classes are not the run's.
        UsageError: `run` is a `.keras` file and no set was given.
    """
    if run.suffix == ".keras":
        if data is None:
            raise UsageError(f"{run} comes without faces; type: fer-edge export {run} --data SET.npz")
        faces = FaceSet.load(data)
        return Inputs(run, None, faces.part("training"), _held_out(faces), None, run.parent / "export")
    config = read_json(run / "config.json", f"{run} is not a run folder; make one: fer-edge train --data DIR")
    try:
        classes, name = tuple(str(label) for label in config["classes"]), str(config["network"]["name"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{run / 'config.json'} is not that of a training run ({error})") from error
    training, heldout = _run_faces(run) if data is None else _other_faces(data)
    temperature = None
    if weights == "best" and (run / "metrics.json").is_file():
        temperature = read_json(run / "metrics.json", "").get("temperature")
    return Inputs(
        network=run / f"{weights}.keras",
        name=name,
        training=training.with_classes(classes),
        heldout=heldout.with_classes(classes),
        temperature=None if temperature is None else float(temperature),
        folder=run / "export",
    )


def _run_faces(run: Path) -> tuple[FaceSet, FaceSet]:
    for name in ("calibration.npz", "heldout.npz"):
        if not (run / name).is_file():
            raise DataError(f"{run} holds no {name}; give another set: fer-edge export {run} --data SET.npz")
    return FaceSet.load(run / "calibration.npz"), FaceSet.load(run / "heldout.npz")


def _other_faces(data: Path) -> tuple[FaceSet, FaceSet]:
    faces = FaceSet.load(data)
    return faces.part("training"), _held_out(faces)


def _held_out(faces: FaceSet) -> FaceSet:
    return faces.take(faces.split != "training")
