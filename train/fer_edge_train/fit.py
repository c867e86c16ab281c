"""Fit a network on faces, epoch by epoch, so that a run killed at any moment goes on where it stood."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.console import console, warn
from fer_edge.errors import DataError
from fer_edge.faceset import FaceSet
from fer_edge.files import read_json, write_json
from fer_edge.metrics import fit_temperature, summary
from fer_edge.seen import Seen, write_seen
from fer_edge.versions import installed
from fer_edge_train.batches import Batches, class_weights, targets, to_input
from fer_edge_train.detector import fit as detector
from fer_edge_train.epochs import fit_epochs, make_optimizer, resume_line
from fer_edge_train.evaluate import keras_logits, load_network
from fer_edge_train.networks import make_network
from fer_edge_train.plots import draw_confusion, draw_history
from fer_edge_train.prepare import load_faces
from fer_edge_train.runs import Row, alone_in, clear, new_run, read_config
from fer_edge_train.settings import TrainSettings, settings_from
from fer_edge_train.split import doubts_of

SCORE = "val_accuracy"
"""The figure of validation whose highest value chooses the best epoch."""
PANELS = {
    "loss": {"training": "loss", "validation": "val_loss"},
    "accuracy": {"training": "accuracy", "validation": "val_accuracy"},
}
CALIBRATION_FACES = 2000
"""Training faces that a run folder keeps for the export's calibration."""


def train(settings: TrainSettings, project: Path, name: str, *, exist_ok: bool = False) -> Path:
    """Start a run and train it to its end.

    Returns:
        The run folder (`fer_edge_train.runs` lists its files).

    Raises:
        FerEdgeError: The data, a setting or the folder cannot be used.
    """
    faces = load_faces(Path(settings.data), size=settings.size, settings=settings.reading)
    for doubt in doubts_of(faces):
        warn(doubt)
    settings = replace(settings, data=str(Path(settings.data).resolve()))  # --resume may be typed elsewhere
    keras.utils.set_random_seed(settings.seed)
    network = make_network(settings.network, len(faces.classes), settings.size)
    _compile(network, settings, _training_batches(faces, settings))
    _validation(faces, settings)  # refused before there is a folder
    run = new_run(project, name, exist_ok=exist_ok)
    with alone_in(run):
        clear(run)
        calibration_faces(faces.part("training"), settings.seed).save(run / "calibration.npz")
        faces.take(faces.split != "training").save(run / "heldout.npz")
        write_seen(run, Seen.of(faces), faces.source)
        write_json(run / "config.json", _config(settings, faces, network))  # last: what lacks it cannot be resumed
        _fit(run, network, faces, settings)
    return run


def resume(run: Path) -> Path:
    """Go on with a run that was stopped, from its last whole epoch.

    Raises:
        FerEdgeError: `run` is no run folder, another training goes on in it, or its data set has changed since.
    """
    config = read_config(run)
    if config.get("task") == detector.TASK:
        detector.resume(run, config)
        return run
    with alone_in(run):
        _go_on(run, config)
    return run


def _go_on(run: Path, config: dict[str, Any]) -> None:
    settings = settings_from(config)
    faces = load_faces(Path(settings.data), size=settings.size, settings=settings.reading)
    if faces.source.get("digest") != config["source"].get("digest"):
        raise DataError(f"{settings.data} has changed since {run} was started; start a new run without --resume")
    write_seen(run, Seen.of(faces), config["source"])  # a run that an older fer-edge made has none
    if (run / "last.keras").exists():
        network = load_network(run / "last.keras", to_train=True)
    else:
        keras.utils.set_random_seed(settings.seed)
        network = make_network(settings.network, len(faces.classes), settings.size)
        _compile(network, settings, _training_batches(faces, settings))
    _fit(run, network, faces, settings)


def calibration_faces(training: FaceSet, seed: int) -> FaceSet:
    """Choose the training faces that the run folder keeps: up to 100 of each class, the rest at random."""
    order = np.random.default_rng(seed).permutation(len(training))
    labels = training.labels[order]
    rank = np.empty(len(order), int)  # how many faces of its class stand before each face
    for label in range(len(training.classes)):
        rank[labels == label] = np.arange((labels == label).sum())
    first = np.lexsort((np.arange(len(order)), rank >= 100))
    return training.take(np.sort(order[first[:CALIBRATION_FACES]]))


def _training_batches(faces: FaceSet, settings: TrainSettings) -> Batches:
    training = faces.part("training")
    if len(training) == 0:
        raise DataError(
            f"{settings.data} has no training face, only {' and '.join(sorted(set(faces.split.tolist())))} ones; give "
            "class folders without splits, which are divided for you: fer-edge train --data DIR"
        )
    kept, chosen = targets(training, settings.labels)
    weights = class_weights(chosen) if settings.class_weights else np.ones(len(kept), np.float32)
    return Batches(kept.faces, chosen, weights, settings.batch, settings.seed, settings.augmentation)


def _validation(faces: FaceSet, settings: TrainSettings) -> FaceSet:
    validation = faces.part("validation").under(settings.protocol)
    if len(validation) == 0:
        raise DataError(
            f"{settings.data} has no validation face; make another: fer-edge prepare --data DIR --out SET.npz"
        )
    return validation


def _compile(network: keras.Model, settings: TrainSettings, batches: Batches) -> None:
    optimizer = make_optimizer(
        settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        ema=settings.ema,
        epochs=settings.epochs,
        steps=len(batches),
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], weighted_metrics=[])


def _fit(run: Path, network: keras.Model, faces: FaceSet, settings: TrainSettings) -> None:
    validation = _validation(faces, settings)
    truth = np.eye(len(faces.classes), dtype=np.float32)[validation.labels]
    rows = fit_epochs(
        run,
        network,
        _training_batches(faces, settings),
        epochs=settings.epochs,
        ema=settings.ema,
        score=SCORE,
        patience=settings.patience,
        seed=settings.seed,
        validation=(to_input(validation.faces), truth),
    )
    _report(run, faces, rows, settings)


def _report(run: Path, faces: FaceSet, rows: list[Row], settings: TrainSettings) -> None:
    """Judge best.keras on every held-out face, fit its temperature on validation, and draw both pictures."""
    network = load_network(run / "best.keras")
    validation = _validation(faces, settings)
    logits = keras_logits(network, validation.faces)
    temperature = fit_temperature(logits, validation.labels)
    best = max(rows, key=lambda row: row[SCORE])
    metrics: dict[str, Any] = {
        "best_epoch": int(best["epoch"]),
        "epochs": len(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "protocol": settings.protocol if faces.voted else "one label per face",
        "temperature": temperature,
        "validation": summary(logits, validation.labels, faces.classes, temperature),
    }
    testing = faces.part("testing").under(settings.protocol)
    if len(testing):
        logits = keras_logits(network, testing.faces)
        metrics["testing"] = summary(logits, testing.labels, faces.classes, temperature)
    write_json(run / "metrics.json", metrics)
    draw_history(run / "history.png", rows, PANELS, SCORE)
    shown = "testing" if "testing" in metrics else "validation"
    draw_confusion(run / "confusion_matrix.png", np.array(metrics[shown]["confusion"]), faces.classes, shown)


def _config(settings: TrainSettings, faces: FaceSet, network: keras.Model) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "classes": faces.classes,
        "network": {"name": settings.network, "parameters": network.count_params(), "size": settings.size},
        "faces": {split: faces.part(split).counts() for split in sorted(set(faces.split.tolist()))},
        "source": faces.source,
        "made_with": installed(("fer-edge", "keras", keras.backend.backend())),
    }


def figures(run: Path) -> dict[str, Any]:
    """What a program wants to know of a finished run: its folder, and metrics.json."""
    return {"run": str(run), **read_json(run / "metrics.json", f"finish the run: {resume_line(run)}")}


def show(run: Path) -> None:
    """Tell people how a finished run went, and what to type next."""
    if read_config(run).get("task") == detector.TASK:
        detector.show(run)
        return
    metrics = figures(run)
    for split in ("validation", "testing"):
        if split in metrics:
            judged = metrics[split]
            console.print(
                f"{split}, {judged['n']} faces ({metrics['protocol']}): accuracy {judged['accuracy']:.2%}, "
                f"balanced {judged['balanced_accuracy']:.2%}, best epoch {metrics['best_epoch']}"
            )
    console.print(f"wrote {run}; next: fer-edge export {shlex.quote(str(run))}")


def wake_backend() -> None:
    """Let Keras's engine look for its devices now, where its start-up messages can be kept from the user."""
    keras.ops.zeros(1)
