"""The networks of the two seed projects, layer by layer as published; only the softmax has moved into the loss."""

import keras
from keras import layers


def legend_cnn(classes: int, size: int) -> keras.Model:
    """Three Conv2D + MaxPooling, Flatten, Dense 1024, output over the classes (the legend.csv project)."""
    return keras.Sequential(
        [
            keras.Input((size, size, 1), name="grey"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(classes, name="logits"),
        ],
        name="legend-cnn",
    )


def expw_cnn(classes: int, size: int) -> keras.Model:
    """Convolution, max pooling, dense, dropout (the ExpW project)."""
    return keras.Sequential(
        [
            keras.Input((size, size, 1), name="grey"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Conv2D(128, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(classes, name="logits"),
        ],
        name="expw-cnn",
    )
