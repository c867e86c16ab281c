"""The part of a training that every task shares: optimizer, epochs, files of the run folder, resume."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from fer_edge.console import console
from fer_edge.errors import DataError, FerEdgeError, UsageError
from fer_edge_train.callbacks import Averaging, Batches, EpochProgress, Recorder
from fer_edge_train.runs import TENSORBOARD, Row, read_config, read_history
from fer_edge_train.strategy import OneResult, PartOfBatches, Worker, here, watched
from fer_edge_train.tensorboard import TensorBoardLogs


def make_optimizer(
    name: str, *, learning_rate: float, weight_decay: float, ema: float, epochs: int, steps: int
) -> keras.optimizers.Optimizer:
    """Make an optimizer with linear warm-up over three epochs (a tenth of all, at most), then cosine decay.

    Args:
        name: adamw, adam, or sgd (with Nesterov momentum 0.9).
        learning_rate: The highest.
        weight_decay: Of adamw and sgd: each step takes this times the rate from every weight.
        ema: Momentum of the averaged weights; 0 for none.
        epochs: Of the whole training.
        steps: Of an epoch.

    Raises:
        UsageError: Unknown name.
    """
    warm_up = min(3 * steps, steps * epochs // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps * epochs - warm_up),
        alpha=0.01,
    )
    averaging = {"use_ema": ema > 0, "ema_momentum": ema}
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
    batches: Any,
    *,
    epochs: int,
    ema: float,
    score: str,
    patience: int,
    seed: int,
    validation: tuple[Any, Any] | None = None,
    judges: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
) -> list[Row]:
    """Train `network`, compiled, from its last whole epoch to the end.

    Args:
        run: The run folder.
        network: As made, or as read from `last.keras`.
        batches: A keras.utils.PyDataset that is also `fer_edge_train.callbacks.Batches`.
        epochs: Of the whole training.
        ema: Whether, if above 0, the optimizer averages weights.
        score: The figure of validation whose highest value chooses the best epoch.
        patience: Stop after this many epochs without a better score; 0 never stops early.
        seed: Of the dropout.
        validation: Inputs and targets that Keras judges after every epoch, if it does.
        judges: Callbacks that add figures of validation to an epoch's.
        tensorboard: Write logs for TensorBoard as well.

    Returns:
        One row per epoch, as in `history.csv`.

    Raises:
        DataError: `history.csv` is damaged, or the loss is no number any more.
    """
    known: Batches = batches
    epoch = int(keras.ops.convert_to_numpy(network.optimizer.iterations)) // len(known)
    rows = read_history(run / "history.csv", score)[:epoch]
    if len(rows) < epoch:
        raise DataError(f"{run / 'history.csv'} lacks epochs that last.keras has; start a new run without --resume")
    place = here()
    recorder = Recorder(run, known, rows, score=score, patience=patience, seed=seed + 1000 * place.rank)
    if epoch >= epochs or recorder.exhausted:
        return rows
    averaging = [Averaging(known, resumed=epoch > 0)] if ema > 0 else []  # first: the others see its weights
    logs = [TensorBoardLogs(run / TENSORBOARD, rows)] if tensorboard else []
    together = []
    if isinstance(place, Worker):
        digest = read_config(run)["source"].get("digest")
        place.agree(digest, epoch, epochs, known.batch, len(known), network.count_params(), ema, patience, seed)
        batches = PartOfBatches(batches, known.batch, place.cluster)
        place.join(network)
        together = [OneResult(place)]
    try:
        with EpochProgress(epochs, known) as shown, watched(run):
            network.fit(
                batches,
                validation_data=validation,
                validation_batch_size=512,
                epochs=epochs,
                initial_epoch=epoch,
                callbacks=[*averaging, *judges, *together, recorder, *logs, shown],
                shuffle=False,  # the batches shuffle, by the seed
                verbose=0,
            )
    except (KeyboardInterrupt, FerEdgeError) as error:
        if place.leads and not isinstance(error, DataError):  # a loss that is no number would be none again
            console.print(f"to go on with this run: {resume_line(run)}")
        raise
    return recorder.rows


def resume_line(run: Path) -> str:
    """What to type to go on with a run."""
    return f"fer-edge train --resume {shlex.quote(str(run))}"
