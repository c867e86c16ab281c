"""Train a network, or resume a run that was stopped or killed at any moment."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet, drawing_order
from fer_edge.data.metrics import fit_temperature, summary
from fer_edge.data.provenance import write_used_pictures
from fer_edge.errors import DataError
from fer_edge.files import read_json, sha256, write_json
from fer_edge.model.quantization import to_input
from fer_edge.options import update_settings
from fer_edge.versions import installed
from fer_edge_train.config_file import write_config_file
from fer_edge_train.evaluation.evaluate import keras_logits, load_network
from fer_edge_train.runs.folder import SCORE, Row, clear, new_run, read_config, run_lock
from fer_edge_train.runs.plots import draw_confusion, draw_history
from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import Batches
from fer_edge_train.training.class_union import by_data
from fer_edge_train.training.devices import data_parallel
from fer_edge_train.training.epochs import fit_epochs, make_optimizer, resume_line
from fer_edge_train.training.losses import accuracy, training_loss
from fer_edge_train.training.networks import make_network
from fer_edge_train.training.pretrained import BUNDLED_NAME, start_from
from fer_edge_train.training.processes import assert_same, rank_and_count
from fer_edge_train.training.training_set import (
    TrainingSet,
    load_teacher_targets,
    predict_teachers,
    read_training_set,
    save_teacher_targets,
    training_batches,
    validation,
)

TEACHERS = "teachers.npz"
CALIBRATION_FACES = 2000
"""Training faces kept in the run folder to calibrate the export."""


def train(settings: TrainSettings, project: Path, name: str, *, exist_ok: bool = False) -> Path:
    """Start a run and train it to the end.

    Returns:
        The run folder (`fer_edge_train.runs.folder` lists its files).

    Raises:
        FerEdgeError: The data, a setting or the folder cannot be used.
    """
    training_set = read_training_set(settings)
    settings = _absolute_paths(settings)
    validation(training_set, settings.protocol, settings.data)  # fails before there is a folder
    teacher_targets = predict_teachers(training_set, settings)
    batches = training_batches(training_set, settings, teacher_targets)
    assert_same(*_shared_facts(training_set, settings))
    faces = training_set.faces
    network = build_network(settings, batches, faces.classes)
    run = new_run(project, name, exist_ok=exist_ok)
    with run_lock(run):
        clear(run)
        calibration_faces(faces.part("training"), settings.seed).save(run / "calibration.npz")
        faces.take(faces.split != "training").save(run / "heldout.npz")
        write_used_pictures(run, training_set.used, faces.source)
        save_teacher_targets(run / TEACHERS, teacher_targets)
        write_config_file(run / "config.yaml", settings, "fer-edge train --config FILE --data DIR")
        write_json(run / "config.json", _config(settings, faces, network))  # last: without it a run cannot be resumed
        _fit(run, network, training_set, batches, settings)
    return run


def _absolute_paths(settings: TrainSettings) -> TrainSettings:
    """Make paths absolute: --resume may run in another directory."""
    data, teacher = (tuple(str(Path(path).resolve()) for path in paths) for paths in (settings.data, settings.teacher))
    unlabelled = str(Path(settings.unlabelled).resolve()) if settings.unlabelled else ""
    pretrained = settings.pretrained
    if pretrained not in ("", BUNDLED_NAME):
        pretrained = str(Path(pretrained).resolve())
    return replace(settings, data=data, teacher=teacher, unlabelled=unlabelled, pretrained=pretrained)


def resume(run: Path) -> Path:
    """Resume a run from its last complete epoch.

    Raises:
        FerEdgeError: `run` is not a run folder, another process trains in it, or its data set has changed.
    """
    config = read_config(run)
    with run_lock(run):
        _resume(run, config)
    return run


def _resume(run: Path, config: dict[str, Any]) -> None:
    settings = update_settings(TrainSettings(), config["settings"], f"{run}/config.json")
    training_set = read_training_set(settings, tuple(config["classes"]))
    for name in ("digest", "unlabelled"):
        if training_set.faces.source.get(name) != config["source"].get(name):
            changed = settings.unlabelled if name == "unlabelled" else " or ".join(settings.data)
            raise DataError(f"{changed} has changed since {run} was started; start a new run without --resume")
    write_used_pictures(run, training_set.used, config["source"])  # runs of older versions have none
    batches = training_batches(
        training_set, settings, load_teacher_targets(run / TEACHERS) if settings.teacher else None
    )
    checkpoint = run / "last.keras"
    assert_same(
        *_shared_facts(training_set, settings), sha256(checkpoint.read_bytes()) if checkpoint.exists() else None
    )
    if checkpoint.exists():
        keras.utils.set_random_seed(settings.seed)  # every process needs the same initial weights
        with data_parallel(batches.batch):
            network = load_network(checkpoint, with_optimizer=True)
    else:
        network = build_network(settings, batches, training_set.faces.classes)
    _fit(run, network, training_set, batches, settings)


def _shared_facts(training_set: TrainingSet, settings: TrainSettings) -> tuple[object, object]:
    """What must be the same in every process; paths may differ."""
    own = ("data", "teacher", "unlabelled", "pretrained", "reading", "tensorboard")
    return training_set.faces.source, {name: value for name, value in asdict(settings).items() if name not in own}


def calibration_faces(training: FaceSet, seed: int) -> FaceSet:
    """Sample the training faces kept for calibration: up to 100 of each class, the rest at random."""
    order = drawing_order(training.names.tolist(), seed)
    labels = training.labels[order]
    rank = np.empty(len(order), int)  # how many faces of its class come before each face
    for label in range(len(training.classes)):
        rank[labels == label] = np.arange((labels == label).sum())
    first = np.lexsort((np.arange(len(order)), rank >= 100))
    return training.take(np.sort(order[first[:CALIBRATION_FACES]]))


def build_network(settings: TrainSettings, batches: Batches, classes: tuple[str, ...]) -> keras.Model:
    """Build and compile a new network for `batches`, whose targets are of `classes`."""
    keras.utils.clear_session()  # otherwise layer names continue from an earlier network of this process
    keras.utils.set_random_seed(settings.seed)
    with data_parallel(batches.batch):
        network = make_network(settings.network, len(classes), settings.imgsz)
        if settings.pretrained:
            start_from(network, settings.pretrained, classes)
        optimizer, loss = make_optimizer(settings, len(batches)), training_loss(batches.priors, settings)
        network.compile(optimizer=optimizer, loss=loss, metrics=[accuracy], weighted_metrics=[])
    return network


def _fit(run: Path, network: keras.Model, training_set: TrainingSet, batches: Batches, settings: TrainSettings) -> None:
    faces, labels = validation(training_set, settings.protocol, settings.data)
    rows = fit_epochs(run, network, batches, settings, score=SCORE, validation=(to_input(faces.faces), labels))
    if rank_and_count()[0] == 0:
        _report(run, training_set, rows, settings)


def _report(run: Path, training_set: TrainingSet, rows: list[Row], settings: TrainSettings) -> None:
    """Evaluate best.keras on every held-out face, fit its temperature on validation, and draw both plots."""
    network, faces = load_network(run / "best.keras"), training_set.faces
    held_out = {"validation": validation(training_set, settings.protocol, settings.data)[0]}
    if len(testing := faces.part("testing").under(settings.protocol)):
        held_out["testing"] = testing
    logits = {split: keras_logits(network, part.faces) for split, part in held_out.items()}
    temperature = fit_temperature(logits["validation"], held_out["validation"].labels)
    best = max(rows, key=lambda row: row[SCORE])
    metrics: dict[str, Any] = {
        "best_epoch": int(best["epoch"]),
        "epochs": len(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "protocol": settings.protocol if faces.voted else "one label per face",
        "temperature": temperature,
    }
    for split, part in held_out.items():
        metrics[split] = summary(logits[split], part.labels, faces.classes, temperature)
        if len(settings.data) > 1:
            metrics[split]["by_data"] = by_data(part, logits[split], temperature)
    write_json(run / "metrics.json", metrics)
    draw_history(run / "history.png", rows)
    draw_confusion(run / "confusion_matrix.png", np.array(metrics[split]["confusion"]), faces.classes, split)


def _config(settings: TrainSettings, faces: FaceSet, network: keras.Model) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "classes": faces.classes,
        "network": {"name": settings.network, "parameters": network.count_params(), "size": settings.imgsz},
        "faces": {split: faces.part(split).counts() for split in sorted(set(faces.split.tolist()))},
        "source": faces.source,
        "made_with": installed(("fer-edge", "keras", keras.backend.backend())),
    }


def figures(run: Path) -> dict[str, Any]:
    """Metrics of a finished run for `--json`: its folder and metrics.json."""
    return {"run": str(run), **read_json(run / "metrics.json", f"finish the run: {resume_line(run)}")}


def show(run: Path) -> None:
    """Print the metrics of a finished run and the next command."""
    metrics = figures(run)
    for split in ("validation", "testing"):
        if split in metrics:
            result = metrics[split]
            console.print(
                f"{split}, {result['n']} faces ({metrics['protocol']}): accuracy {result['accuracy']:.2%}, "
                f"balanced {result['balanced_accuracy']:.2%}, best epoch {metrics['best_epoch']}"
            )
            for data, part in result.get("by_data", {}).items():
                console.print(f"  {data}, {part['n']} faces: accuracy {part['accuracy']:.2%}")
    console.print(f"wrote {run}; next: fer-edge export {shlex.quote(str(run))}")
