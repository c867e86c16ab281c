"""Judge any model on any faces: a Keras network by Keras, a `.tflite` by the runtime's own code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from rich.table import Table

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet, Protocol
from fer_edge.data.metrics import summary
from fer_edge.data.provenance import FILE, UsedPictures, read_used_pictures, used_in
from fer_edge.errors import DAMAGE, DataError, ModelError
from fer_edge.files import read_json, write_json
from fer_edge.imaging.images import InputColour, Pixels
from fer_edge.model.quantization import to_input
from fer_edge.recognition.classifier import Classifier
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import divided_as
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.runs.folder import new_run, read_config
from fer_edge_train.runs.plots import draw_confusion


def keras_logits(network: keras.Model, pixels: Pixels) -> npt.NDArray[np.float32]:
    """Run a Keras network on (n, size, size) grey or (n, size, size, 3) RGB faces; returns (n, classes) logits."""
    return np.asarray(network.predict(to_input(pixels), batch_size=512, verbose=0), np.float32)


def load_network(path: Path, *, to_train: bool = False) -> keras.Model:
    """Read a `.keras` file; `to_train` with its optimizer.

    Raises:
        ModelError: The file is missing or damaged, or runs code of its own.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; a run folder holds best.keras and last.keras")
    try:
        return keras.models.load_model(path, compile=to_train, safe_mode=True)
    except DAMAGE as error:
        raise ModelError(f"{path}: not a Keras model that can be read; train again: fer-edge train") from error


@dataclass(frozen=True)
class EvaluatedModel:
    """A model of either kind, ready to be judged."""

    path: Path
    classes: tuple[str, ...]
    """In output order."""
    size: int
    """Side of the input in pixels."""
    temperature: float
    source: dict[str, Any]
    """The data set that it was trained on (`FaceSet.source`)."""
    seen: UsedPictures | None
    """The pictures that it was trained and chosen on; None where nothing beside it tells them."""
    logits: Callable[[Pixels], npt.NDArray[np.float32]]
    """From (n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB, to (n, classes)."""
    colour: InputColour = "grey"
    """What it looks at."""


def load_model(path: Path) -> EvaluatedModel:
    """Load a `.tflite`, a `.keras` in its run folder, or the best weights of a run folder.

    Raises:
        FerEdgeError: The file cannot be used, or a `.keras` lies in no run folder and so has no class names.
    """
    if path.is_dir():
        path = path / "best.keras"
    if path.suffix != ".keras":
        classifier = Classifier(path)
        contract = classifier.contract
        source = contract.data.get("training", {})
        seen = read_used_pictures(path.parent, source)
        logits = classifier.network.logits
        size, temperature = contract.size, contract.temperature
        return EvaluatedModel(path, contract.labels, size, temperature, source, seen, logits, contract.colour)
    network = load_network(path)
    config = read_config(path.parent)
    metrics = path.parent / "metrics.json"
    temperature = read_json(metrics, "")["temperature"] if metrics.exists() else 1.0
    classes, source, logits = tuple(config["classes"]), config["source"], partial(keras_logits, network)
    size = int(network.input_shape[1])
    colour: InputColour = "rgb" if network.input_shape[3] == 3 else "grey"
    return EvaluatedModel(
        path, classes, size, temperature, source, read_used_pictures(path.parent, source), logits, colour
    )


class ChosenFaces(NamedTuple):
    """Faces to judge a model on."""

    faces: FaceSet
    part: str
    """A split, all, or unseen: what is left of a data set of which the model has met some."""
    seen: UsedPictures | None
    """What the model has met; None where that cannot be known."""


def load_faces_for(model: EvaluatedModel, data: Path, settings: DataSettings, split: str | None) -> ChosenFaces:
    """Read the faces of `data` to judge `model` on; they are divided as those that it was trained on were.

    Args:
        model: What will be judged.
        data: Folder of any known layout, or a prepared set (.npz).
        settings: How to read it; the model's own settings say how to divide it.
        split: Which part, or "all". None takes the faces that the model was neither trained nor chosen on.

    Raises:
        DataError: There is no such face.
    """
    settings = divided_as(model.source, settings)
    faces = load_faces(data, size=model.size, settings=settings, known=model.classes, colour=model.colour)
    seen = used_in(faces, model.source, model.seen)
    if seen is None:
        lacking = f"no {FILE} lies beside it (fer-edge train --resume RUN and fer-edge export RUN leave one)"
        unknown = f"{data} does not tell its photos; prepare it again" if model.seen else lacking
        named = f"; it says it was trained on: {model.source['name']}" if "name" in model.source else ""
        warn(f"cannot tell whether {model.path} was trained on some of these faces: {unknown}{named}")
    if split is None:
        return _unseen(model, data, faces, seen)
    part = faces if split == "all" else faces.part(split)
    if len(part) == 0:
        there = sorted(set(faces.split.tolist()))
        raise DataError(f"{data} has no {split} face; it has {', '.join(there)}: --split {there[0]}")
    return ChosenFaces(part, split, seen)


def _unseen(model: EvaluatedModel, data: Path, faces: FaceSet, seen: UsedPictures | None) -> ChosenFaces:
    """Keep what the model never met; where that is all, the testing part, or validation part, of a divided data set."""
    new = np.ones(len(faces), bool) if seen is None else seen.roles(faces) == ""
    if not new.any():
        raise DataError(
            f"{model.path} was trained or chosen on every face of {data}; give other faces, "
            "or judge it on those that its best epoch was chosen on: --split validation"
        )
    if not new.all():
        console.print(f"left out {np.count_nonzero(~new):,} faces of photos that the model was trained or chosen on")
        faces = faces.take(new)
        return ChosenFaces(faces, "testing" if set(faces.split.tolist()) == {"testing"} else "unseen", seen)
    divided = data.suffix == ".npz" or faces.source.get("split") == "own"
    held_out = [name for name in ("testing", "validation") if (faces.split == name).any()]
    if divided and held_out:
        return ChosenFaces(faces.part(held_out[0]), held_out[0], seen)
    return ChosenFaces(faces, "all", seen)


def evaluate(model: EvaluatedModel, chosen: ChosenFaces, protocol: Protocol) -> dict[str, Any]:
    """All figures of `model` on the chosen faces, with the protocol that they count under.

    Raises:
        DataError: No face is left, or the faces have a class that the model does not know.
    """
    judged = chosen.faces.with_classes(model.classes).under(protocol)
    if len(judged) == 0:
        raise DataError(f"no face counts under the protocol {protocol}; try --protocol all")
    roles = None if chosen.seen is None else chosen.seen.roles(judged)
    logits = model.logits(judged.faces)
    met = np.zeros(len(judged), bool) if roles is None else roles == "training"
    figures = {
        "model": str(model.path),
        "split": chosen.part,
        "protocol": protocol if chosen.faces.voted else "one label per face",
        "classes": model.classes,
        "trained_on": None if roles is None else int(met.sum()),
        "chosen_on": None if roles is None else int((roles == "validation").sum()),
        **summary(logits, judged.labels, model.classes, model.temperature),
    }
    if met.any() and not met.all():
        others = summary(logits[~met], judged.labels[~met], model.classes, model.temperature)
        figures["others"] = {name: others[name] for name in ("n", "accuracy", "balanced_accuracy")}
    return figures


@contextmanager
def evaluation_folder(project: Path, name: str) -> Iterator[Path]:
    """Make a new folder below `project`, before the work whose result goes there; it vanishes if that fails.

    Raises:
        FerEdgeError: The folder cannot be made.
    """
    missing = [folder for folder in (project, *project.parents) if not folder.exists()]
    folder = new_run(project, name)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # something lies in it
            for made in (folder, *missing):
                made.rmdir()
        raise


def write_evaluation(folder: Path, figures: dict[str, Any]) -> None:
    """Write metrics.json and confusion_matrix.png to `folder`."""
    write_json(folder / "metrics.json", figures)
    title = f"{Path(figures['model']).name} on {figures['data']}, {figures['split']}"
    draw_confusion(folder / "confusion_matrix.png", np.array(figures["confusion"]), figures["classes"], title)


def show(figures: dict[str, Any], folder: Path) -> None:
    """Tell people the figures, and where they lie."""
    table = Table("class", "faces", "recall")
    for name, row in figures["per_class"].items():
        table.add_row(name, str(row["n"]), f"{row['recall']:.1%}" if row["n"] else "-")
    console.print(table)
    console.print(
        f"{figures['split']}, {figures['n']} faces ({figures['protocol']}): accuracy {figures['accuracy']:.2%}, "
        f"balanced {figures['balanced_accuracy']:.2%}, macro-F1 {figures['macro_f1']:.3f}, "
        f"calibration error {figures['calibration_error']:.3f}"
    )
    if figures["trained_on"] is not None:
        console.print(
            f"of these {figures['n']:,} faces the model was trained on {figures['trained_on']:,}, "
            f"and its best epoch chosen on {figures['chosen_on']:,}"
        )
    if "others" in figures:
        others = figures["others"]
        console.print(
            f"on the {others['n']:,} that it was not trained on: accuracy {others['accuracy']:.2%}, "
            f"balanced {others['balanced_accuracy']:.2%}"
        )
    console.print(f"wrote {folder}")
