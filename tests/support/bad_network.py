"""A network that loses accuracy in int8."""

from typing import Any

import numpy as np

SOBEL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)


def badly_built(outlier_scale: float) -> Any:
    """Two swish convolutions without BatchNorm; one channel, for brightness, is scaled by `outlier_scale`."""
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
    first = np.stack([SOBEL, SOBEL.T, np.full((3, 3), 0.1), np.full((3, 3), outlier_scale)], -1)[:, :, None]
    second = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0.1 / outlier_scale]])[None, None]
    arrays = (first, np.zeros(4), second, np.zeros(3), np.eye(3) * 40, np.zeros(3))
    network.set_weights([np.asarray(array, np.float32) for array in arrays])
    return network
