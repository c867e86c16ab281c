"""Training on several devices or machines, through tf.distribute; on one device nothing of this is at work.

One process per device: multiworker takes those that TF_CONFIG names, on one machine or many; mirrored starts one for
each GPU of this machine. Keras 3's fit fails under `MultiWorkerMirroredStrategy` (keras issue 20585: PerReplica
batches, "Invalid reduction dimension 0"), and under `MirroredStrategy` where validation does not divide evenly, so each
worker fits its own network by Keras on its part of every batch, and the strategy serves for what it does well: starting
the cluster, summing gradients and batch statistics over the workers, and noticing that one is gone.
"""

import importlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import keras

from fer_edge.console import console
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.files import TEMPORARY
from fer_edge.native_logs import quiet
from fer_edge_train.cluster import EXAMPLE, Cluster, read_cluster
from fer_edge_train.meeting import meet
from fer_edge_train.mirrored import one_worker_per_gpu
from fer_edge_train.training.batches import Batches

Strategy = Literal["auto", "mirrored", "multiworker"]


class Place:
    """What this process does in a training: alone in it, and so its leader."""

    leads = True
    rank = 0
    """Which of several workers."""

    @contextmanager
    def folders(self, project: Path, resume: Path | None) -> Iterator[tuple[Path, Path | None]]:
        """Yield the folder for run folders, and the run to go on with, that this process shall use."""
        yield project, resume


class Worker(Place):
    """One worker of several; all of them call the same methods in the same order."""

    def __init__(self, cluster: Cluster, strategy: Any) -> None:
        self.cluster, self._strategy = cluster, strategy
        self.rank, self.leads = cluster.rank, cluster.rank == 0

    @contextmanager
    def folders(self, project: Path, resume: Path | None) -> Iterator[tuple[Path, Path | None]]:
        """Yield the folders as they are to the leader; to the others, whose files would only be copies, temporary ones.

        Raises:
            UsageError: There is no folder to go on with.
        """
        if self.leads:
            yield project, resume
            return
        if resume and not resume.is_dir():
            raise UsageError(f"{resume}: no such folder; every worker must see the run folder that --resume names")
        with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
            if resume:  # the leader may have begun to write
                unfinished = shutil.ignore_patterns(f"{TEMPORARY}*")
                resume = Path(shutil.copytree(resume, Path(folder) / "run", ignore=unfinished))
            yield Path(folder), resume

    def sum(self, values: Any) -> Any:
        """Add tensors, or a structure of them, over all workers."""
        import tensorflow as tf

        def total() -> Any:
            return self._strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", values))

        return tf.function(total)()  # eagerly, TensorFlow warns, it would be slow

    def agree(self, *facts: Any) -> None:
        """Compare what must be the same on every worker.

        Raises:
            UsageError: It is not.
        """
        own = zlib.crc32(repr(facts).encode())
        if float(self.sum(keras.ops.convert_to_tensor(float(own), "float64"))) != len(self.cluster.workers) * own:
            raise UsageError("the workers have different data or settings; start all of them with the same ones")

    def join(self, network: keras.Model) -> None:
        """Let `network`, compiled, learn from the gradients and batch statistics of all workers."""
        import tensorflow as tf

        def gradients(x: Any, y: Any, weights: Any) -> tuple[Any, Any, Any]:
            with tf.GradientTape() as tape:
                answer = network(x, training=True)
                loss = network.compute_loss(x=x, y=y, y_pred=answer, sample_weight=weights, training=True)
            # Keras divides the loss by the workers, as it knows the strategy: the sum is the gradient of the mean.
            found = tape.gradient(loss, network.trainable_weights)
            return tf.distribute.get_replica_context().all_reduce("SUM", found), answer, loss

        def train_step(data: Any) -> dict[str, Any]:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
            with _synchronized(network):
                found, answer, loss = self._strategy.run(gradients, args=(x, y, weights))
            network.optimizer.apply_gradients(zip(found, network.trainable_weights, strict=True))
            for metric in network.metrics:
                if metric.name == "loss":
                    metric.update_state(loss * len(self.cluster.workers))
            return dict(network.compute_metrics(x, y, answer, sample_weight=weights))

        network.train_step = train_step


@contextmanager
def _synchronized(network: keras.Model) -> Iterator[None]:
    """Batch normalisation over the whole batch, while the step is traced; files of the network shall not know it."""
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


class PartOfBatches(keras.utils.PyDataset):
    """This worker's part of every batch.

    Each worker makes the whole batch and takes its part: so it is, to the bit, the batch that one worker alone would
    have seen, mixed faces included. That costs every machine the work of all on its input pipeline.
    """

    def __init__(self, batches: Batches, cluster: Cluster) -> None:
        super().__init__(workers=batches.workers, max_queue_size=batches.max_queue_size)
        batch, count = batches.batch, len(cluster.workers)
        if batch % count:
            raise UsageError(f"a batch of {batch} cannot be divided among {count} workers; choose a multiple: --batch")
        self._batches = batches
        self._rows = slice(cluster.rank * batch // count, (cluster.rank + 1) * batch // count)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return keras.tree.map_structure(lambda values: values[self._rows], self._batches[index])


class OneResult(keras.callbacks.Callback):
    """Gives every worker the mean of all workers' figures, so that all of them choose and stop alike."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Replace the figures; each worker had as many faces."""
        logs = logs if logs is not None else {}
        names = sorted(logs)
        total = self._worker.sum(keras.ops.convert_to_tensor([float(logs[name]) for name in names], "float64"))
        logs.update(zip(names, (float(value) / len(self._worker.cluster.workers) for value in total), strict=True))


_here: Place = Place()


def here() -> Place:
    """What this process does in the training that goes on."""
    return _here


@contextmanager
def taking_part(name: Strategy) -> Iterator[Place]:
    """Take this process's place in the training of the `with` block, and wake Keras's engine.

    Args:
        name: auto takes multiworker where TF_CONFIG names several workers; mirrored starts them, on this machine.

    Raises:
        UsageError: TF_CONFIG, the engine or the devices do not fit.
        FerEdgeError: The other workers do not come, or one has gone.
    """
    global _here
    cluster = read_cluster(os.environ.get("TF_CONFIG"))
    if name == "multiworker" and not cluster:
        raise UsageError(f"--strategy multiworker: TF_CONFIG names no other worker; it should look like {EXAMPLE}")
    if keras.backend.backend() != "tensorflow":
        if name != "auto":
            raise UsageError(f"--strategy {name}: not with KERAS_BACKEND={keras.backend.backend()}; leave that out")
        cluster = None
    ended: Callable[[], bool] = bool  # never, as far as can be told
    with ExitStack() as stack:
        if name == "mirrored" and not cluster:
            os.environ["TF_CONFIG"], ended = stack.enter_context(one_worker_per_gpu())
            stack.callback(os.environ.pop, "TF_CONFIG")
            cluster = read_cluster(os.environ["TF_CONFIG"])
        if cluster:
            _here = Worker(cluster, _cluster_of(cluster, ended))
            try:
                yield _here
            finally:
                _here = Place()
            return
    with quiet(), suppress(ModuleNotFoundError):
        keras.ops.zeros(1)  # it looks for its devices now, where its start-up messages can be kept from the user
        importlib.import_module("tensorflow")  # Keras does it, if it can, in the first epoch of any engine
    yield _here


def _cluster_of(cluster: Cluster, ended: Callable[[], bool]) -> Any:
    """Start this worker's server once the others are there, unless one has `ended`."""
    import tensorflow as tf

    with quiet():
        gpus = tf.config.get_visible_devices("GPU")
    if len(gpus) > 1:
        raise UsageError("a worker takes one GPU, and sees several; start one for each: CUDA_VISIBLE_DEVICES=0 ...")
    tf.get_logger().setLevel("FATAL")  # what it has to say of a lost worker, people are told by `watched`
    console.print(f"worker {cluster.rank} of {len(cluster.workers)}, waiting for {', '.join(cluster.workers)}")
    meet(cluster, ended)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        address = cluster.workers[cluster.rank]
        raise FerEdgeError(
            f"cannot take part as {address}: {str(error).splitlines()[0]}; is the port in use?"
        ) from error


@contextmanager
def watched(run: Path) -> Iterator[None]:
    """Turn what TensorFlow raises when a worker is gone into one clear line.

    Raises:
        FerEdgeError: A worker is gone.
    """
    if not isinstance(_here, Worker):
        yield
        return
    import tensorflow as tf

    gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError)
    try:
        yield
    except (*gone, tf.errors.DeadlineExceededError, tf.errors.FailedPreconditionError) as error:
        kept = f"{run} holds every whole epoch" if _here.leads else "worker 0 holds every whole epoch"
        raise FerEdgeError(f"another worker is gone; {kept}: start all workers again, with --resume") from error
