"""Fit the face detector on photos with marked faces; a run killed at any moment goes on where it stood."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.console import console, warn
from fer_edge.detection_metrics import FALSE_PER_PHOTO, SMALLEST, figures
from fer_edge.errors import DataError, ModelError
from fer_edge.faceset import FaceSet
from fer_edge.files import read_json, write_json
from fer_edge.photoset import Photo, PhotoSet
from fer_edge.versions import installed
from fer_edge_train.config_file import filled, write_config_file
from fer_edge_train.detector.batches import SceneBatches
from fer_edge_train.detector.judge import Validation, judged_photos
from fer_edge_train.detector.network import face_detector
from fer_edge_train.detector.photos import read_photos
from fer_edge_train.detector.settings import DetectorSettings
from fer_edge_train.detector.targets import geometry_loss, heat_loss
from fer_edge_train.epochs import fit_epochs, make_optimizer, resume_line
from fer_edge_train.evaluate import load_network
from fer_edge_train.plots import draw_history
from fer_edge_train.runs import Row, alone_in, clear, new_run

TASK = "detect"
SCORE = "val_recall"
LOSSES = {"heat": heat_loss, "geometry": geometry_loss}
WEIGHTS = {"heat": 4.0, "geometry": 1.0}
"""Of the losses; so both move the network alike in the first epochs."""
PANELS = {
    "loss": {"all": "loss", "heat": "heat_loss", "geometry": "geometry_loss"},
    f"recall at {FALSE_PER_PHOTO:g} false per photo": {"validation": SCORE},
}
CALIBRATION_PHOTOS = 300
"""Training photos that a run folder keeps for the export's calibration."""


def train(settings: DetectorSettings, project: Path, name: str, *, exist_ok: bool = False) -> Path:
    """Start a run and train it to its end.

    Returns:
        The run folder (`fer_edge_train.runs` lists its files).

    Raises:
        FerEdgeError: The data, a setting or the folder cannot be used.
    """
    data, crops, pretrained = (
        str(Path(path).resolve()) if path else "" for path in (settings.data, settings.crops, settings.pretrained)
    )
    settings = replace(settings, data=data, crops=crops, pretrained=pretrained)  # --resume may be typed elsewhere
    photos, batches = _read(settings)
    network = _made(settings, batches)
    run = new_run(project, name, exist_ok=exist_ok)
    with alone_in(run):
        clear(run)
        _kept(photos, settings.seed).save(run / "photos.npz")
        write_config_file(run / "config.yaml", settings, "fer-edge train --task detect --config FILE --data DIR")
        write_json(run / "config.json", _config(settings, photos, network))  # last: what lacks it cannot be resumed
        _fit(run, network, photos, batches, settings)
    return run


def resume(run: Path, config: dict[str, Any]) -> None:
    """Go on with a run that was stopped, from its last whole epoch.

    Raises:
        FerEdgeError: Another training goes on in it, or its data has changed since.
    """
    with alone_in(run):
        settings = filled(DetectorSettings(), config["settings"], f"{run}/config.json")
        photos, batches = _read(settings)
        if photos.source["digest"] != config["source"].get("digest"):
            raise DataError(f"{settings.data} has changed since {run} was started; start a new run without --resume")
        if (run / "last.keras").exists():
            own = {loss.__name__: loss for loss in LOSSES.values()}
            network = load_network(run / "last.keras", to_train=True, custom_objects=own)
        else:
            network = _made(settings, batches)
        _fit(run, network, photos, batches, settings)


def _read(settings: DetectorSettings) -> tuple[PhotoSet, SceneBatches]:
    photos, skipped = read_photos(Path(settings.data), settings.seed)
    if settings.terms:
        photos = replace(photos, source={**photos.source, "terms": settings.terms})
    if skipped:
        first = f"{skipped[0].origin}: {skipped[0].reason}"
        warn(f"{len(skipped):,} photos of {settings.data} are left out, the first is {first}")
    for split in ("training", "validation"):
        if not any(len(photo.boxes) for photo in photos.part(split)):
            raise DataError(
                f"{settings.data} has no {split} photo with a face; faces.csv needs more rows of split train"
            )
    if settings.crops:
        crops = _crops(Path(settings.crops))
        photos = replace(photos, source={**photos.source, "crops": crops.source})
        return photos, SceneBatches(photos.part("training"), crops.faces, settings)
    return photos, SceneBatches(photos.part("training"), None, settings)


def _crops(path: Path) -> FaceSet:
    """Ready face crops for training; those that the set holds out stay unseen."""
    crops = FaceSet.load(path).part("training")
    if len(crops) == 0:
        raise DataError(f"{path} has no training face to lay over photos")
    return crops


def _made(settings: DetectorSettings, batches: SceneBatches) -> keras.Model:
    keras.utils.set_random_seed(settings.seed)
    network = face_detector(settings.height, settings.width)
    if settings.pretrained:
        _take_weights(network, Path(settings.pretrained))
    optimizer = make_optimizer(
        "adamw",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        ema=settings.ema,
        epochs=settings.epochs,
        steps=len(batches),
    )
    network.compile(optimizer=optimizer, loss=LOSSES, loss_weights=WEIGHTS)
    return network


def _take_weights(network: keras.Model, path: Path) -> None:
    """Give `network` the weights of another of its kind, whose input may have another size.

    Args:
        network: As made.
        path: A `.keras` file, or a run folder for its best one.

    Raises:
        ModelError: The file cannot be read, or holds a network of another kind.
    """
    path = path / "best.keras" if path.is_dir() else path
    weights = load_network(path).get_weights()
    if [own.shape for own in network.get_weights()] != [given.shape for given in weights]:
        raise ModelError(f"pretrained: {path} holds no {network.name} network; name a run of --task detect")
    network.set_weights(weights)


def _kept(photos: PhotoSet, seed: int) -> PhotoSet:
    """What `fer-edge export` needs: some training photos to calibrate with, and all that were held out."""
    training = photos.part("training")
    chosen = np.random.default_rng(seed).permutation(len(training))[:CALIBRATION_PHOTOS]
    held_out: list[Photo] = [*photos.part("validation"), *photos.part("testing")]
    return PhotoSet([*(training[index] for index in sorted(chosen)), *held_out], photos.source)


def _fit(run: Path, network: keras.Model, photos: PhotoSet, batches: SceneBatches, settings: DetectorSettings) -> None:
    validation = photos.part("validation")
    rows = fit_epochs(
        run,
        network,
        batches,
        epochs=settings.epochs,
        ema=settings.ema,
        score=SCORE,
        patience=settings.patience,
        seed=settings.seed,
        tensorboard=settings.tensorboard,
        judges=[Validation(validation)],
    )
    _report(run, photos, rows)


def _report(run: Path, photos: PhotoSet, rows: list[Row]) -> None:
    """Judge best.keras on the held-out photos, and draw the learning curves."""
    network = load_network(run / "best.keras")
    best = max(rows, key=lambda row: row[SCORE])
    metrics: dict[str, Any] = {
        "best_epoch": int(best["epoch"]),
        "epochs": len(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "smallest_face": SMALLEST,
        "false_per_photo": FALSE_PER_PHOTO,
    }
    for split in ("validation", "testing"):
        held_out = photos.part(split)
        if held_out:
            curve = judged_photos(network, held_out)
            metrics[split] = {"photos": curve.photos, "faces": curve.faces, **figures(curve)}
    write_json(run / "metrics.json", metrics)
    draw_history(run / "history.png", rows, PANELS, SCORE)


def _config(settings: DetectorSettings, photos: PhotoSet, network: keras.Model) -> dict[str, Any]:
    return {
        "task": TASK,
        "settings": asdict(settings),
        "network": {
            "name": network.name,
            "parameters": network.count_params(),
            "width": settings.width,
            "height": settings.height,
        },
        "photos": {split: len(photos.part(split)) for split in ("training", "validation", "testing")},
        "source": photos.source,
        "made_with": installed(("fer-edge", "keras", keras.backend.backend())),
    }


def show(run: Path) -> None:
    """Tell people how a finished run went, and what to type next."""
    metrics = read_json(run / "metrics.json", f"finish the run: {resume_line(run)}")
    for split in ("validation", "testing"):
        if split in metrics:
            judged = metrics[split]
            console.print(
                f"{split}, {judged['photos']} photos: finds {judged['recall']:.2%} of {judged['faces']:,} faces from "
                f"{metrics['smallest_face']:g} pixels on at {metrics['false_per_photo']:g} false alarms per photo "
                f"(threshold {judged['threshold']:.3f}), best epoch {metrics['best_epoch']}"
            )
    console.print(f"wrote {run}; next: fer-edge export {shlex.quote(str(run))}")
