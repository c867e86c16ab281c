"""TensorBoard logs of a run, on demand: what history.csv holds, as curves that grow while the network learns."""

import importlib.util
from pathlib import Path
from typing import Any

import keras

from fer_edge.errors import FerEdgeError
from fer_edge.native_logs import quiet
from fer_edge_train.runs.folder import Row


class TensorBoardLogs(keras.callbacks.Callback):
    """Logs each epoch's figures to `training` and `validation`, so that a curve of each lies in one chart.

    Not keras.callbacks.TensorBoard: it keeps up to two minutes in memory, which a kill would take, and after --resume
    it would draw the epochs twice that came after the last checkpoint. Here a start writes all known epochs anew.
    """

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        """Log `rows`, of the epochs that were, and what is appended to them, to `folder`.

        Raises:
            FerEdgeError: A package is missing.
        """
        super().__init__()
        for package in ("tensorflow", "tensorboard"):  # the first writes the logs, and needs the second for that
            if importlib.util.find_spec(package) is None:
                raise FerEdgeError(f"--tensorboard: a package is not installed; type: pip install {package}")
        self._folder, self._rows = folder, rows
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Write the epochs that are known anew."""
        with quiet():  # under JAX, nobody has loaded it yet
            import tensorflow as tf

        for part in ("training", "validation"):
            for old in (self._folder / part).glob("events.*"):
                old.unlink()
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
        for row in self._rows:
            self._write(row)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch that has just been recorded."""
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
