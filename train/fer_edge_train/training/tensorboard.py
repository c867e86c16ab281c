"""TensorBoard logs of a run: the metrics of history.csv, epoch by epoch."""

import importlib.util
from pathlib import Path
from typing import Any

import keras

from fer_edge.errors import FerEdgeError
from fer_edge_train.runs.folder import Row


class TensorBoardLogs(keras.callbacks.Callback):
    """Logs each epoch's metrics to `training` and `validation`, so that both curves are in one chart.

    Not keras.callbacks.TensorBoard: it buffers up to two minutes, lost on a kill, and after --resume it logs the epochs
    after the last checkpoint twice. This one rewrites all known epochs at the start.
    """

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        """Log `rows`, one per past epoch, and rows appended later, to `folder`.

        Raises:
            FerEdgeError: A package is missing.
        """
        super().__init__()
        for package in ("tensorflow", "tensorboard"):  # tensorflow writes the logs, and needs tensorboard for it
            if importlib.util.find_spec(package) is None:
                raise FerEdgeError(f"--tensorboard: a package is not installed; type: pip install {package}")
        self._folder, self._rows = folder, rows
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Rewrite the known epochs."""
        import tensorflow as tf

        for part in ("training", "validation"):
            for old in (self._folder / part).glob("events.*"):
                old.unlink()
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
        for row in self._rows:
            self._write(row)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch just recorded."""
        self._write(self._rows[-1])

    def on_train_end(self, logs: Any = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, row: Row) -> None:
        import tensorflow as tf

        for name, value in row.items():
            if name == "epoch":
                continue
            part = "validation" if name.startswith("val_") else "training"
            with self._writers[part].as_default(step=int(row["epoch"])):
                tf.summary.scalar(name.removeprefix("val_"), value)
        for writer in self._writers.values():
            writer.flush()
