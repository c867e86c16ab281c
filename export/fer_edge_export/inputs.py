"""Inputs of an export: a run folder, or a `.keras` file and a prepared set."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import numpy as np

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet, must_have_two_classes
from fer_edge.data.provenance import UsedPictures, read_used_pictures, used_in
from fer_edge.errors import DataError, ModelError, UsageError
from fer_edge.files import read_json
from fer_edge_export.networks.load import to_keras
from fer_edge_export.settings import ForeignNetworkSettings, Weights


@dataclass(frozen=True)
class Inputs:
    """Inputs of an export, read before TensorFlow is loaded."""

    network: Path
    """The `.keras` file."""
    name: str | None
    """Name of the network; None: that of the file."""
    training: FaceSet
    """Calibration faces."""
    heldout: FaceSet
    """Validation and, if any, testing faces."""
    temperature: float | None
    """Softmax temperature fitted in training for these weights; None if not fitted yet."""
    source: dict[str, Any]
    """Training data of the network (`FaceSet.source`); empty if unknown."""
    used: UsedPictures | None
    """Pictures used for training and validation; None if unknown."""
    folder: Path
    """Default output folder."""
    foreign: bool = False
    """Whether the file is outside a run folder: its contract is stated by the user."""
    data: Path | None = None
    """The set of `--data`, if given."""
    findings: tuple[str, ...] = ()
    """Warnings about a foreign network."""


def command_for(run: Path, data: Path | None = None) -> str:
    """The command line that exports `run`."""
    return f"fer-edge export {quote(str(run))} --data {quote(str(data or 'SET.npz'))}"


def check_format(run: Path) -> None:
    """Reject other formats than `.keras`, with the command that converts them.

    Raises:
        ModelError: `run` is a file of another format, or a SavedModel.
    """
    old = run.with_name(f"{run.name}.h5")
    if (run / "saved_model.pb").is_file():
        code = f"import tensorflow as tf; tf.keras.models.load_model({str(run)!r}, compile=False).save({str(old)!r})"
        raise ModelError(
            f"{run}: a SavedModel, which Keras 3 cannot read; after pip install tf_keras, type: "
            f'TF_USE_LEGACY_KERAS=1 python -c "{code}", then: {to_keras(str(old))}'
        )
    if run.name.endswith(".weights.h5"):
        raise ModelError(
            f"{run}: weights without a network; in Python, build it, then: network.load_weights({str(run)!r}); "
            'network.save("network.keras")'
        )
    if run.suffix.lower() in (".h5", ".hdf5"):
        raise ModelError(f"{run}: Keras' old format; type: {to_keras(str(run))}")
    if run.is_file() and run.suffix != ".keras":
        raise ModelError(f"{run}: not a .keras file; give one, or a run folder of fer-edge train")


def read_inputs(run: Path, data: Path | None, weights: Weights, stated: ForeignNetworkSettings) -> Inputs:
    """Read `run`, a run folder or a `.keras` file, and `data`, another prepared set.

    A `.keras` file in a run folder has the run's classes, name and training data. For a file elsewhere these are
    unknown, except what is `stated`; the faces keep the classes of `data`.

    Raises:
        DataError: A file is missing or damaged, the run is of a face detector, the set has other classes than the run,
            or the run was trained on every evaluation face.
        ModelError: `run` is a network in another format.
        UsageError: `run` is a `.keras` file outside a run folder without `data`, or in one with something `stated`.
    """
    check_format(run)
    is_file = run.suffix == ".keras"
    folder = run.parent if is_file else run
    outside = is_file and not _is_run(folder)
    if outside and data is None:
        raise UsageError(
            f"{run} is not in a run folder and needs faces; type: {command_for(run)} --labels NAME1,NAME2,... "
            "--pixels 0..1"
        )
    if not outside and stated != ForeignNetworkSettings():
        raise UsageError(
            f"{folder} is a run folder; leave out --labels, --pixels, --colour and --crop-scale, which are for a "
            ".keras file outside a run folder"
        )
    config = None if outside else _read_config(folder)
    source = config.source if config else {}
    used = read_used_pictures(folder, source)
    training, heldout = _run_faces(folder) if data is None else _other_faces(data, source, used)
    if data is None:  # other sets give a warning
        must_have_two_classes(training, str(folder))
    classes = config.classes if config else training.classes
    network = run if is_file else folder / f"{weights}.keras"
    temperature = None
    if config and network.name == "best.keras" and (folder / "metrics.json").is_file():
        temperature = read_json(folder / "metrics.json", "").get("temperature")
    return Inputs(
        network=network,
        name=config.network if config else None,
        training=training.with_classes(classes),
        heldout=heldout.with_classes(classes),
        temperature=None if temperature is None else float(temperature),
        source=source,
        used=used,
        folder=folder / "export",
        foreign=outside,
        data=data,
    )


def _is_run(folder: Path) -> bool:
    """Whether `folder` is a run of fer-edge train; other programs also write a config.json."""
    path = folder / "config.json"
    return path.is_file() and {"classes", "source"} & read_json(path, "").keys() != set()


class _Config(NamedTuple):
    """Contents of a run folder's config.json."""

    classes: tuple[str, ...]
    network: str
    source: dict[str, Any]


def _read_config(run: Path) -> _Config:
    config = read_json(run / "config.json", f"{run} is not a run folder; create one: fer-edge train --data DIR")
    if config.get("task") == "detect":
        raise DataError(f"{run}: a face detector run of an older fer-edge; detectors are no longer trained")
    try:
        classes = tuple(str(label) for label in config["classes"])
        return _Config(classes, str(config["network"]["name"]), config["source"])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{run / 'config.json'} is not of a training run ({error}); give a run folder of fer-edge train"
        ) from error


def _run_faces(run: Path) -> tuple[FaceSet, FaceSet]:
    for name in ("calibration.npz", "heldout.npz"):
        if not (run / name).is_file():
            raise DataError(f"{run} has no {name}; give another set: {command_for(run)}")
    return FaceSet.load(run / "calibration.npz"), FaceSet.load(run / "heldout.npz")


def _other_faces(data: Path, source: dict[str, Any], used: UsedPictures | None) -> tuple[FaceSet, FaceSet]:
    """Split another set into calibration faces, and held-out faces not used in training the network."""
    faces = FaceSet.load(data)
    heldout = faces.take(faces.split != "training")
    used = used_in(faces, source, used)
    if used is None:
        warn(f"cannot tell whether the network was trained on the held-out faces of {data}; evaluating on all of them")
        return faces.part("training"), heldout
    new = used.roles(heldout) != "training"
    if len(heldout) and not new.any():
        raise DataError(
            f"the network was trained on every held-out face of {data}; leave out --data to use the run's own, or "
            "give other faces: --data SET.npz"
        )
    if not new.all():
        console.print(f"left out {np.count_nonzero(~new):,} held-out faces of {data} that the network was trained on")
    return faces.part("training"), heldout.take(new)
