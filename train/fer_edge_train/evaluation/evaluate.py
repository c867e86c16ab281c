"""Evaluate a model on a data set: a Keras network with Keras, a `.tflite` with the runtime's own code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet, Protocol
from fer_edge.data.metrics import baseline, proportion_interval, softmax, summary
from fer_edge.data.provenance import FILE, UsedPictures, read_used_pictures, used_in
from fer_edge.errors import DAMAGE, DataError, ModelError
from fer_edge.files import read_json
from fer_edge.imaging.images import InputColour, Pixels
from fer_edge.model.quantization import to_input
from fer_edge.recognition.classifier import Classifier
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import same_split
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.runs.folder import new_run, read_config


def keras_logits(network: keras.Model, pixels: Pixels) -> npt.NDArray[np.float32]:
    """Run a Keras network on (n, size, size) grey or (n, size, size, 3) RGB faces; returns (n, classes) logits."""
    return np.asarray(network.predict(to_input(pixels), batch_size=512, verbose=0), np.float32)


def load_network(path: Path, *, with_optimizer: bool = False) -> keras.Model:
    """Load a `.keras` file, `with_optimizer` to resume training.

    Raises:
        ModelError: The file is missing or damaged, or contains code of its own.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; a run folder holds best.keras and last.keras")
    try:
        return keras.models.load_model(path, compile=with_optimizer, safe_mode=True)
    except DAMAGE as error:
        raise ModelError(f"{path}: not a readable Keras model; train again: fer-edge train") from error


@dataclass(frozen=True)
class EvaluatedModel:
    """A Keras or TensorFlow Lite model, loaded for evaluation."""

    path: Path
    classes: tuple[str, ...]
    """In output order."""
    size: int
    """Side of the input in pixels."""
    temperature: float
    source: dict[str, Any]
    """The data set it was trained on (`FaceSet.source`)."""
    used: UsedPictures | None
    """Pictures used for training and for choosing the best epoch; None if unknown."""
    logits: Callable[[Pixels], npt.NDArray[np.float32]]
    """From (n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB, to (n, classes)."""
    colour: InputColour = "grey"
    """Colour of the input."""


def load_model(path: Path) -> EvaluatedModel:
    """Load a `.tflite`, a `.keras` in its run folder, or the best weights of a run folder.

    Raises:
        FerEdgeError: The file cannot be used, or a `.keras` is not in a run folder and so has no class names.
    """
    if path.is_dir():
        path = path / "best.keras"
    if path.suffix != ".keras":
        classifier = Classifier(path)
        contract = classifier.contract
        source = contract.data.get("training", {})
        used = read_used_pictures(path.parent, source)
        logits = classifier.network.logits
        size, temperature = contract.size, contract.temperature
        return EvaluatedModel(path, contract.labels, size, temperature, source, used, logits, contract.colour)
    network = load_network(path)
    if not (path.parent / "config.json").exists():
        raise ModelError(
            f"{path}: not in a run folder, so its classes and pixel range are unknown; "
            f"type: fer-edge export {quote(str(path))} --data SET.npz --labels NAME,NAME --pixels 0..1"
        )
    config = read_config(path.parent)
    metrics = path.parent / "metrics.json"
    temperature = read_json(metrics, "")["temperature"] if metrics.exists() else 1.0
    classes, source, logits = tuple(config["classes"]), config["source"], partial(keras_logits, network)
    size = int(network.input_shape[1])
    colour: InputColour = "rgb" if network.input_shape[3] == 3 else "grey"
    return EvaluatedModel(
        path, classes, size, temperature, source, read_used_pictures(path.parent, source), logits, colour
    )


class EvaluationSet(NamedTuple):
    """Faces to evaluate a model on."""

    faces: FaceSet
    part: str
    """A split, "all", or "unseen": the faces of a data set that the model was not trained or chosen on."""
    used: UsedPictures | None
    """Pictures used in training; None if unknown."""


def load_faces_for(model: EvaluatedModel, data: Path, settings: DataSettings, split: str | None) -> EvaluationSet:
    """Load the faces of `data` to evaluate `model` on, split as for its training.

    Args:
        model: The model to evaluate.
        data: Folder of any known layout, or a prepared set (.npz).
        settings: How to read it; the split follows the model's own settings.
        split: Which split, or "all". None takes the faces that the model was neither trained nor chosen on.

    Raises:
        DataError: No face is left.
    """
    settings = same_split(model.source, settings)
    faces = load_faces(data, size=model.size, settings=settings, known=model.classes, colour=model.colour)
    used = used_in(faces, model.source, model.used)
    if used is None:
        missing = f"{FILE} is missing beside it (fer-edge train --resume RUN and fer-edge export RUN write it)"
        reason = f"{data} has no photo ids; prepare it again" if model.used else missing
        named = f"; its training data: {model.source['name']}" if "name" in model.source else ""
        warn(f"cannot tell whether {model.path} was trained on some of these faces: {reason}{named}")
    if split is None:
        return _unseen(model, data, faces, used)
    part = faces if split == "all" else faces.part(split)
    if len(part) == 0:
        splits = sorted(set(faces.split.tolist()))
        raise DataError(f"{data} has no {split} face; it has {', '.join(splits)}: --split {splits[0]}")
    return EvaluationSet(part, split, used)


def _unseen(model: EvaluatedModel, data: Path, faces: FaceSet, used: UsedPictures | None) -> EvaluationSet:
    """Keep faces not used in training; if that is all of them, the testing or else validation split if there is one."""
    new = np.ones(len(faces), bool) if used is None else used.roles(faces) == ""
    if not new.any():
        raise DataError(
            f"{model.path} was trained or chosen on every face of {data}; give other faces, "
            "or use the faces that its best epoch was chosen on: --split validation"
        )
    if not new.all():
        console.print(f"skipped {np.count_nonzero(~new):,} faces of photos that the model was trained or chosen on")
        faces = faces.take(new)
        return EvaluationSet(faces, "testing" if set(faces.split.tolist()) == {"testing"} else "unseen", used)
    has_splits = data.suffix == ".npz" or faces.source.get("split") == "own"
    held_out = [name for name in ("testing", "validation") if (faces.split == name).any()]
    if has_splits and held_out:
        return EvaluationSet(faces.part(held_out[0]), held_out[0], used)
    return EvaluationSet(faces, "all", used)


def evaluate(model: EvaluatedModel, chosen: EvaluationSet, protocol: Protocol) -> tuple[FaceSet, dict[str, Any]]:
    """Compute all metrics of `model` on the chosen faces that count under `protocol`, and return both.

    Raises:
        DataError: No face is left, or the faces have a class that the model lacks.
    """
    faces = chosen.faces.with_classes(model.classes).under(protocol)
    if len(faces) == 0:
        raise DataError(f"no face counts under the protocol {protocol}; try --protocol all")
    roles = None if chosen.used is None else chosen.used.roles(faces)
    logits = model.logits(faces.faces)
    trained_on = np.zeros(len(faces), bool) if roles is None else roles == "training"
    found = summary(logits, faces.labels, model.classes, model.temperature)
    label, share = baseline({name: row["n"] for name, row in found["per_class"].items()})
    figures = {
        "model": str(model.path),
        "split": chosen.part,
        "protocol": protocol if chosen.faces.voted else "one label per face",
        "classes": model.classes,
        "trained_on": None if roles is None else int(trained_on.sum()),
        "chosen_on": None if roles is None else int((roles == "validation").sum()),
        **found,
        "accuracy_interval": proportion_interval(found["accuracy"] * len(faces), len(faces)),
        "baseline": {"label": label, "accuracy": share},
        "mistakes": _mistakes(faces, softmax(logits, model.temperature)),
    }
    if trained_on.any() and not trained_on.all():
        others = summary(logits[~trained_on], faces.labels[~trained_on], model.classes, model.temperature)
        figures["others"] = {name: others[name] for name in ("n", "accuracy", "balanced_accuracy")}
    return faces, figures


def _mistakes(faces: FaceSet, probabilities: npt.NDArray[np.float64], count: int = 24) -> list[dict[str, Any]]:
    """List the `count` most confident wrong predictions; `row` is an index in `faces`."""
    predicted, scores = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != faces.labels)
    return [
        {
            "row": int(row),
            "picture": str(faces.names[row]),
            "label": faces.classes[faces.labels[row]],
            "prediction": faces.classes[predicted[row]],
            "score": round(float(scores[row]), 4),
        }
        for row in wrong[np.argsort(-scores[wrong], kind="stable")[:count]]
    ]


@contextmanager
def evaluation_folder(project: Path, name: str) -> Iterator[Path]:
    """Create a new folder in `project`; remove it again if the block fails.

    Raises:
        FerEdgeError: The folder cannot be created.
    """
    missing = [folder for folder in (project, *project.parents) if not folder.exists()]
    folder = new_run(project, name)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty
            for created in (folder, *missing):
                created.rmdir()
        raise
