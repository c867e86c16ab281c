"""Judge any model on any faces: a Keras network by Keras, a `.tflite` by the runtime's own code."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from rich.table import Table

from fer_edge.classify import Classifier
from fer_edge.console import console
from fer_edge.errors import DataError, ModelError
from fer_edge.faceset import FaceSet, Protocol
from fer_edge.files import read_json, write_json
from fer_edge.images import Pixels
from fer_edge.metrics import summary
from fer_edge_train.batches import to_input
from fer_edge_train.data_settings import DataSettings
from fer_edge_train.plots import draw_confusion
from fer_edge_train.prepare import load_faces
from fer_edge_train.runs import new_run, read_config


def keras_logits(network: keras.Model, pixels: Pixels) -> npt.NDArray[np.float32]:
    """Run a Keras network on (n, size, size) uint8 grey faces; returns (n, classes) float32 logits."""
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a Keras model that can be read; train again: fer-edge train") from error


@dataclass(frozen=True)
class Judged:
    """A model of either kind, ready to be judged."""

    path: Path
    classes: tuple[str, ...]
    """In output order."""
    size: int
    """Side of the input in pixels."""
    temperature: float
    source: dict[str, Any]
    """The data set that it was trained on (`FaceSet.source`)."""
    logits: Callable[[Pixels], npt.NDArray[np.float32]]
    """From (n, size, size) uint8 grey to (n, classes)."""


def load_judged(path: Path) -> Judged:
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
        return Judged(path, contract.labels, contract.size, contract.temperature, source, classifier.network.logits)
    network = load_network(path)
    config = read_config(path.parent)
    metrics = path.parent / "metrics.json"
    temperature = read_json(metrics, "")["temperature"] if metrics.exists() else 1.0
    logits = partial(keras_logits, network)
    return Judged(path, tuple(config["classes"]), int(network.input_shape[1]), temperature, config["source"], logits)


def load_faces_for(model: Judged, data: Path, settings: DataSettings, split: str | None) -> tuple[FaceSet, str]:
    """Read the faces of `data` to judge `model` on; what it was trained on is divided as it was then.

    Args:
        model: What will be judged.
        data: Folder of any known layout, or a prepared set (.npz).
        settings: How to read it.
        split: Which part, or "all". None takes the testing part, or else the validation part, of the data set that
            the model was trained on and of one that is divided by its makers, and all faces of any other.

    Returns:
        The faces, and the name of the part.

    Raises:
        DataError: There is no such face.
    """
    faces = load_faces(data, size=model.size, settings=settings)
    known = bool(faces.source) and faces.source.get("digest") == model.source.get("digest")
    if known and faces.source.get("settings") != model.source.get("settings"):
        faces = load_faces(data, size=model.size, settings=DataSettings(**model.source["settings"]))
    if split is None:
        divided = known or data.suffix == ".npz" or faces.source.get("split") == "own"
        held_out = [name for name in ("testing", "validation") if (faces.split == name).any()]
        split = held_out[0] if divided and held_out else "all"
    if split == "all":
        return faces, split
    part = faces.part(split)
    if len(part) == 0:
        there = sorted(set(faces.split.tolist()))
        raise DataError(f"{data} has no {split} face; it has {', '.join(there)}: --split {there[0]}")
    return part, split


def evaluate(model: Judged, faces: FaceSet, split: str, protocol: Protocol) -> dict[str, Any]:
    """All figures of `model` on `faces`, the part of a data set called `split`, with the protocol that chose them.

    Raises:
        DataError: No face is left, or the faces have a class that the model does not know.
    """
    judged = faces.with_classes(model.classes).under(protocol)
    if len(judged) == 0:
        raise DataError(f"no face counts under the protocol {protocol}; try --protocol all")
    return {
        "model": str(model.path),
        "split": split,
        "protocol": protocol if faces.voted else "one label per face",
        "classes": model.classes,
        **summary(model.logits(judged.faces), judged.labels, model.classes, model.temperature),
    }


def write_evaluation(project: Path, name: str, figures: dict[str, Any]) -> Path:
    """Write metrics.json and confusion_matrix.png to a new folder below `project`, and return it."""
    folder = new_run(project, name)
    write_json(folder / "metrics.json", figures)
    title = f"{Path(figures['model']).name} on {figures['data']}, {figures['split']}"
    draw_confusion(folder / "confusion_matrix.png", np.array(figures["confusion"]), figures["classes"], title)
    return folder


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
    console.print(f"wrote {folder}")
