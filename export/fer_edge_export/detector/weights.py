"""YuNet's weights, read from the ONNX file that OpenCV Zoo publishes."""

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
"""Of the feature pyramid, by the stride of their maps; coarse to fine, as they are computed."""
HEADS = ("head8", "head16", "head32")
HEAD_PARTS = ("classification", "box", "objectness", "landmarks")
"""In the order of the file."""
CHANNEL_ORDER = ("classification", "objectness", "box", "landmarks")
"""In which `fer_edge.detection.yunet` reads them from one map."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """A 1x1 convolution and the 3x3 depthwise convolution behind it; nothing stands between them."""

    pointwise: Floats
    """(inputs, outputs)."""
    pointwise_bias: Floats
    depthwise: Floats
    """(3, 3, outputs)."""
    depthwise_bias: Floats

    def scaled_between(self, factors: Floats) -> "Pair":
        """Multiply what the first convolution hands to the second; the answer stays the same."""
        return replace(
            self,
            pointwise=self.pointwise * factors,
            pointwise_bias=self.pointwise_bias * factors,
            depthwise=self.depthwise / factors,
        )

    def normalised(self, scale: Floats, offset: Floats) -> "Pair":
        """Let it answer (y - offset) / scale instead of y."""
        return replace(self, depthwise=self.depthwise / scale, depthwise_bias=(self.depthwise_bias - offset) / scale)


@dataclass(frozen=True)
class Weights:
    """All of YuNet: a first convolution, and pairs by their name."""

    stem: Floats
    """(3, 3, 3, 16): rows, columns, BGR in 0..1, outputs; stride 2, one pixel of padding on each side."""
    stem_bias: Floats
    pairs: dict[str, Pair]


def read_weights(path: Path = SOURCE) -> Weights:
    """Read `face_detection_yunet_2023mar.onnx`; its input of 0..255 becomes 0..1, and the heads of a stride one pair.

    Raises:
        ModelError: The file is missing, or another one.
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
    pairs |= {head: _side_by_side([parts[part, head] for part in CHANNEL_ORDER]) for head in HEADS}
    return Weights(255 * stem.transpose(2, 3, 1, 0), stem_bias, pairs)


def _side_by_side(pairs: list[Pair]) -> Pair:
    """One pair that answers what several answer to the same input, channel behind channel."""
    fields = ("pointwise", "pointwise_bias", "depthwise", "depthwise_bias")
    return Pair(*(np.concatenate([getattr(pair, field) for pair in pairs], axis=-1) for field in fields))
