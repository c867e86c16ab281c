"""What an export starts from: a run folder, or a `.keras` file with a prepared set beside it."""

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
    seen: UsedPictures | None
    """The pictures that it was trained and chosen on; None where nobody knows."""
    folder: Path
    """Where the export goes unless told otherwise."""
    foreign: bool = False
    """The file comes without its run: its contract is what the user states."""
    data: Path | None = None
    """The set that was given in place of the run's own."""
    findings: tuple[str, ...] = ()
    """What to know of a foreign network before trusting it."""


def command_for(run: Path, data: Path | None = None) -> str:
    """The command that exports `run`, to be typed."""
    return f"fer-edge export {quote(str(run))} --data {quote(str(data or 'SET.npz'))}"


def refuse_other_formats(run: Path) -> None:
    """Refuse a network in a format that is not `.keras`, with the command that makes one of it.

    Raises:
        ModelError: `run` is a file of another format, or a SavedModel.
    """
    old = run.with_name(f"{run.name}.h5")
    if (run / "saved_model.pb").is_file():
        code = f"import tensorflow as tf; tf.keras.models.load_model({str(run)!r}, compile=False).save({str(old)!r})"
        raise ModelError(
            f"{run}: a SavedModel, which Keras 3 cannot read; type, where pip install tf_keras was typed: "
            f'TF_USE_LEGACY_KERAS=1 python -c "{code}", then: {to_keras(str(old))}'
        )
    if run.name.endswith(".weights.h5"):
        raise ModelError(
            f"{run}: weights without their network; in Python, build it, then: network.load_weights({str(run)!r}); "
            'network.save("network.keras")'
        )
    if run.suffix.lower() in (".h5", ".hdf5"):
        raise ModelError(f"{run}: Keras' old format; type: {to_keras(str(run))}")
    if run.is_file() and run.suffix != ".keras":
        raise ModelError(f"{run}: no .keras file; fer-edge exports those, and run folders of fer-edge train")


def read_inputs(run: Path, data: Path | None, weights: Weights, stated: ForeignNetworkSettings) -> Inputs:
    """Read what `run`, a run folder or a `.keras` file, and `data`, another prepared set, hold.

    A `.keras` file in a run folder has the run's classes, name and training data. Of one elsewhere nothing is known but
    what is `stated`; the faces keep the classes of `data`.

    Raises:
        DataError: A file is missing or damaged, the run is a face detector's, the set's classes are not the run's, or
            the run was trained on every face that is to judge it.
        ModelError: `run` is a network in another format.
        UsageError: `run` is a `.keras` file outside a run folder, and no set was given; or it lies in one, and a
            contract is stated.
    """
    refuse_other_formats(run)
    is_file = run.suffix == ".keras"
    folder = run.parent if is_file else run
    alone = is_file and not _is_run(folder)
    if alone and data is None:
        raise UsageError(f"{run} comes without faces; type: {command_for(run)} --labels NAME1,NAME2,... --pixels 0..1")
    if not alone and stated != ForeignNetworkSettings():
        raise UsageError(
            f"{folder} says what its network takes; --labels, --pixels, --colour and --crop-scale are for a .keras "
            "file outside a run folder"
        )
    config = None if alone else _read_config(folder)
    source = config.source if config else {}
    seen = read_used_pictures(folder, source)
    training, heldout = _run_faces(folder) if data is None else _other_faces(data, source, seen)
    if data is None:  # others that do not suit are warned of
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
        seen=seen,
        folder=folder / "export",
        foreign=alone,
        data=data,
    )


def _is_run(folder: Path) -> bool:
    """Whether `folder` holds a run of fer-edge train; others, too, call a file config.json."""
    path = folder / "config.json"
    return path.is_file() and {"classes", "source"} & read_json(path, "").keys() != set()


class _Config(NamedTuple):
    """What a run folder's config.json says."""

    classes: tuple[str, ...]
    network: str
    source: dict[str, Any]


def _read_config(run: Path) -> _Config:
    config = read_json(run / "config.json", f"{run} is not a run folder; create one: fer-edge train --data DIR")
    if config.get("task") == "detect":
        raise DataError(f"{run}: a face detector's run of an older fer-edge; detectors are no longer trained")
    try:
        classes = tuple(str(label) for label in config["classes"])
        return _Config(classes, str(config["network"]["name"]), config["source"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{run / 'config.json'} is not that of a training run ({error})") from error


def _run_faces(run: Path) -> tuple[FaceSet, FaceSet]:
    for name in ("calibration.npz", "heldout.npz"):
        if not (run / name).is_file():
            raise DataError(f"{run} holds no {name}; give another set: {command_for(run)}")
    return FaceSet.load(run / "calibration.npz"), FaceSet.load(run / "heldout.npz")


def _other_faces(data: Path, source: dict[str, Any], seen: UsedPictures | None) -> tuple[FaceSet, FaceSet]:
    """Divide another set into faces to calibrate with and faces to judge on, which the network must not have learnt."""
    faces = FaceSet.load(data)
    heldout = faces.take(faces.split != "training")
    seen = used_in(faces, source, seen)
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
