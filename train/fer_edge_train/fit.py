"""Fit a network on faces, epoch by epoch, so that a run killed at any moment goes on where it stood."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.console import console
from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet
from fer_edge.files import read_json, write_json
from fer_edge.metrics import fit_temperature, summary
from fer_edge.versions import installed
from fer_edge_train.batches import Batches, class_weights, targets, to_input
from fer_edge_train.callbacks import Averaging, EpochProgress, Recorder
from fer_edge_train.evaluate import keras_logits, load_network
from fer_edge_train.networks import make_network
from fer_edge_train.plots import draw_confusion, draw_history
from fer_edge_train.prepare import load_faces
from fer_edge_train.runs import Row, new_run, read_config, read_history
from fer_edge_train.settings import TrainSettings, settings_from

TRAIN_ON = "finish the run: fer-edge train --resume {run}"
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
    settings = replace(settings, data=str(Path(settings.data).resolve()))  # --resume may be typed elsewhere
    keras.utils.set_random_seed(settings.seed)
    network = make_network(settings.network, len(faces.classes), settings.size)
    _compile(network, settings, _training_batches(faces, settings))
    _validation(faces, settings)  # refused before there is a folder
    run = new_run(project, name, exist_ok=exist_ok)
    for leftover in ("history.csv", "last.keras", "best.keras"):
        (run / leftover).unlink(missing_ok=True)
    write_json(run / "config.json", _config(settings, faces, network))
    calibration_faces(faces.part("training"), settings.seed).save(run / "calibration.npz")
    faces.take(faces.split != "training").save(run / "heldout.npz")
    _fit(run, network, faces, settings)
    return run


def resume(run: Path) -> Path:
    """Go on with a run that was stopped, from its last whole epoch.

    Raises:
        FerEdgeError: `run` is no run folder, or its data set has changed since.
    """
    config = read_config(run)
    settings = settings_from(config)
    faces = load_faces(Path(settings.data), size=settings.size, settings=settings.reading)
    if faces.source.get("digest") != config["source"].get("digest"):
        raise DataError(f"{settings.data} has changed since {run} was started; start a new run without --resume")
    if (run / "last.keras").exists():
        network = load_network(run / "last.keras", to_train=True)
    else:
        keras.utils.set_random_seed(settings.seed)
        network = make_network(settings.network, len(faces.classes), settings.size)
        _compile(network, settings, _training_batches(faces, settings))
    _fit(run, network, faces, settings)
    return run


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
    kept, chosen = targets(faces.part("training"), settings.labels)
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
    steps = len(batches) * settings.epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=min(3 * len(batches), steps // 10),
        decay_steps=max(1, steps - min(3 * len(batches), steps // 10)),
        alpha=0.01,
    )
    averaging = {"use_ema": settings.ema > 0, "ema_momentum": settings.ema}
    if settings.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, **averaging)
    elif settings.optimizer == "adam":
        optimizer = keras.optimizers.Adam(schedule, **averaging)
    else:
        raise UsageError(f"--optimizer {settings.optimizer}: unknown; choose adamw or adam")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], weighted_metrics=[])


def _fit(run: Path, network: keras.Model, faces: FaceSet, settings: TrainSettings) -> None:
    batches = _training_batches(faces, settings)
    epoch = int(network.optimizer.iterations) // len(batches)
    rows = read_history(run / "history.csv")[:epoch]
    validation = _validation(faces, settings)
    recorder = Recorder(run, batches, rows, settings)
    if epoch < settings.epochs and not recorder.exhausted:
        truth = np.eye(len(faces.classes), dtype=np.float32)[validation.labels]
        averaging = [Averaging(resumed=epoch > 0)] if settings.ema > 0 else []  # first: the others see its weights
        try:
            with EpochProgress(settings.epochs, settings.batch) as shown:
                network.fit(
                    batches,
                    validation_data=(to_input(validation.faces), truth),
                    validation_batch_size=512,
                    epochs=settings.epochs,
                    initial_epoch=epoch,
                    callbacks=[*averaging, recorder, shown],
                    shuffle=False,  # Batches shuffles, by the seed
                    verbose=0,
                )
        except KeyboardInterrupt:
            console.print(f"to go on with this run: fer-edge train --resume {run}")
            raise
    _report(run, faces, recorder.rows, settings)


def _report(run: Path, faces: FaceSet, rows: list[Row], settings: TrainSettings) -> None:
    """Judge best.keras on every held-out face, fit its temperature on validation, and draw both pictures."""
    network = load_network(run / "best.keras")
    validation = _validation(faces, settings)
    logits = keras_logits(network, validation.faces)
    temperature = fit_temperature(logits, validation.labels)
    best = max(rows, key=lambda row: row["val_accuracy"])
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
    draw_history(run / "history.png", rows)
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
    return {"run": str(run), **read_json(run / "metrics.json", TRAIN_ON.format(run=run))}


def show(run: Path) -> None:
    """Tell people how a finished run went, and what to type next."""
    metrics = read_json(run / "metrics.json", TRAIN_ON.format(run=run))
    for split in ("validation", "testing"):
        if split in metrics:
            judged = metrics[split]
            console.print(
                f"{split}, {judged['n']} faces ({metrics['protocol']}): accuracy {judged['accuracy']:.2%}, "
                f"balanced {judged['balanced_accuracy']:.2%}, best epoch {metrics['best_epoch']}"
            )
    console.print(f"wrote {run}; next: fer-edge export {run}")


def wake_backend() -> None:
    """Let Keras's engine look for its devices now, where its start-up messages can be kept from the user."""
    keras.ops.zeros(1)
