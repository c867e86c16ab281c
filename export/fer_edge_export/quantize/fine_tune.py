"""Teach a network to answer in int8 as it does in float: weights and ranges are trained with rounding in between.

The float network's own answers are the lesson, so no label is needed and nothing is learned about held-out faces.
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
"""Faces below which a tenth of them could not tell whether an epoch helped."""
LEARNING_RATE = 1e-4
"""Of weights and biases at the start; a cosine leads to 0."""
RANGE_RATE = 1e-2
"""Of the logarithms of the ranges' ends, which have further to go: an end moves by 1 % a step at first."""
HALF_STEPS = 127
"""Of a kernel's int8 values on either side of 0; TFLite leaves -128 out."""


class FineTuned(NamedTuple):
    """A network that knows of its rounding."""

    network: Any
    """keras.Model, folded, in float; `fer_edge_export.quantize.fake_quant.quantised` puts the ranges in."""
    ranges: Ranges
    learning: Learning


def fine_tune(network: Any, faces: Pixels, ranges: Ranges, epochs: int, seed: int) -> FineTuned:
    """Train with kernels and tensors rounded as int8 rounds them, and keep the best epoch.

    What is minimised is the mean Kullback-Leibler divergence of the int8 network's probabilities from the float
    network's. Every tenth face is held back; the epoch with the least divergence on those is kept, or the network as it
    was if none is better.

    Args:
        network: keras.Model that gives (n, classes) logits.
        faces: (n, height, width) grey or (n, height, width, 3) RGB uint8 training faces.
        ranges: Of `fer_edge_export.quantize.fake_quant.ranges`, to begin with.
        epochs: Times that every face is shown, each time mirrored or not, by chance.
        seed: The same seed gives the same weights on one machine.

    Raises:
        DataError: Fewer than `FEWEST` faces.
        ModelError: As `fer_edge_export.networks.folding.folded`.
    """
    if len(faces) < FEWEST:
        raise DataError(f"{len(faces)} faces are too few to fine-tune with, {FEWEST} are the least; leave --qat-epochs")
    teacher = folded(network)
    student = quantised(teacher, ranges, learning=True)
    student.trainable = True
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(faces))
    watched, shown = np.split(order, [len(faces) // 10])
    pixels = with_channels(faces)
    lessons = [_answers(teacher, pixels), _answers(teacher, pixels[:, :, ::-1])]
    steps = -(-len(shown) // BATCH)
    learn, answer = _training(student, epochs * steps)

    def divergence() -> float:
        said = np.concatenate([answer(to_unit(pixels[rows])) for rows in _batches(watched)])
        return float(divergences(softmax(lessons[0][watched], 1.0), softmax(said, 1.0)).mean())

    curve = [divergence()]
    best = student.get_weights()
    with progress() as bar:
        task = bar.add_task("fine-tuning", total=epochs * steps)
        for _ in range(epochs):
            for rows in _batches(rng.permutation(shown)):
                mirrored = rng.random(len(rows)) < 0.5
                batch = np.where(_wide(mirrored, pixels.ndim), pixels[rows][:, :, ::-1], pixels[rows])
                learn(to_unit(batch), np.where(mirrored[:, None], lessons[1][rows], lessons[0][rows]))
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
        faces=len(shown),
        held_back=len(watched),
        kl_divergence=tuple(round(value, 6) for value in curve),
    )
    return FineTuned(teacher, learned(student), learning)


def _training(student: Any, steps: int) -> tuple[Callable[..., None], Callable[..., Logits]]:
    """What learns from a batch of pictures and logits, and what answers to pictures; both with rounded kernels."""
    import tensorflow as tf

    weights = student.trainable_variables
    kernels = {id(layer.kernel) for layer in student.layers if type(layer) in KERNELS}
    ends = {id(layer.growth) for layer in student.layers if isinstance(layer, FakeQuant) and layer.learning}
    rates = {False: LEARNING_RATE, True: RANGE_RATE}
    groups = {which: [weight for weight in weights if (id(weight) in ends) == which] for which in rates}
    optimizers = {}
    for which, rate in rates.items():
        optimizers[which] = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
        optimizers[which].build(groups[which])
    by_channels = {id(layer.kernel): _axes(layer) for layer in student.layers if type(layer) in KERNELS}

    def logits(batch: Any) -> Any:
        values = [
            rounded_kernel(weight, by_channels[id(weight)]) if id(weight) in kernels else weight.value
            for weight in weights
        ]
        return student.stateless_call(values, student.non_trainable_variables, batch)[0]

    def learn(batch: Any, lesson: Any) -> None:
        with tf.GradientTape() as tape:
            found = keras.ops.log_softmax(logits(batch))
            wanted = keras.ops.log_softmax(lesson)
            loss = keras.ops.mean(keras.ops.sum(keras.ops.exp(wanted) * (wanted - found), axis=-1))
        slopes = dict(zip(map(id, weights), tape.gradient(loss, [weight.value for weight in weights]), strict=True))
        for which, group in groups.items():
            optimizers[which].apply([slopes[id(weight)] for weight in group], group)

    compiled = tf.function(logits)
    return tf.function(learn), lambda batch: np.asarray(compiled(batch).numpy())


def rounded_kernel(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Round a kernel to int8, with a gradient as if nothing had been done.

    Args:
        kernel: A weight.
        axes: Over which its values share a step: the largest of them / 127, as TFLite has it.
    """
    step = keras.ops.stop_gradient(keras.ops.max(keras.ops.abs(kernel), axis=axes, keepdims=True)) / HALF_STEPS
    step = keras.ops.maximum(step, 1e-30)  # a channel that is all 0
    return rounded(kernel / step) * step


def _axes(layer: Any) -> tuple[int, ...]:
    """The axes of a layer's kernel that are not its output channels."""
    depthwise = type(layer) is keras.layers.DepthwiseConv2D
    return (0, 1) if depthwise else tuple(range(len(layer.kernel.shape) - 1))


def _answers(network: Any, pixels: Pixels) -> Logits:
    rows = _batches(np.arange(len(pixels)))
    return np.concatenate([np.asarray(network(to_unit(pixels[each]), training=False)) for each in rows])


def _batches(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]


def _wide(flags: npt.NDArray[np.bool_], axes: int) -> npt.NDArray[np.bool_]:
    """Give n flags as many axes as what they choose between."""
    return flags.reshape(-1, *[1] * (axes - 1))
