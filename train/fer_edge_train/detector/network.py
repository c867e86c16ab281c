"""`face`: the face detector that ships, built so that int8 costs nothing and one thread needs well under a millisecond.

Two plain convolutions bring the picture to a quarter, where depthwise separable blocks take over; the deepest map sees
the whole picture and is added back, twice enlarged, so that one map of stride 8 answers for every size of face.
Any input whose sides are multiples of 8 will do, with the same weights.
"""

import keras
from keras import layers

from fer_edge.centre_points import STRIDE
from fer_edge.errors import UsageError

NARROW, QUARTER = 8, 24
STAGES = ((64, 3), (96, 2), (128, 1))
"""Channels and further blocks at strides 8, 16, 32; each stage begins with a block of stride 2."""
JOINED, HEAD = 48, 48
"""Channels where the maps are added, and those that the answers are read from."""


def face_detector(height: int, width: int) -> keras.Model:
    """Build the network: (n, height, width, 1) grey in [0, 1] to the maps of `fer_edge.centre_points`.

    Raises:
        UsageError: A side is no multiple of 8, or below 64.
    """
    if height % STRIDE or width % STRIDE or min(height, width) < 64:
        raise UsageError(f"input {width}x{height}: sides must be multiples of {STRIDE} from 64 on, such as 320x240")
    pictures = keras.Input((height, width, 1), name="grey")
    x = _normed(layers.Conv2D(NARROW, 3, strides=2, padding="same", use_bias=False)(pictures))
    x = _normed(layers.Conv2D(QUARTER, 3, strides=2, padding="same", use_bias=False)(x))
    maps = []
    for channels, blocks in STAGES:
        x = _block(x, channels, strides=2)
        for _ in range(blocks):
            x = _block(x, channels)
        maps.append(x)
    x = _point(maps[2], JOINED)
    x = _block(layers.Add()([_enlarged(x, maps[1], 16), _point(maps[1], JOINED)]), JOINED)
    x = _block(layers.Add()([_enlarged(x, maps[0], 8), _point(maps[0], JOINED)]), HEAD)
    rare = keras.initializers.Constant(-4.0)  # faces are rare among cells: start there, or the first steps are wasted
    heat = layers.Conv2D(1, 1, bias_initializer=rare, name="heat")(x)
    geometry = layers.Conv2D(8, 1, name="geometry")(x)
    return keras.Model(pictures, {"heat": heat, "geometry": geometry}, name="face")


def _normed(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(6.0)(layers.BatchNormalization()(x))


def _point(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    return _normed(layers.Conv2D(channels, 1, use_bias=False)(x))


def _block(x: keras.KerasTensor, channels: int, strides: int = 1) -> keras.KerasTensor:
    before, padding = x, "same"
    if strides == 2:
        # "same" would centre an odd map's windows elsewhere than an even map's, and the weights fit one place only
        x, padding = layers.ZeroPadding2D(((0, 2), (0, 2)))(x), "valid"
    x = _normed(layers.DepthwiseConv2D(3, strides=strides, padding=padding, use_bias=False)(x))
    x = layers.BatchNormalization()(layers.Conv2D(channels, 1, use_bias=False)(x))
    if strides == 1 and before.shape[-1] == channels:
        x = layers.Add()([before, x])
    return layers.ReLU(6.0)(x)


def _enlarged(x: keras.KerasTensor, like: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """Bring a map to the size of the next finer one; the layer's name tells `fer-edge export` which stride that is."""
    x = layers.UpSampling2D(2)(x)
    beyond = x.shape[1] - like.shape[1], x.shape[2] - like.shape[2]
    return layers.Cropping2D(((0, beyond[0]), (0, beyond[1])), name=f"to_stride_{stride}")(x)
