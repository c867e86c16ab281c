"""A network with a large int8 error."""

from typing import Any

import numpy as np

SOBEL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)


def badly_built(loud: float) -> Any:
    """Two swish convolutions without BatchNorm: stripes in small channels, brightness in one scaled by `loud`."""
    import keras
    from keras import layers

    network = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(4, 3, activation="swish"),
            layers.Conv2D(3, 1, activation="swish"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        name="bad",
    )
    first = np.stack([SOBEL, SOBEL.T, np.full((3, 3), 0.1), np.full((3, 3), loud)], -1)[:, :, None]
    second = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0.1 / loud]])[None, None]
    arrays = (first, np.zeros(4), second, np.zeros(3), np.eye(3) * 40, np.zeros(3))
    network.set_weights([np.asarray(array, np.float32) for array in arrays])
    return network
