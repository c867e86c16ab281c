"""Networks that fer-edge did not train: facts missing from their files are stated by the user, and checked.

Channels, a final softmax and a Rescaling that divides bytes are detected. Names and order of the classes and the pixel
range are mostly not in the file, and a wrong one gives no error, only wrong predictions; so the stated facts are
compared with the alternatives on training faces.
"""

from dataclasses import replace
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import confusion
from fer_edge.errors import DataError, ModelError, UsageError, needs
from fer_edge.imaging.images import with_channels
from fer_edge.labels import match
from fer_edge.model.quantization import to_unit
from fer_edge_export.accuracy.compare import Logits, mcnemar
from fer_edge_export.inputs import Inputs, command_for
from fer_edge_export.networks.adapt import (
    OF_ONE_CHANNEL,
    RANGES,
    input_range,
    last_activation,
    scaled,
    scaling,
    without_softmax,
)
from fer_edge_export.quantize.calibrate import calibration_subsets
from fer_edge_export.results import Figures
from fer_edge_export.settings import ForeignNetworkSettings, Order, PixelRange, canonical

TRIED = 300
"""Training faces to try other ranges and orders on."""
GAIN = 0.05
"""Accuracy gain of another range that gives a warning."""
ORDER_GAIN = 0.1
"""The same for another order of the labels; there are many."""
CHANCE = 0.001
"""McNemar's p below which a better range is significant; up to nine are tried."""
NEAR = 0.1
"""A mean recall within this share of the way from chance to 1 counts as chance. A network with a wrong input predicts
one class for all faces: its accuracy is the share of that class, its mean recall is chance."""


def adapt_network(network: Any, inputs: Inputs, stated: ForeignNetworkSettings) -> tuple[Any, Inputs]:
    """Adapt a network that fer-edge did not train: pixels in [0, 1] in, logits out.

    Args:
        network: keras.Model with one square input of one or three channels and (n, classes) out; do not use it
            afterwards.
        inputs: The file, and faces with the classes of their set.
        stated: Facts stated by the user.

    Returns:
        keras.Model; (n, size, size, channels of the faces) in [0, 1] in, logits out. And `inputs` with the faces of its
        classes, in the order of its outputs, and with warnings.

    Raises:
        UsageError: A required fact is missing, or does not fit the network.
        DataError: The faces are of another size, colour or classes.
        ModelError: Its outputs cannot be converted to logits.
    """
    size, channels, classes = int(network.input_shape[1]), int(network.input_shape[3]), int(network.output_shape[1])
    with needs("train"):
        pixels = stated.pixels or input_range(network)
    if stated.labels is None or pixels is None:
        raise UsageError(_missing(inputs, stated, pixels, classes))
    if len(stated.labels) != classes:
        raise UsageError(f"--labels has {len(stated.labels)} names, {inputs.network} has {classes} outputs")
    if channels == 1 and (pixels not in OF_ONE_CHANNEL or stated.colour not in (None, "grey")):
        wrong = f"--pixels {pixels}" if pixels not in OF_ONE_CHANNEL else f"--colour {stated.colour}"
        raise UsageError(f"{wrong} is for three channels, {inputs.network} has one; leave it out, or give another")
    order: Order = "grey" if channels == 1 else stated.colour or "rgb"
    _check_faces(inputs, size, order, channels)
    labels = _match_classes(inputs.heldout, stated.labels)
    console.print(f"{inputs.network}: pixels {pixels}, {order}; classes in order: {', '.join(labels)}")
    inputs = replace(
        inputs, training=select_classes(inputs.training, labels), heldout=select_classes(inputs.heldout, labels)
    )
    with needs("train"):
        logit_network = without_softmax(network)
        if "sigmoid" in last_activation(logit_network):
            raise ModelError(
                f"{inputs.network}: ends in a sigmoid, with independent classes; fer-edge needs exclusive ones: "
                "train it with softmax"
            )
        findings = _check_stated(logit_network, inputs, pixels, order)
        wrapped = scaled(logit_network, scaling(pixels, order, channels))
    return wrapped, replace(inputs, findings=(*findings, *_unchecked(inputs, stated)))


def chance_warning(float32: Figures) -> list[str]:
    """A warning if the accuracy is close to chance, else nothing."""
    accuracy, recall = float32.accuracy, float32.balanced_accuracy
    chance = 1 / sum(row.n > 0 for row in float32.per_class.values())
    if recall > chance + NEAR * (1 - chance):
        return []
    return [
        f"float32 itself has an accuracy of only {accuracy:.1%} and a mean recall of {recall:.1%} (chance: "
        f"{chance:.1%}): check the order of --labels, and --pixels and --colour"
    ]


def select_classes(faces: FaceSet, labels: tuple[str, ...]) -> FaceSet:
    """Keep the faces whose majority class is in `labels`, with votes in that order."""
    known = np.array([name in labels for name in faces.classes])
    if not known.all():
        faces = faces.take(known[faces.labels])
        faces = replace(faces, votes=faces.votes * known)
    return faces.with_classes(labels)


def best_order(
    truth: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64], classes: int
) -> tuple[list[int], float]:
    """Find the order of the labels with the best accuracy, by swapping two until no swap helps.

    Args:
        truth: (n,) class indices.
        predictions: (n,) output indices.
        classes: Number of classes.

    Returns:
        The class of each output, and the accuracy, 0 to 1.

    >>> best_order(np.array([0, 1, 2, 2]), np.array([1, 0, 2, 2]), 3)
    ([1, 0, 2], 1.0)
    """
    counts = confusion(truth, predictions, classes)
    order = np.arange(classes)
    swapped = True
    while swapped:
        swapped = False
        for one in range(classes):
            for other in range(one):
                pair, outputs = order[[other, one]], [one, other]
                if counts[pair, outputs].sum() > counts[pair[::-1], outputs].sum():
                    order[outputs], swapped = pair, True
    return order.tolist(), float(counts[order, np.arange(classes)].sum() / max(len(truth), 1))


def _missing(inputs: Inputs, stated: ForeignNetworkSettings, pixels: PixelRange | None, classes: int) -> str:
    """Error message with the command to type."""
    wanted = [f"the names of its {classes} outputs"] if stated.labels is None else []
    wanted += ["the pixel range of its training"] if pixels is None else []
    names = stated.labels or [f"NAME{number}" for number in range(1, classes + 1)]
    command = [command_for(inputs.network, inputs.data), f"--labels {quote(','.join(names))}"]
    if stated.pixels or pixels is None:
        command.append(f"--pixels {stated.pixels or '0..1'}")
    command += [f"--colour {stated.colour}"] if stated.colour else []
    others = f"; other ranges: {', '.join(list(RANGES)[1:])}" if pixels is None else ""
    return f"{inputs.network} does not include {' and '.join(wanted)}; type: {' '.join(command)}{others}"


def _check_faces(inputs: Inputs, size: int, order: Order, channels: int) -> None:
    faces, colour = inputs.heldout, "grey" if order == "grey" else "rgb"
    if (faces.size, faces.colour) == (size, colour):
        return
    data = quote(str(inputs.data))
    command = f"fer-edge prepare --data DIR --out {data} --imgsz {size}{' --colour rgb' if colour == 'rgb' else ''}"
    grey = "; if it was trained on grey images, add --colour grey" if channels == 3 and faces.colour == "grey" else ""
    raise DataError(
        f"{inputs.network} takes {size}x{size} pixels, {colour}; the faces of {data} have {faces.size}x{faces.size}, "
        f"{faces.colour}; prepare them again: {command}{grey}"
    )


def _match_classes(faces: FaceSet, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Translate labels to the class names of the set, such as angry to anger; prints which faces are left out.

    Raises:
        DataError: Fewer than two common classes.
    """
    names = tuple(match(name, faces.classes) or canonical(name) for name in labels)
    counts = {name: count for name, count in faces.counts().items() if count}
    if len(counts.keys() & set(names)) < 2:
        raise DataError(
            f"--labels {','.join(labels)}: the held-out faces are {', '.join(counts)}, with fewer than two common "
            "classes; give a set with the network's classes: --data SET.npz"
        )
    if other := {name: count for name, count in counts.items() if name not in names}:
        without = [name for name in names if name not in counts]
        unused = f"; no held-out face is {', '.join(without)}" if without else ""
        counted = ", ".join(f"{count:,} {name}" for name, count in other.items())
        console.print(f"left out held-out faces of classes not in --labels: {counted}{unused}")
    return names


def _check_stated(network: Any, inputs: Inputs, pixels: PixelRange, order: Order) -> list[str]:
    """Compare the stated facts with the alternatives on training faces; returns warnings.

    Raises:
        ModelError: The outputs are probabilities, not logits.
    """
    if not (inputs.training.split == "training").any():
        return []
    faces = calibration_subsets(inputs.training, TRIED, seed=0)[0]
    truth, images = faces.labels, to_unit(with_channels(faces.faces))
    channels = int(network.input_shape[3])

    def logits(pixels: PixelRange, order: Order) -> Logits:
        kernel, bias = scaling(pixels, order, channels)
        return np.asarray(network.predict(images @ kernel + bias, batch_size=32, verbose=0), np.float32)

    outputs = logits(pixels, order)
    if outputs.min() >= 0 and np.abs(outputs.sum(axis=1) - 1).max() < 1e-3:
        raise ModelError(
            f"{inputs.network}: its outputs are probabilities, and the softmax is not its last layer; save it without "
            "softmax, in Python: keras.Model(network.inputs, LOGITS).save(...)"
        )
    predictions = outputs.argmax(axis=1)
    correct = predictions == truth
    lines = []
    orders: tuple[Order, ...] = ("grey",) if order == "grey" else ("rgb", "bgr")
    others = [(each, other) for each in (RANGES if channels == 3 else OF_ONE_CHANNEL) for other in orders]
    found = {other: logits(*other).argmax(axis=1) == truth for other in others}
    best = max(found, key=lambda other: found[other].sum())
    lost, gained = (int(part.sum()) for part in (correct & ~found[best], found[best] & ~correct))
    if gained - lost > GAIN * len(faces) and mcnemar(lost, gained) < CHANCE:
        lines.append(
            f"float32 has an accuracy of {found[best].mean():.1%} with --pixels {best[0]} --colour {best[1]}, and of "
            f"{correct.mean():.1%} with --pixels {pixels} --colour {order} ({len(faces)} training faces); check which "
            "it was trained with"
        )
    swapped, accuracy = best_order(truth, predictions, len(faces.classes))
    if accuracy - correct.mean() > ORDER_GAIN:
        labels = ",".join(faces.classes[label] for label in swapped)
        lines.append(
            f"float32 has an accuracy of {accuracy:.1%} with --labels {labels}, and of {correct.mean():.1%} in the "
            f"given order ({len(faces)} training faces); check the order of its outputs"
        )
    return lines


def _unchecked(inputs: Inputs, stated: ForeignNetworkSettings) -> list[str]:
    """Warnings about facts that cannot be checked with the faces."""
    lines = []
    if not (inputs.heldout.split == "validation").any():
        lines.append(
            f"{inputs.data} has no validation faces to fit the temperature on: it is 1, and scores are not calibrated"
        )
    if stated.crop_scale != 1:
        lines.append(
            f"the device crops squares of {stated.crop_scale:g} x the face box; the metrics are valid if the faces of "
            f"{inputs.data} are cropped the same way"
        )
    return lines
