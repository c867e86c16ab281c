"""Operators of a model that an Edge TPU or a Hexagon would not take, by what their makers have written down.

No promises: neither compiler is at hand here. What is listed is refused by the documents below; what is not listed may
still be, for reasons that they do not give.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from fer_edge_export.microcontroller.graph import Operator, read_graphs

EIGHT_BIT = ("INT8", "UINT8")

Rule = Callable[[Operator], str | None]
"""Why a target does not take an operator; None where nothing speaks against it."""


@dataclass(frozen=True)
class Target:
    """An accelerator, what is known of it and what is not."""

    name: str
    source: str
    """Where its rules stand, and when they were read."""
    unknown: str
    """What they leave open."""
    names: frozenset[str]
    """Operators that it takes at all."""
    every: Rule
    """What holds for each of them, asked first."""
    rules: dict[str, Rule]
    """What holds for one of them."""


@dataclass(frozen=True)
class Untaken:
    """Operators of a model that a target would not take, for one reason."""

    target: str
    operator: str
    count: int
    reason: str


def untaken(flatbuffer: bytes) -> list[Untaken]:
    """List what the targets would not take of a model: by target, then in order of first use.

    Args:
        flatbuffer: A sound TFLite model of any recipe.
    """
    operators = [operator for graph in read_graphs(flatbuffer) for operator in graph.operators]
    found: Counter[tuple[str, str, str]] = Counter()
    for target in TARGETS:
        for operator in operators:
            reason = why_not(target, operator)
            if reason:
                found[target.name, operator.name, reason] += 1
    return [Untaken(target, name, count, reason) for (target, name, reason), count in found.items()]


def why_not(target: Target, operator: Operator) -> str | None:
    """Say why a target would not take an operator; None where nothing that is known speaks against it."""
    if operator.name not in target.names:
        return "not among its operators"
    rule = target.rules.get(operator.name)
    return target.every(operator) or (rule(operator) if rule else None)


def _computed_parameter(operator: Operator) -> str | None:
    """A shape, an axis or a size that is computed leaves the size of the output open until the model runs."""
    eight_bit = any(tensor.type in EIGHT_BIT for tensor in operator.inputs)
    computed = any(tensor.type in ("INT32", "INT64") and tensor.content is None for tensor in operator.inputs)
    return "a size or axis is computed while running; sizes must be fixed" if eight_bit and computed else None


def _not_eight_bit(operator: Operator) -> str | None:
    for tensor in (*operator.inputs, *operator.outputs):
        if tensor.type not in EIGHT_BIT and tensor.content is None:
            return f"works on {tensor.type}, and not on 8-bit integers"
    return None


def _no_activation(operator: Operator) -> str | None:
    return "has a fused activation" if operator.options["fusedActivationFunction"] else None


def _axes(operator: Operator) -> set[int]:
    """Axes that a reduction or split works along, counted from 0; its constant inputs of whole numbers name them."""
    rank = max(len(tensor.shape) for tensor in operator.inputs)
    named = [tensor for tensor in operator.inputs if tensor.type == "INT32" and tensor.content is not None]
    return {int(axis) % rank for tensor in named for axis in tensor.integers()}


def _not_along_batch(operator: Operator) -> str | None:
    return "works along the batch dimension" if 0 in _axes(operator) else None


def _edge_tpu_every(operator: Operator) -> str | None:
    computed = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor.content is None]
    if any(side > 1 for tensor in computed for side in tensor.shape[:-3]):
        return "only the three innermost dimensions may be larger than 1"
    return _computed_parameter(operator) or _not_eight_bit(operator)


def _concatenation(operator: Operator) -> str | None:
    constants = [tensor for tensor in operator.inputs if tensor.content is not None]
    if constants and len(operator.inputs) != 2:
        return "a constant input is taken only as zero padding of one other input"
    return _no_activation(operator)


def _same_dilation(operator: Operator) -> str | None:
    same = operator.options["dilationWFactor"] == operator.options["dilationHFactor"]
    return None if same else "dilation differs between x and y"


def _fully_connected(operator: Operator) -> str | None:
    if operator.options["weightsFormat"]:
        return "weights are not in the default format"
    several = any(side > 1 for side in operator.outputs[0].shape[:-1])
    return "its output has more than one dimension" if several else None


def _mean(operator: Operator) -> str | None:
    shape = operator.inputs[0].shape
    if len(shape) - 1 in _axes(operator) and shape[-1] % 4:
        return "reduces a number of channels that is no multiple of 4"
    return _not_along_batch(operator)


def _pack(operator: Operator) -> str | None:
    return None if operator.options["axis"] else "works along the batch dimension"


def _pad(operator: Operator) -> str | None:
    return "pads the batch dimension" if operator.inputs[1].integers()[:2].any() else None


def _prelu(operator: Operator) -> str | None:
    shared = all(side == 1 for side in operator.inputs[1].shape[:-1])
    return None if shared else "alpha differs from place to place (Keras: shared_axes=[1, 2])"


def _softmax(operator: Operator) -> str | None:
    *outer, last = operator.inputs[0].shape
    return None if max(outer, default=1) == 1 and last <= 16_000 else "takes one row of at most 16,000 numbers"


def _strided_slice(operator: Operator) -> str | None:
    options = operator.options
    plain = (operator.inputs[3].integers() == 1).all() and not options["ellipsisMask"] and not options["newAxisMask"]
    return None if plain else "has a stride, an ellipsis or a new axis"


_EDGE_TPU_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED L2_NORMALIZATION LOGISTIC
MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE
RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE
STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM
"""
_EDGE_TPU: dict[str, Rule] = {
    "AVERAGE_POOL_2D": _no_activation,
    "CONCATENATION": _concatenation,
    "CONV_2D": _same_dilation,
    "DEPTHWISE_CONV_2D": _same_dilation,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _no_activation,
    "MEAN": _mean,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _not_along_batch,
    "REDUCE_MIN": _not_along_batch,
    "SOFTMAX": _softmax,
    "SPLIT": _not_along_batch,
    "STRIDED_SLICE": _strided_slice,
    "SUM": _not_along_batch,
}


def _hexagon_every(operator: Operator) -> str | None:
    if any(len(tensor.shape) > 4 for tensor in (*operator.inputs, *operator.outputs)):
        return "more than four dimensions"
    highest = _HEXAGON_VERSIONS.get(operator.name, 2)
    if operator.version > highest:
        return f"version {operator.version}; versions up to {highest} are taken"
    return _computed_parameter(operator) or _not_eight_bit(operator)


def _only_relu(operator: Operator) -> str | None:
    """kTfLiteActNone, Relu, ReluN1To1 and Relu6 are 0 to 3."""
    return "has a fused activation other than ReLU, ReLU6" if operator.options["fusedActivationFunction"] > 3 else None


def _short_stride(operator: Operator) -> str | None:
    return "a stride is larger than 3" if max(operator.options["strideW"], operator.options["strideH"]) > 3 else None


def _dilated(operator: Operator) -> bool:
    return bool(max(operator.options["dilationWFactor"], operator.options["dilationHFactor"]) > 1)


def _hexagon_conv(operator: Operator) -> str | None:
    if _dilated(operator):
        return "is dilated"
    return _short_stride(operator) or _only_relu(operator)


def _hexagon_depthwise(operator: Operator) -> str | None:
    options = operator.options
    if _dilated(operator) and max(options["strideW"], options["strideH"]) > 1:
        return "is dilated and has a stride"
    if options["depthMultiplier"] != 1 and (_dilated(operator) or operator.inputs[0].shape[-1] != 1):
        return "makes several channels of one"
    if operator.inputs[1].shape[1] < 2:
        return "its filter is one row high"
    return _short_stride(operator) or _only_relu(operator)


def _hexagon_fully_connected(operator: Operator) -> str | None:
    if operator.options["weightsFormat"] or operator.options["keepNumDims"]:
        return "weights are not in the default format, or dimensions are kept"
    return _only_relu(operator)


def _hexagon_max_pool(operator: Operator) -> str | None:
    options = operator.options
    if options["padding"] == 0 and max(options["filterWidth"], options["filterHeight"]) > 12:  # 0 is SAME
        return "a window larger than 12 with padding SAME"
    return _no_activation(operator)


def _hexagon_strided_slice(operator: Operator) -> str | None:
    masked = operator.options["ellipsisMask"] or operator.options["newAxisMask"]
    return "has an ellipsis or a new axis" if masked else None


_HEXAGON_NAMES = """
ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE FULLY_CONNECTED HARD_SWISH
L2_NORMALIZATION LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK PAD QUANTIZE RELU RELU6 RESHAPE
RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE STRIDED_SLICE SUB
TANH TRANSPOSE TRANSPOSE_CONV
"""
_HEXAGON: dict[str, Rule] = {
    "ADD": _only_relu,
    "AVERAGE_POOL_2D": _no_activation,
    "CONV_2D": _hexagon_conv,
    "DEPTHWISE_CONV_2D": _hexagon_depthwise,
    "FULLY_CONNECTED": _hexagon_fully_connected,
    "L2_NORMALIZATION": _no_activation,
    "MAX_POOL_2D": _hexagon_max_pool,
    "MUL": _only_relu,
    "STRIDED_SLICE": _hexagon_strided_slice,
    "SUB": _only_relu,
    "TRANSPOSE_CONV": _short_stride,
}
_HEXAGON_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "HARD_SWISH": 1,
    "NEG": 1,
    "RESHAPE": 1,
    "RESIZE_BILINEAR": 3,
    "RESIZE_NEAREST_NEIGHBOR": 3,
    "TRANSPOSE_CONV": 3,
}
"""Highest version of an operator, in the schema's sense, that is taken; 2 where none is given."""

TARGETS = (
    Target(
        name="Edge TPU",
        source=(
            "coral.ai/docs/edgetpu/models-intro, supported operations of runtime 14 (compiler 16, 2021), read in "
            "November 2026 in others' copies (developer.axis.com); RSQRT, SQUARED_DIFFERENCE, SUM, TRANSPOSE not seen"
        ),
        unknown=(
            "The compiler may leave resizes and large reshapes to the processor, and knows no operator version made "
            "after 2021. From the first operator that it does not take, all that follow run on the processor."
        ),
        names=frozenset(_EDGE_TPU_NAMES.split()),
        every=_edge_tpu_every,
        rules=_EDGE_TPU,
    ),
    Target(
        name="Hexagon",
        source="tensorflow/lite/delegates/hexagon/utils.cc of TensorFlow at f841af26, read in November 2026",
        unknown=(
            "The delegate serves Snapdragons up to about 2020, and TensorFlow no longer supports it. What Qualcomm's "
            "own tools (QNN, AI Engine Direct) take today is not known here."
        ),
        names=frozenset(_HEXAGON_NAMES.split()),
        every=_hexagon_every,
        rules=_HEXAGON,
    ),
)
