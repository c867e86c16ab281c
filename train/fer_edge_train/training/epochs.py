"""Optimizer and training loop, with resume from the last checkpoint."""

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
from fer_edge_train.training.devices import ShardedBatches, SharedMetrics, data_parallel
from fer_edge_train.training.processes import process_errors, rank_and_count
from fer_edge_train.training.tensorboard import TensorBoardLogs


def make_optimizer(settings: TrainSettings, steps: int) -> keras.optimizers.Optimizer:
    """Make an optimizer with linear warm-up over three epochs (at most a tenth of all), then cosine decay.

    Args:
        settings: Optimizer and rates.
        steps: Steps per epoch.

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
    # The average spans a tenth of the training at most: a short run's would still hold its initial weights.
    averaging = {"use_ema": settings.ema > 0, "ema_momentum": max(0.0, min(settings.ema, 1 - 10 / total))}
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
    """Train the compiled `network` from its last complete epoch to the end.

    Args:
        run: The run folder.
        network: New, or loaded from `last.keras`.
        batches: Training batches.
        settings: Number of epochs, patience and so on.
        score: The metric whose highest value chooses the best epoch.
        validation: Inputs and targets evaluated after every epoch, if any.

    Returns:
        One row per epoch, as in `history.csv`.

    Raises:
        DataError: `history.csv` is damaged, or the loss is not finite.
    """
    epochs, patience, seed = settings.epochs, settings.patience, settings.seed
    epoch = int(keras.ops.convert_to_numpy(network.optimizer.iterations)) // len(batches)
    rows = read_history(run / "history.csv", score)[:epoch]
    if len(rows) < epoch:
        raise DataError(f"{run / 'history.csv'} lacks epochs that last.keras has; start a new run without --resume")
    recorder = Recorder(run, batches, rows, score=score, patience=patience, seed=seed)
    if epoch >= epochs or recorder.out_of_patience:
        return rows
    averaging = [Averaging(batches, resumed=epoch > 0)] if settings.ema > 0 else []  # first: the others use its weights
    logs = [TensorBoardLogs(run / TENSORBOARD, rows)] if settings.tensorboard else []
    rank, count = rank_and_count()
    try:
        with (
            EpochProgress(epochs, batches) as shown,
            process_errors(run),
            data_parallel(batches.batch, verbose=True) as devices,
        ):
            shared = [SharedMetrics(devices)] if devices else []
            network.fit(
                ShardedBatches(batches) if count > 1 else batches,
                validation_data=validation,
                validation_batch_size=512,
                epochs=epochs,
                initial_epoch=epoch,
                callbacks=[*averaging, *shared, recorder, *logs, shown],
                shuffle=False,  # the batches shuffle, by the seed
                verbose=0,
            )
    except (KeyboardInterrupt, FerEdgeError) as error:
        if rank == 0 and not isinstance(error, DataError):  # a diverged loss would diverge again
            console.print(f"to resume this run: {resume_line(run)}")
        raise
    return recorder.rows


def resume_line(run: Path) -> str:
    """Give the command that resumes a run."""
    return f"fer-edge train --resume {shlex.quote(str(run))}"
