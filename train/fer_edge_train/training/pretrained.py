"""Transfer learning: a network starts from the weights of another one, with a new head for other classes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from fer_edge.console import console
from fer_edge.errors import DAMAGE, ModelError, UsageError
from fer_edge.recognition.classifier import BUNDLED
from fer_edge_train.evaluation.evaluate import load_network
from fer_edge_train.runs.folder import read_config

BUNDLED_NAME = "edge"
"""Value of --pretrained for the bundled model."""
WEIGHTS = BUNDLED.with_name("edge_weights.npz")
"""Float weights of the bundled model in float16; studies.distillation.float_weights makes them from its int8 file."""


class Pretrained(NamedTuple):
    """Weights to start from."""

    name: str
    weights: list[np.ndarray[Any, Any]]
    """In the order of `keras.Model.weights`; the last two are the kernel and bias of the head."""
    classes: tuple[str, ...] | None
    """Of the head; None if unknown."""


def load_pretrained(source: str) -> Pretrained:
    """Load `edge`, a run folder or a `.keras` file.

    Raises:
        FerEdgeError: It cannot be read.
    """
    if source == BUNDLED_NAME:
        try:
            with np.load(WEIGHTS, allow_pickle=False) as stored:
                names = sorted(name for name in stored.files if name.startswith("weight"))
                facts = json.loads(str(stored["facts"]))
                weights = [stored[name].astype(np.float32) for name in names]
                return Pretrained(source, weights, tuple(facts["classes"]))
        except DAMAGE as error:
            raise ModelError(f"{WEIGHTS} is missing or damaged; install fer-edge again: pip install .") from error
    path = Path(source)
    file = path / "best.keras" if path.is_dir() else path
    in_run = (file.parent / "config.json").is_file()
    classes = tuple(read_config(file.parent)["classes"]) if in_run else None
    return Pretrained(source, load_network(file).get_weights(), classes)


def start_from(network: keras.Model, source: str, classes: tuple[str, ...]) -> None:
    """Give `network` the weights of `source`; the head stays new unless it is for the same classes.

    Args:
        network: The new network, changed in place.
        source: `edge`, a run folder or a `.keras` file.
        classes: Of the new network, in output order.

    Raises:
        FerEdgeError: `source` cannot be read.
        UsageError: It is another architecture.
    """
    pretrained = load_pretrained(source)
    new = network.get_weights()
    own, given = ([weight.shape for weight in weights[:-2]] for weights in (new, pretrained.weights))
    if own != given:
        raise UsageError(
            f"--pretrained {source}: another architecture than --network {network.name} at --imgsz "
            f"{network.input_shape[1]}; give the --network and --imgsz of its training"
        )
    same = pretrained.classes == classes
    network.set_weights(pretrained.weights if same else [*pretrained.weights[:-2], *new[-2:]])
    head = "with its head" if same else f"with a new head for {', '.join(classes)}"
    console.print(f"starting from the weights of {source}, {head}")
