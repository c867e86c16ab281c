"""Write an expression model as a C header for TensorFlow Lite Micro.

The array has the format of `xxd -i`, as in TFLM's examples: aligned to 16 bytes, with `..._len`. It has no zip tail:
labels, quantisation, temperature and crop scale are in the header.
"""

from collections.abc import Iterable

from fer_edge.errors import ModelError
from fer_edge.files import sha256
from fer_edge.imaging.images import InputColour
from fer_edge.model.contract import CROP_RULE, Model
from fer_edge.model.operators import operators
from fer_edge_export.flatbuffer import Graph
from fer_edge_export.microcontroller.arena import Arena, arena_bytes

_RESOLVER = """
Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs BroadcastTo CallOnce
Cast Ceil Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D Dequantize Div DynamicUpdateSlice Elu
EmbeddingLookup Equal Exp ExpandDims Fill Floor FloorDiv FloorMod FullyConnected Gather GatherNd Greater GreaterEqual
HardSwish If L2Normalization L2Pool2D LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr Logistic LogSoftmax
MaxPool2D Maximum Mean Minimum MirrorPad Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize ReadVariable ReduceMax Relu
Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt SelectV2 Shape Sin Slice Softmax
SpaceToBatchNd SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StridedSlice Sub Sum Svdf Tanh
Transpose TransposeConv UnidirectionalSequenceLSTM Unpack VarHandle While ZerosLike
"""
RESOLVER = {name.lower(): f"Add{name}" for name in _RESOLVER.split()}
"""Operator name, lower case without underscores -> method of `tflite::MicroMutableOpResolver`; from
python/tflite_micro/python_ops_resolver.cc of tensorflow/tflite-micro (November 2026, 03e16b2) and the kernels in
tflite-micro 0.dev20261023182759."""

BYTES_PER_LINE = 12
"""As in `xxd -i`."""

INPUTS: dict[InputColour, str] = {
    "grey": "one grey byte each",
    "rgb": "three bytes each in the order red, green, blue",
}


def c_header(model: Model) -> str:
    """Format a full int8 expression model as a header for C99 and C++11.

    Raises:
        ModelError: It is of another recipe, or TensorFlow Lite Micro lacks one of its operators.
    """
    graph = Graph(model.flatbuffer)
    _require_int8(model, graph)
    calls = _resolver_calls(model)
    arena = arena_bytes(model.flatbuffer)
    lines = [
        *_introduction(model, graph, arena),
        "",
        "#ifndef FER_EDGE_MODEL_H_",
        "#define FER_EDGE_MODEL_H_",
        "",
        *_facts(model, graph, arena),
        "",
        f"#define FER_EDGE_OPERATOR_COUNT {len(calls)}",
        "#define FER_EDGE_ADD_OPERATORS(resolver) \\",
        "  do { \\",
        *(f"    (resolver).{call}(); \\" for call in calls),
        "  } while (0)",
        "",
        "static const char *const fer_edge_labels[FER_EDGE_LABEL_COUNT] = {",
        *(f"    {c_string(label)}," for label in model.contract.labels),
        "};",
        "",
        *_array(model.flatbuffer),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def c_string(text: str) -> str:
    r"""Quote `text` for C as UTF-8; non-ASCII and special characters become three octal digits.

    >>> print(c_string('say "é"?'))
    "say \042\303\251\042\077"
    """
    unescaped = set(range(0x20, 0x7F)) - set(b'"\\?')  # two question marks may start a trigraph
    return '"' + "".join(chr(byte) if byte in unescaped else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _require_int8(model: Model, graph: Graph) -> None:
    input_type, output_type = graph.type(graph.inputs[0]), graph.type(graph.outputs[0])
    if model.contract.recipe != "int8" or (input_type, output_type) != ("UINT8", "INT8"):
        raise ModelError(
            f"{model.path}: input {input_type}, output {output_type} (recipe {model.contract.recipe}); a C header "
            "needs full int8: fer-edge export RUN --recipe int8 --c-array"
        )


def _resolver_calls(model: Model) -> list[str]:
    names = sorted(operators(model.flatbuffer))
    missing = [name for name in names if name.replace("_", "").lower() not in RESOLVER]
    if missing:
        raise ModelError(
            f"{model.path}: TensorFlow Lite Micro has no {', '.join(missing)}; leave out --c-array, or train another "
            "network: fer-edge train --network edge"
        )
    return [RESOLVER[name.replace("_", "").lower()] for name in names]


def _introduction(model: Model, graph: Graph, arena: Arena) -> Iterable[str]:
    dense = [
        graph.operator_inputs(operator)[1] for operator in graph.operators if graph.kind(operator) == "FULLY_CONNECTED"
    ]
    yield f"// {c_string(model.path.name)} for TensorFlow Lite Micro, written by fer-edge export."
    yield f"// sha256 of the array: {sha256(model.flatbuffer)}"
    yield "//"
    yield "// Include it in one source file only: each file gets its own copy of the array."
    yield "//"
    yield "//   alignas(16) static uint8_t arena[FER_EDGE_ARENA_BYTES];"
    yield "//   static tflite::MicroMutableOpResolver<FER_EDGE_OPERATOR_COUNT> resolver;"
    yield "//   FER_EDGE_ADD_OPERATORS(resolver);"
    yield "//   static tflite::MicroInterpreter interpreter("
    yield "//       tflite::GetModel(fer_edge_model), resolver, arena, FER_EDGE_ARENA_BYTES);"
    yield "//   interpreter.AllocateTensors();"
    yield "//"
    yield f"// Input: uint8 pixels, unchanged from the camera, {INPUTS[model.contract.colour]}, of the face:"
    yield f"//   {CROP_RULE[model.contract.colour]};"
    yield "//   the square's side is FER_EDGE_CROP_SCALE x the longer side of the face box."
    yield "// Output: logit[i] = (int8[i] - FER_EDGE_OUTPUT_ZERO_POINT) * FER_EDGE_OUTPUT_SCALE;"
    yield "//   probabilities = softmax(logit / FER_EDGE_TEMPERATURE), in the order of fer_edge_labels;"
    yield "//   if the largest one is below FER_EDGE_UNCERTAIN_BELOW, the result is uncertain."
    yield f"// Arena: {arena.how}."
    yield "//   This is for TFLM's reference kernels; optimised ones (CMSIS-NN, ESP-NN) may need more: if"
    yield "//   AllocateTensors() fails, enlarge it, then read interpreter.arena_used_bytes()."
    if any(len(graph.quantizations(kernel)) > 1 for kernel in dense):
        yield "// The fully connected layers have a scale per channel, which TFLM supports since autumn 2024."


def _facts(model: Model, graph: Graph, arena: Arena) -> list[str]:
    _, height, width, channels = graph.shape(graph.inputs[0])
    [pixels], [logits] = graph.quantizations(graph.inputs[0]), graph.quantizations(graph.outputs[0])
    contract = model.contract
    facts = {
        "ARENA_BYTES": str(arena.bytes),
        "INPUT_HEIGHT": str(height),
        "INPUT_WIDTH": str(width),
        "INPUT_CHANNELS": str(channels),
        "INPUT_SCALE": c_float(pixels.scale),
        "INPUT_ZERO_POINT": str(pixels.zero_point),
        "OUTPUT_SCALE": c_float(logits.scale),
        "OUTPUT_ZERO_POINT": f"({logits.zero_point})",
        "LABEL_COUNT": str(len(contract.labels)),
        "TEMPERATURE": c_float(contract.temperature),
        "UNCERTAIN_BELOW": c_float(contract.uncertain_below),
        "CROP_SCALE": c_float(contract.crop_scale),
    }
    return [f"#define FER_EDGE_{name} {value}" for name, value in facts.items()]


def c_float(value: float) -> str:
    """Format a float for C without loss of float32 precision.

    >>> c_float(1.0), c_float(0.4)
    ('1.0f', '0.4f')
    """
    digits = f"{value:.9g}"
    return f"{digits}f" if "." in digits or "e" in digits else f"{digits}.0f"


def _array(content: bytes) -> Iterable[str]:
    yield "#if defined(__cplusplus)"
    yield "alignas(16)"
    yield "#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L"
    yield "_Alignas(16)"
    yield "#else"
    yield "__attribute__((aligned(16)))"
    yield "#endif"
    yield "static const unsigned char fer_edge_model[] = {"
    for at in range(0, len(content), BYTES_PER_LINE):
        yield "    " + " ".join(f"0x{byte:02x}," for byte in content[at : at + BYTES_PER_LINE])
    yield "};"
    yield f"static const unsigned int fer_edge_model_len = {len(content)};"
