"""Data-parallel training on several devices, by `keras.distribution.DataParallel` on the JAX backend.

One process uses every device of its machine that JAX sees; `fer_edge_train.training.processes` adds other machines.
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
    """Shards training batches; each device runs the whole validation, whose last batch may not be divisible."""

    validating = False

    def get_data_layout(self, data_shape: tuple[int, ...]) -> Any:
        """Give the layout of data of this shape on the devices."""
        if self.validating:
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
        return super().get_data_layout(data_shape)


@contextmanager
def data_parallel(batch: int, *, verbose: bool = False) -> Iterator[Devices | None]:
    """Shard batches over all devices in the `with` block; yields None for a single device.

    Uses as many devices, the same number in each process, as `batch` can be divided by.

    Args:
        batch: Global batch size.
        verbose: Print how many devices are used.

    Raises:
        UsageError: `batch` is not divisible by the number of processes.
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
    if verbose and least * count > 1:
        console.print(f"a batch of {batch} is divided among {used * count} of {least * count} devices")
    if used * count == 1:
        yield None
        return
    names = [f"{device.platform}:{device.id}" for local in found for device in local[:used]]
    devices = Devices(devices=names, auto_shard_dataset=False)  # `ShardedBatches` does it
    with devices.scope():
        yield devices


class ShardedBatches(keras.utils.PyDataset):
    """This process's shard of every batch.

    Each process builds the whole batch and takes its shard: so batches are bit-identical to those of a single process,
    mixup included. The cost: every machine runs the whole input pipeline.
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


class SharedMetrics(keras.callbacks.Callback):
    """Runs validation unsharded on each device, and broadcasts the metrics of process 0 to all processes."""

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self._devices = devices

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Stop sharding batches."""
        self._devices.validating = True

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Shard batches again."""
        self._devices.validating = False

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Replace the metrics: rounding differences must not stop one machine early and not another."""
        if logs and rank_and_count()[1] > 1:
            from jax.experimental import multihost_utils

            figures = multihost_utils.broadcast_one_to_all([float(logs[name]) for name in sorted(logs)])
            logs.update(zip(sorted(logs), map(float, figures), strict=True))
