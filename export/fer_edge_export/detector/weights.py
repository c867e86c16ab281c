"""Read YuNet's weights from the ONNX file of OpenCV Zoo."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError, needs
from fer_edge.files import sha256

SOURCE = Path(__file__).parent / "face_detection_yunet_2023mar.onnx"
DIGEST = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""sha256 of `SOURCE`, as in OpenCV Zoo's LFS pointer for models/face_detection_yunet/."""

BACKBONE = ("stage0", *(f"stage{stage}{block}" for stage in range(1, 6) for block in "ab"))
LATERALS = ("lateral32", "lateral16", "lateral8")
"""Feature pyramid, by the stride of the maps; coarse to fine, in execution order."""
HEADS = ("head8", "head16", "head32")
HEAD_PARTS = ("classification", "box", "objectness", "landmarks")
"""Order in the file."""
CHANNEL_ORDER = ("classification", "objectness", "box", "landmarks")
"""Order in a map of `fer_edge.detection.yunet`."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """A 1x1 convolution followed by a 3x3 depthwise convolution, without activation in between."""

    pointwise: Floats
    """(inputs, outputs)."""
    pointwise_bias: Floats
    depthwise: Floats
    """(3, 3, outputs)."""
    depthwise_bias: Floats

    def scaled_between(self, factors: Floats) -> "Pair":
        """Scale the channels between both convolutions; the output stays the same."""
        return replace(
            self,
            pointwise=self.pointwise * factors,
            pointwise_bias=self.pointwise_bias * factors,
            depthwise=self.depthwise / factors,
        )

    def normalised(self, scale: Floats, offset: Floats) -> "Pair":
        """Change the output y to (y - offset) / scale."""
        return replace(self, depthwise=self.depthwise / scale, depthwise_bias=(self.depthwise_bias - offset) / scale)


@dataclass(frozen=True)
class Weights:
    """All weights of YuNet: the first convolution, and pairs by name."""

    stem: Floats
    """(3, 3, 3, 16): rows, columns, BGR in 0..1, outputs; stride 2, one pixel of padding on each side."""
    stem_bias: Floats
    pairs: dict[str, Pair]


def read_weights(path: Path = SOURCE) -> Weights:
    """Read `face_detection_yunet_2023mar.onnx`; input 0..255 becomes 0..1, and the heads of a stride one pair.

    Raises:
        ModelError: The file is missing, or has another sha256.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; it is part of fer-edge's source: git checkout") from error
    if sha256(content) != DIGEST:
        raise ModelError(f"{path}: not face_detection_yunet_2023mar.onnx of OpenCV Zoo (its sha256 is {DIGEST})")
    with needs("dev"):
        import onnx
        from onnx import numpy_helper
    graph = onnx.load_model_from_string(content).graph
    arrays = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in graph.initializer}
    convolutions = iter(
        [(arrays[node.input[1]], arrays[node.input[2]]) for node in graph.node if node.op_type == "Conv"]
    )

    def next_pair() -> Pair:
        (pointwise, pointwise_bias), (depthwise, depthwise_bias) = next(convolutions), next(convolutions)
        return Pair(pointwise[:, :, 0, 0].T, pointwise_bias, depthwise[:, 0].transpose(1, 2, 0), depthwise_bias)

    stem, stem_bias = next(convolutions)
    pairs = {name: next_pair() for name in chain(BACKBONE, LATERALS)}
    parts = {(part, head): next_pair() for part in HEAD_PARTS for head in HEADS}
    pairs |= {head: _concatenated([parts[part, head] for part in CHANNEL_ORDER]) for head in HEADS}
    return Weights(255 * stem.transpose(2, 3, 1, 0), stem_bias, pairs)


def _concatenated(pairs: list[Pair]) -> Pair:
    """Join pairs with the same input into one, along the output channels."""
    fields = ("pointwise", "pointwise_bias", "depthwise", "depthwise_bias")
    return Pair(*(np.concatenate([getattr(pair, field) for pair in pairs], axis=-1) for field in fields))
