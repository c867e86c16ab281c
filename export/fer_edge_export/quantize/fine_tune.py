"""Quantisation-aware training: fine-tune weights and ranges of a network with simulated int8 rounding.

The targets are the float network's own outputs (self-distillation), so no labels and no held-out faces are used.
Imports Keras; import this module inside a function.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from fer_edge.console import progress
from fer_edge.data.metrics import softmax
from fer_edge.errors import DataError
from fer_edge.imaging.images import Pixels, with_channels
from fer_edge.model.quantization import to_unit
from fer_edge_export.accuracy.compare import Logits, divergences
from fer_edge_export.networks.folding import KERNELS, folded
from fer_edge_export.quantize.fake_quant import BATCH, FakeQuant, Ranges, learned, quantised, rounded
from fer_edge_export.results import Learning

FEWEST = 100
"""Minimum number of faces: a tenth of them selects the best epoch."""
LEARNING_RATE = 1e-4
"""Initial learning rate of weights and biases, with cosine decay to 0."""
RANGE_RATE = 1e-2
"""Initial learning rate of the logarithms of the range limits: a limit changes by 1 % per step at first."""
HALF_STEPS = 127
"""Largest int8 value of a kernel; TFLite does not use -128."""


class FineTuned(NamedTuple):
    """Result of the fine-tuning."""

    network: Any
    """keras.Model, folded, in float; `fer_edge_export.quantize.fake_quant.quantised` inserts the ranges."""
    ranges: Ranges
    learning: Learning


def fine_tune(network: Any, faces: Pixels, ranges: Ranges, epochs: int, seed: int) -> FineTuned:
    """Train with kernels and activations rounded as in int8, and keep the best epoch.

    The loss is the mean Kullback-Leibler divergence of the int8 network's probabilities from the float network's. A
    tenth of the faces is held out; the epoch with the lowest divergence on them is kept, or the original network if
    none is better.

    Args:
        network: keras.Model that returns (n, classes) logits.
        faces: (n, height, width) grey or (n, height, width, 3) RGB uint8 training faces.
        ranges: Initial ranges, of `fer_edge_export.quantize.fake_quant.ranges`.
        epochs: Number of epochs, with random horizontal flips.
        seed: Random seed; reproducible on one machine.

    Raises:
        DataError: Fewer than `FEWEST` faces.
        ModelError: As `fer_edge_export.networks.folding.folded`.
    """
    if len(faces) < FEWEST:
        raise DataError(f"{len(faces)} faces are too few for --qat-epochs, the minimum is {FEWEST}; leave it out")
    teacher = folded(network)
    student = quantised(teacher, ranges, learning=True)
    student.trainable = True
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(faces))
    heldout, training = np.split(order, [len(faces) // 10])
    pixels = with_channels(faces)
    targets = [_predict(teacher, pixels), _predict(teacher, pixels[:, :, ::-1])]
    steps = -(-len(training) // BATCH)
    train_step, predict = _training(student, epochs * steps)

    def divergence() -> float:
        logits = np.concatenate([predict(to_unit(pixels[rows])) for rows in _batches(heldout)])
        return float(divergences(softmax(targets[0][heldout], 1.0), softmax(logits, 1.0)).mean())

    curve = [divergence()]
    best = student.get_weights()
    with progress() as bar:
        task = bar.add_task("fine-tuning", total=epochs * steps)
        for _ in range(epochs):
            for rows in _batches(rng.permutation(training)):
                flipped = rng.random(len(rows)) < 0.5
                batch = np.where(_expand(flipped, pixels.ndim), pixels[rows][:, :, ::-1], pixels[rows])
                train_step(to_unit(batch), np.where(flipped[:, None], targets[1][rows], targets[0][rows]))
                bar.advance(task)
            curve.append(divergence())
            if curve[-1] < min(curve[:-1]):
                best = student.get_weights()
    student.set_weights(best)
    for layer in teacher.layers:
        layer.set_weights(student.get_layer(layer.name).get_weights())
    learning = Learning(
        epochs=epochs,
        best_epoch=int(np.argmin(curve)),
        learning_rate=LEARNING_RATE,
        seed=seed,
        faces=len(training),
        held_back=len(heldout),
        kl_divergence=tuple(round(value, 6) for value in curve),
    )
    return FineTuned(teacher, learned(student), learning)


def _training(student: Any, steps: int) -> tuple[Callable[..., None], Callable[..., Logits]]:
    """Training step on (images, target logits), and prediction on images; both with rounded kernels."""
    import tensorflow as tf

    weights = student.trainable_variables
    kernels = {id(layer.kernel) for layer in student.layers if type(layer) in KERNELS}
    limits = {id(layer.growth) for layer in student.layers if isinstance(layer, FakeQuant) and layer.learning}
    rates = {False: LEARNING_RATE, True: RANGE_RATE}
    groups = {is_limit: [weight for weight in weights if (id(weight) in limits) == is_limit] for is_limit in rates}
    optimizers = {}
    for is_limit, rate in rates.items():
        optimizers[is_limit] = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
        optimizers[is_limit].build(groups[is_limit])
    axes = {id(layer.kernel): _axes(layer) for layer in student.layers if type(layer) in KERNELS}

    def logits(batch: Any) -> Any:
        values = [
            rounded_kernel(weight, axes[id(weight)]) if id(weight) in kernels else weight.value for weight in weights
        ]
        return student.stateless_call(values, student.non_trainable_variables, batch)[0]

    def train_step(batch: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            predicted = keras.ops.log_softmax(logits(batch))
            expected = keras.ops.log_softmax(target)
            loss = keras.ops.mean(keras.ops.sum(keras.ops.exp(expected) * (expected - predicted), axis=-1))
        gradients = dict(zip(map(id, weights), tape.gradient(loss, [weight.value for weight in weights]), strict=True))
        for is_limit, group in groups.items():
            optimizers[is_limit].apply([gradients[id(weight)] for weight in group], group)

    compiled = tf.function(logits)
    return tf.function(train_step), lambda batch: np.asarray(compiled(batch).numpy())


def rounded_kernel(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Round a kernel to int8 with a straight-through gradient.

    Args:
        kernel: A weight.
        axes: Axes whose values share a quantisation step: the largest / 127, as in TFLite.
    """
    step = keras.ops.stop_gradient(keras.ops.max(keras.ops.abs(kernel), axis=axes, keepdims=True)) / HALF_STEPS
    step = keras.ops.maximum(step, 1e-30)  # for channels that are all 0
    return rounded(kernel / step) * step


def _axes(layer: Any) -> tuple[int, ...]:
    """The axes of a layer's kernel that are not its output channels."""
    depthwise = type(layer) is keras.layers.DepthwiseConv2D
    return (0, 1) if depthwise else tuple(range(len(layer.kernel.shape) - 1))


def _predict(network: Any, pixels: Pixels) -> Logits:
    rows = _batches(np.arange(len(pixels)))
    return np.concatenate([np.asarray(network(to_unit(pixels[each]), training=False)) for each in rows])


def _batches(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]


def _expand(flags: npt.NDArray[np.bool_], axes: int) -> npt.NDArray[np.bool_]:
    """Reshape n flags to broadcast over `axes` axes."""
    return flags.reshape(-1, *[1] * (axes - 1))
