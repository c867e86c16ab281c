"""`nano`, `small` and `edge`, the bundled architecture: one family, designed to lose no accuracy in int8.

Batch normalisation after every convolution folds into it; ReLU6 bounds every activation, so 256 steps cover it;
stride instead of max pooling; no squeeze-excite, no swish.
"""

from typing import NamedTuple

import keras
from keras import layers


class Shape(NamedTuple):
    """Widths and depths of a network."""

    stem: int
    """Channels of the first convolution."""
    stages: tuple[tuple[int, int], ...]
    """Channels and residual blocks of each stage; each starts with a convolution of stride 2."""
    dropout: float
    """Before the dense layer; a small network has nothing to spare."""


SHAPES = {
    "nano": Shape(8, ((16, 1), (32, 1), (56, 1)), 0.1),  # 0.10 M parameters, 9 M multiply-accumulates at 48 px
    "small": Shape(12, ((20, 1), (40, 1), (80, 2)), 0.1),  # 0.30 M, 20 M
    "edge": Shape(16, ((32, 1), (64, 2), (128, 2)), 0.3),  # 0.86 M, 61 M
}


def edge(name: str, classes: int, size: int) -> keras.Model:
    """Build the network `name` of `SHAPES`: stem, three residual stages, global average pooling, dense to logits."""
    shape = SHAPES[name]
    faces = keras.Input((size, size, 1), name="grey")
    x = _conv(faces, shape.stem)
    for channels, blocks in shape.stages:
        x = _conv(x, channels, strides=2)
        for _ in range(blocks):
            x = _residual(x, channels)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(shape.dropout)(x)
    return keras.Model(faces, layers.Dense(classes, name="logits")(x), name=name)


def _conv(x: keras.KerasTensor, channels: int, strides: int = 1, *, activate: bool = True) -> keras.KerasTensor:
    x = layers.Conv2D(channels, 3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)  # 0.99 lags by 500 steps: short runs would validate at chance level
    return layers.ReLU(6.0)(x) if activate else x


def _residual(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    y = _conv(_conv(x, channels), channels, activate=False)
    return layers.ReLU(6.0)(layers.Add()([x, y]))
