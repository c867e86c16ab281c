"""Optimizer and epochs of a training, files of the run folder, and how it goes on after a kill."""

import shlex
from pathlib import Path
from typing import Any

import keras

from fer_edge.console import console
from fer_edge.errors import DataError, FerEdgeError, UsageError
from fer_edge_train.runs.folder import TENSORBOARD, Row, read_history
from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import Batches
from fer_edge_train.training.callbacks import Averaging, EpochProgress, Recorder
from fer_edge_train.training.devices import OneResult, PartOfBatches, over_devices
from fer_edge_train.training.processes import rank_and_count, watched
from fer_edge_train.training.tensorboard import TensorBoardLogs


def make_optimizer(settings: TrainSettings, steps: int) -> keras.optimizers.Optimizer:
    """Make an optimizer with linear warm-up over three epochs (a tenth of all, at most), then cosine decay.

    Args:
        settings: Which, and its rates.
        steps: Of an epoch.

    Raises:
        UsageError: Unknown name.
    """
    name, weight_decay, total = settings.optimizer, settings.weight_decay, steps * settings.epochs
    warm_up = min(3 * steps, total // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, total - warm_up),
        alpha=0.01,
    )
    averaging = {"use_ema": settings.ema > 0, "ema_momentum": settings.ema}
    if name == "adamw":
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, **averaging)
    if name == "adam":
        return keras.optimizers.Adam(schedule, **averaging)
    if name == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=weight_decay, **averaging)
    raise UsageError(f"--optimizer {name}: unknown; choose adamw, adam or sgd")


def fit_epochs(
    run: Path,
    network: keras.Model,
    batches: Batches,
    settings: TrainSettings,
    *,
    score: str,
    validation: tuple[Any, Any] | None = None,
) -> list[Row]:
    """Train `network`, compiled, from its last whole epoch to the end.

    Args:
        run: The run folder.
        network: As made, or as read from `last.keras`.
        batches: Of the training.
        settings: Epochs in all, patience, and so on.
        score: The figure whose highest value chooses the best epoch.
        validation: Inputs and targets that Keras judges after every epoch, if it does.

    Returns:
        One row per epoch, as in `history.csv`.

    Raises:
        DataError: `history.csv` is damaged, or the loss is no number any more.
    """
    epochs, patience, seed = settings.epochs, settings.patience, settings.seed
    epoch = int(keras.ops.convert_to_numpy(network.optimizer.iterations)) // len(batches)
    rows = read_history(run / "history.csv", score)[:epoch]
    if len(rows) < epoch:
        raise DataError(f"{run / 'history.csv'} lacks epochs that last.keras has; start a new run without --resume")
    recorder = Recorder(run, batches, rows, score=score, patience=patience, seed=seed)
    if epoch >= epochs or recorder.exhausted:
        return rows
    averaging = [Averaging(batches, resumed=epoch > 0)] if settings.ema > 0 else []  # first: the others see its weights
    logs = [TensorBoardLogs(run / TENSORBOARD, rows)] if settings.tensorboard else []
    rank, count = rank_and_count()
    try:
        with EpochProgress(epochs, batches) as shown, watched(run), over_devices(batches.batch, tell=True) as devices:
            together = [OneResult(devices)] if devices else []
            network.fit(
                PartOfBatches(batches) if count > 1 else batches,
                validation_data=validation,
                validation_batch_size=512,
                epochs=epochs,
                initial_epoch=epoch,
                callbacks=[*averaging, *together, recorder, *logs, shown],
                shuffle=False,  # the batches shuffle, by the seed
                verbose=0,
            )
    except (KeyboardInterrupt, FerEdgeError) as error:
        if rank == 0 and not isinstance(error, DataError):  # a loss that is no number would be none again
            console.print(f"to go on with this run: {resume_line(run)}")
        raise
    return recorder.rows


def resume_line(run: Path) -> str:
    """What to type to go on with a run."""
    return f"fer-edge train --resume {shlex.quote(str(run))}"
