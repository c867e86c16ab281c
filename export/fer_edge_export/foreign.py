"""Networks that fer-edge did not train: what their files do not tell has to be stated, and is tried out.

What a file tells by itself (channels, a softmax at the end, a Rescaling that divides bytes) is read off it. Names and
order of its classes and the range of its pixels it mostly does not tell, and a wrong one makes no error, but wrong
answers; so what is stated is tried on training faces beside what else it might be.
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
    last_activation,
    scaled,
    scaling,
    told_range,
    without_softmax,
)
from fer_edge_export.quantize.calibrate import choose_two
from fer_edge_export.results import Figures
from fer_edge_export.settings import ForeignNetworkSettings, Order, PixelRange, canonical

TRIED = 300
"""Training faces on which other ranges and orders are tried."""
GAIN = 0.05
"""Accuracy by which another range must be better to be worth a word."""
ORDER_GAIN = 0.1
"""The same for another order of the labels, of which there are many."""
CHANCE = 0.001
"""McNemar's p below which a better range is no chance; up to nine are tried."""
NEAR = 0.1
"""A mean recall that is no more than this part of the way from chance to 1 is as good as chance. A network that sees
nothing gives all faces one answer, so that its accuracy is the share of that class, but its mean recall is chance."""


def adopt(network: Any, inputs: Inputs, stated: ForeignNetworkSettings) -> tuple[Any, Inputs]:
    """Make a network that fer-edge did not train keep its contract.

    Args:
        network: keras.Model of one square picture with one or three channels and (n, classes) out; not to be used
            afterwards.
        inputs: The file, and faces with the classes of their set.
        stated: What the user says of it.

    Returns:
        keras.Model; (n, size, size, channels of the faces) in [0, 1] in, logits out. And `inputs` with the faces whose
        class it knows, in the order of its outputs, and with what is doubtful.

    Raises:
        UsageError: Something is not stated that must be, or cannot be so.
        DataError: The faces are of another size, colour or classes.
        ModelError: Its answers cannot be made logits.
    """
    size, channels, classes = int(network.input_shape[1]), int(network.input_shape[3]), int(network.output_shape[1])
    with needs("train"):
        pixels = stated.pixels or told_range(network)
    if stated.labels is None or pixels is None:
        raise UsageError(_missing(inputs, stated, pixels, classes))
    if len(stated.labels) != classes:
        raise UsageError(f"--labels has {len(stated.labels)} names, {inputs.network} has {classes} outputs")
    if channels == 1 and (pixels not in OF_ONE_CHANNEL or stated.colour not in (None, "grey")):
        wrong = f"--pixels {pixels}" if pixels not in OF_ONE_CHANNEL else f"--colour {stated.colour}"
        raise UsageError(f"{wrong} is for three channels, {inputs.network} has one, which is grey")
    order: Order = "grey" if channels == 1 else stated.colour or "rgb"
    _check_faces(inputs, size, order, channels)
    labels = _as_in(inputs.heldout, stated.labels)
    console.print(f"{inputs.network}: pixels {pixels}, {order}; its classes, in order: {', '.join(labels)}")
    inputs = replace(inputs, training=knowing(inputs.training, labels), heldout=knowing(inputs.heldout, labels))
    with needs("train"):
        plain = without_softmax(network)
        if "sigmoid" in last_activation(plain):
            raise ModelError(
                f"{inputs.network}: ends in a sigmoid, which judges each class by itself; fer-edge needs one answer "
                "among classes: train it with softmax"
            )
        findings = _tried(plain, inputs, pixels, order)
        wrapped = scaled(plain, scaling(pixels, order, channels))
    return wrapped, replace(inputs, findings=(*findings, *_unproven(inputs, stated)))


def near_chance(float32: Figures) -> list[str]:
    """Say so where a network answers as if by chance."""
    accuracy, recall = float32.accuracy, float32.balanced_accuracy
    chance = 1 / sum(row.n > 0 for row in float32.per_class.values())
    if recall > chance + NEAR * (1 - chance):
        return []
    return [
        f"float32 itself answers only {accuracy:.1%} right and finds {recall:.1%} of the faces of a class, where "
        f"chance is {chance:.1%}: are --labels in the order of its outputs, and --pixels and --colour right?"
    ]


def knowing(faces: FaceSet, labels: tuple[str, ...]) -> FaceSet:
    """Keep the faces whose class, by most votes, is among `labels`; the votes are in that order then."""
    known = np.array([name in labels for name in faces.classes])
    if not known.all():
        faces = faces.take(known[faces.labels])
        faces = replace(faces, votes=faces.votes * known)
    return faces.with_classes(labels)


def best_order(truth: npt.NDArray[np.int64], answers: npt.NDArray[np.int64], classes: int) -> tuple[list[int], float]:
    """Find the order of the labels with which most answers are right, by swapping two until no swap helps.

    Args:
        truth: (n,) class indices.
        answers: (n,) outputs.
        classes: How many.

    Returns:
        The class of each output, and the accuracy then, 0 to 1.

    >>> best_order(np.array([0, 1, 2, 2]), np.array([1, 0, 2, 2]), 3)
    ([1, 0, 2], 1.0)
    """
    counts = confusion(truth, answers, classes)
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
    """One line with the command to type."""
    wanted = [f"what its {classes} outputs are called, in their order"] if stated.labels is None else []
    wanted += ["which range its pixels had in training"] if pixels is None else []
    names = stated.labels or [f"NAME{number}" for number in range(1, classes + 1)]
    command = [command_for(inputs.network, inputs.data), f"--labels {quote(','.join(names))}"]
    if stated.pixels or pixels is None:
        command.append(f"--pixels {stated.pixels or '0..1'}")
    command += [f"--colour {stated.colour}"] if stated.colour else []
    others = f"; other ranges: {', '.join(list(RANGES)[1:])}" if pixels is None else ""
    return f"{inputs.network} does not tell {' and '.join(wanted)}; type: {' '.join(command)}{others}"


def _check_faces(inputs: Inputs, size: int, order: Order, channels: int) -> None:
    faces, colour = inputs.heldout, "grey" if order == "grey" else "rgb"
    if (faces.size, faces.colour) == (size, colour):
        return
    data = quote(str(inputs.data))
    command = f"fer-edge prepare --data DIR --out {data} --imgsz {size}{' --colour rgb' if colour == 'rgb' else ''}"
    way = "; if it was trained on grey pictures, add --colour grey" if channels == 3 and faces.colour == "grey" else ""
    raise DataError(
        f"{inputs.network} takes {size}x{size} pixels, {colour}; the faces of {data} have {faces.size}x{faces.size}, "
        f"{faces.colour}; prepare them again: {command}{way}"
    )


def _as_in(faces: FaceSet, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Class names as the set has them, angry being anger there; says which faces are left out.

    Raises:
        DataError: Fewer than two classes are in both.
    """
    names = tuple(match(name, faces.classes) or canonical(name) for name in labels)
    counts = {name: count for name, count in faces.counts().items() if count}
    if len(counts.keys() & set(names)) < 2:
        raise DataError(
            f"--labels {','.join(labels)}: the held-out faces are {', '.join(counts)}, which is hardly one class in "
            "common; give a set with the network's classes: --data SET.npz"
        )
    if strange := {name: count for name, count in counts.items() if name not in names}:
        without = [name for name in names if name not in counts]
        unused = f"; no held-out face is {', '.join(without)}" if without else ""
        told = ", ".join(f"{count:,} {name}" for name, count in strange.items())
        console.print(f"left out held-out faces of classes that --labels lacks: {told}{unused}")
    return names


def _tried(network: Any, inputs: Inputs, pixels: PixelRange, order: Order) -> list[str]:
    """Try what is stated, and what else it might be, on training faces; the network gives logits, or is refused.

    Raises:
        ModelError: Its answers are probabilities.
    """
    if not (inputs.training.split == "training").any():
        return []
    faces = choose_two(inputs.training, TRIED, seed=0)[0]
    truth, shown = faces.labels, to_unit(with_channels(faces.faces))
    channels = int(network.input_shape[3])

    def logits(pixels: PixelRange, order: Order) -> Logits:
        kernel, bias = scaling(pixels, order, channels)
        return np.asarray(network.predict(shown @ kernel + bias, batch_size=32, verbose=0), np.float32)

    answers = logits(pixels, order)
    if answers.min() >= 0 and np.abs(answers.sum(axis=1) - 1).max() < 1e-3:
        raise ModelError(
            f"{inputs.network}: its answers are probabilities, and the softmax that makes them is not its last layer; "
            "save it without, in Python: keras.Model(network.inputs, LOGITS).save(...)"
        )
    said = answers.argmax(axis=1)
    right = said == truth
    lines = []
    orders: tuple[Order, ...] = ("grey",) if order == "grey" else ("rgb", "bgr")
    others = [(each, way) for each in (RANGES if channels == 3 else OF_ONE_CHANNEL) for way in orders]
    found = {other: logits(*other).argmax(axis=1) == truth for other in others}
    best = max(found, key=lambda other: found[other].sum())
    lost, gained = (int(part.sum()) for part in (right & ~found[best], found[best] & ~right))
    if gained - lost > GAIN * len(faces) and mcnemar(lost, gained) < CHANCE:
        lines.append(
            f"of {len(faces)} training faces float32 answers {found[best].mean():.1%} right with --pixels {best[0]} "
            f"--colour {best[1]}, and {right.mean():.1%} with --pixels {pixels} --colour {order}: which was it trained "
            "with?"
        )
    swapped, accuracy = best_order(truth, said, len(faces.classes))
    if accuracy - right.mean() > ORDER_GAIN:
        labels = ",".join(faces.classes[label] for label in swapped)
        lines.append(
            f"of {len(faces)} training faces float32 answers {accuracy:.1%} right with --labels {labels}, and "
            f"{right.mean():.1%} in the stated order: which is that of its outputs?"
        )
    return lines


def _unproven(inputs: Inputs, stated: ForeignNetworkSettings) -> list[str]:
    """Say what the faces cannot show."""
    lines = []
    if not (inputs.heldout.split == "validation").any():
        lines.append(
            f"{inputs.data} has no validation faces to fit a temperature on; it is 1, and scores are as they are"
        )
    if stated.crop_scale != 1:
        lines.append(
            f"the device will cut squares of {stated.crop_scale:g} x the face box; the figures hold if the faces of "
            f"{inputs.data} are cut so, too"
        )
    return lines
