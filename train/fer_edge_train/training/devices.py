"""Training on several devices, by `keras.distribution.DataParallel` on the JAX backend.

One process uses every device of its machine that JAX sees; `fer_edge_train.training.processes` brings those of others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from fer_edge.console import console
from fer_edge.errors import UsageError
from fer_edge_train.training.batches import Batches
from fer_edge_train.training.processes import rank_and_count


class Devices(keras.distribution.DataParallel):
    """Divides training batches; validation is judged whole by each device, as its last batch may not divide."""

    judging = False

    def get_data_layout(self, data_shape: tuple[int, ...]) -> Any:
        """Say how data of this shape lies on the devices."""
        if self.judging:
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
        return super().get_data_layout(data_shape)


@contextmanager
def over_devices(batch: int, *, tell: bool = False) -> Iterator[Devices | None]:
    """Divide batches among all devices in the `with` block; yields None where one device does all.

    As many devices are used, the same number in each process, as `batch` can be divided among.

    Args:
        batch: Faces in a batch of all devices together.
        tell: Say how many devices are used.

    Raises:
        UsageError: `batch` cannot be divided among the processes.
    """
    if keras.backend.backend() != "jax":
        yield None
        return
    import jax

    count = rank_and_count()[1]
    if batch % count:
        raise UsageError(f"a batch of {batch} cannot be divided among {count} processes; choose a multiple: --batch")
    found = [[device for device in jax.devices() if device.process_index == rank] for rank in range(count)]
    least = min(len(local) for local in found)
    used = max(number for number in range(1, least + 1) if batch // count % number == 0)
    if tell and least * count > 1:
        console.print(f"a batch of {batch} is divided among {used * count} of {least * count} devices")
    if used * count == 1:
        yield None
        return
    names = [f"{device.platform}:{device.id}" for local in found for device in local[:used]]
    devices = Devices(devices=names, auto_shard_dataset=False)  # `PartOfBatches` does
    with devices.scope():
        yield devices


class PartOfBatches(keras.utils.PyDataset):
    """This process's part of every batch.

    Each process makes the whole batch and takes its part: so it is, to the bit, the batch that one process alone would
    have seen, mixed faces included. That costs every machine the work of all on its input pipeline.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__(workers=batches.workers, max_queue_size=batches.max_queue_size)
        rank, count = rank_and_count()
        self._batches = batches
        self._rows = slice(rank * batches.batch // count, (rank + 1) * batches.batch // count)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return keras.tree.map_structure(lambda values: values[self._rows], self._batches[index])


class OneResult(keras.callbacks.Callback):
    """Lets each device judge all validation faces, and all processes go by the figures of the first."""

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self._devices = devices

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Give each device the whole batch."""
        self._devices.judging = True

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Divide batches again."""
        self._devices.judging = False

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Replace the figures: a last bit that differs must not stop one machine early and not another."""
        if logs and rank_and_count()[1] > 1:
            from jax.experimental import multihost_utils

            figures = multihost_utils.broadcast_one_to_all([float(logs[name]) for name in sorted(logs)])
            logs.update(zip(sorted(logs), map(float, figures), strict=True))
