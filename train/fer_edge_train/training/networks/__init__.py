"""Network architectures by name. Each takes (size, size, 1) grey in [0, 1] and returns logits.

The softmax is not part of the network: an int8 softmax has steps of 1/256, and one face in a hundred ties.
"""

from collections.abc import Callable
from functools import partial

import keras

from fer_edge.errors import UsageError
from fer_edge_train.training.networks.edge import SHAPES, edge
from fer_edge_train.training.networks.seeds import expw_cnn, legend_cnn

NETWORKS: dict[str, Callable[[int, int], keras.Model]] = {
    **{name: partial(edge, name) for name in SHAPES},
    "legend-cnn": legend_cnn,
    "expw-cnn": expw_cnn,
}
"""Each is called with the number of classes and the side of the input in pixels."""


def make_network(name: str, classes: int, size: int) -> keras.Model:
    """Build the network called `name`, with new weights.

    Raises:
        UsageError: Unknown name.
    """
    if name not in NETWORKS:
        raise UsageError(f"--network {name}: unknown; choose one of: {', '.join(NETWORKS)}")
    return NETWORKS[name](classes, size)
