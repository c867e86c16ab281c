"""YuNet as a Keras network. Imports Keras; import this module inside a function."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from fer_edge_export.detector.weights import HEADS, Pair, Weights


class Enlarge(layers.Layer):
    """`UpSampling2D(2)`, nearest: (n, rows, columns, channels) to (n, 2 rows, 2 columns, channels).

    Keras' own layer becomes eight operators that XNNPACK does not run, with a fixed map size; this becomes two
    (CONCATENATION, DEPTH_TO_SPACE) that it runs, for maps of any size.
    """

    def call(self, maps: Any) -> Any:
        """Repeat each value four times."""
        import tensorflow as tf

        return tf.nn.depth_to_space(tf.concat([maps] * 4, axis=-1), 2)


class Clip(layers.Layer):
    """Clip a map to -1..1; TFLite's converter fuses it into the previous convolution."""

    def call(self, maps: Any) -> Any:
        """Clip `maps`, of any shape."""
        return keras.ops.minimum(keras.ops.maximum(maps, -1.0), 1.0)


def make_network(
    weights: Weights, size_hw: tuple[int | None, int | None] = (None, None), *, clip: bool = False
) -> keras.Model:
    """Build YuNet (Wu et al. 2023) for inputs of any multiple of 32.

    Layers are named after their pair, `NAME_pointwise` and `NAME_depthwise`; the sums of the feature pyramid are
    `sum16` and `sum8`.

    Args:
        weights: Its weights.
        size_hw: Input height and width in pixels; None for any.
        clip: Whether to clip its maps to -1..1.

    Returns:
        keras.Model; (n, height, width, 3) BGR in 0..1 in, the three maps of `fer_edge.detection.yunet` out.
    """
    frames = keras.Input((*size_hw, 3), name="bgr")
    stem = layers.Conv2D(16, 3, strides=2, activation="relu", name="stem")
    x = stem(layers.ZeroPadding2D(1)(frames))
    stem.set_weights([weights.stem, weights.stem_bias])

    def pair(x: keras.KerasTensor, name: str, *, activate: bool = True) -> keras.KerasTensor:
        one = weights.pairs[name]
        pointwise = layers.Conv2D(one.pointwise.shape[1], 1, name=f"{name}_pointwise")
        activation = "relu" if activate else None
        depthwise = layers.DepthwiseConv2D(3, padding="same", activation=activation, name=f"{name}_depthwise")
        y = depthwise(pointwise(x))
        for layer, values in zip((pointwise, depthwise), _as_keras(one), strict=True):
            layer.set_weights(values)
        return y

    x = layers.MaxPooling2D()(pair(x, "stage0"))
    x = pair(pair(x, "stage1a"), "stage1b")
    x = layers.MaxPooling2D()(pair(pair(x, "stage2a"), "stage2b"))
    at8 = pair(pair(x, "stage3a"), "stage3b")
    at16 = pair(pair(layers.MaxPooling2D()(at8), "stage4a"), "stage4b")
    at32 = pair(pair(layers.MaxPooling2D()(at16), "stage5a"), "stage5b")
    at32 = pair(at32, "lateral32")
    at16 = pair(layers.Add(name="sum16")([at16, Enlarge()(at32)]), "lateral16")
    at8 = pair(layers.Add(name="sum8")([at8, Enlarge()(at16)]), "lateral8")
    maps = [pair(x, name, activate=False) for x, name in zip((at8, at16, at32), HEADS, strict=True)]
    return keras.Model(frames, [Clip()(one) for one in maps] if clip else maps, name="yunet")


def _as_keras(pair: Pair) -> Iterator[list[Any]]:
    yield [pair.pointwise[None, None], pair.pointwise_bias]
    yield [pair.depthwise[..., None], pair.depthwise_bias]
