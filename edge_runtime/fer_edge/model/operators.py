"""List the operators of a TFLite model, and reject custom ones.

Parses the few tables it needs by TFLite's schema, version 3 (`schema.fbs` in LiteRT's sources), with every offset
checked: the schema in ai-edge-litert is slow to import on a Pi, and tflite-runtime has none.
"""

import struct
from collections import Counter
from pathlib import Path

from fer_edge.errors import ModelError

_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH
SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE
TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK
LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL
FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL
REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND
HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS
HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU
DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE
STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE
STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG
STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT
STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL
STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
"""
BUILTIN = _NAMES.split()
"""Names by code (`BuiltinOperator` in the schema of ai-edge-litert 2.1.6)."""

CUSTOM_PREFIX = "custom:"
LONGEST_NAME = 200
"""Maximum bytes of a custom operator's name: a small file can reference one string a million times."""


def operators(flatbuffer: bytes) -> dict[str, int]:
    """Count the operators of a TFLite model.

    Args:
        flatbuffer: The model; bytes after it are ignored.

    Returns:
        Count by name, such as "CONV_2D" or "custom:FlexErf", in order of first use over all subgraphs; an operator
        newer than this module is "builtin:NUMBER".

    Raises:
        ModelError: It is not a TFLite model, or its tables point outside it.
    """
    if flatbuffer[4:8] != b"TFL3":
        raise ModelError("not a TFLite model: its identifier TFL3 is missing")
    try:
        model = _Table(flatbuffer, _follow(flatbuffer, 0))
        names = [_name(code) for code in model.tables(1)]
        used = (operator.number(0) for graph in model.tables(2) for operator in graph.tables(3))
        return dict(Counter(names[number] for number in used))
    except (struct.error, LookupError, ValueError) as error:
        raise ModelError(f"its flatbuffer is damaged ({error})") from error


def refuse_custom(path: Path | str, flatbuffer: bytes) -> None:
    """Check that every operator is built into TFLite, so that each runtime has it.

    Args:
        path: The model's name in the message.
        flatbuffer: The model.

    Raises:
        ModelError: It has Flex (TensorFlow) or custom operators, or is damaged.
    """
    try:
        found = operators(flatbuffer)
    except ModelError as error:
        raise ModelError(f"{path}: {error}; copy it again, or make one: fer-edge export RUN") from error
    foreign = [repr(name.removeprefix(CUSTOM_PREFIX)) for name in found if name.startswith(CUSTOM_PREFIX)]
    if foreign:
        others = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise ModelError(
            f"{path}: operators that are not built into TFLite: {', '.join(foreign[:5])}{others}; replace their layers "
            "with standard Keras layers, then type: fer-edge export RUN"
        )


def of_first_versions(flatbuffer: bytes) -> bytes:
    """Set the version of every operator to 1, which all kernels are registered for.

    A version only states which features an operator needs. The reference kernels of both runtimes are registered for
    fewer versions than they implement, such as none with int8 for DEPTH_TO_SPACE and TILE.

    Args:
        flatbuffer: A TFLite model; not modified.

    Returns:
        A model of the same length; a damaged one unchanged, which the runtime will reject.
    """
    changed = bytearray(flatbuffer)
    try:
        for code in _Table(flatbuffer, _follow(flatbuffer, 0)).tables(1):
            if (at := code.position(2)) is not None:
                struct.pack_into("<i", changed, at, 1)
    except (struct.error, LookupError, ValueError):
        return flatbuffer
    return bytes(changed)


class _Table:
    """A flatbuffer table: fields by their number in the schema, every offset checked."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._vtable = at - int(_unpack("<i", data, at))
        self._fields = (int(_unpack("<H", data, self._vtable)) - 4) // 2

    def position(self, number: int) -> int | None:
        """Position of a field's value; None if absent."""
        if number >= self._fields:
            return None
        offset = int(_unpack("<H", self._data, self._vtable + 4 + 2 * number))
        return self._at + offset if offset else None

    def number(self, field: int, code: str = "<I") -> int:
        """A numeric field of `struct` type `code`; 0, the schema's default for the fields used here, if absent."""
        at = self.position(field)
        return 0 if at is None else int(_unpack(code, self._data, at))

    def text(self, field: int) -> str:
        """A string field; empty if absent."""
        at = self.position(field)
        if at is None:
            return ""
        start, count = self._vector(at, 1)
        if count > LONGEST_NAME:
            raise ValueError(f"a name of {count} bytes")
        return self._data[start : start + count].decode(errors="replace")

    def tables(self, field: int) -> list["_Table"]:
        """A field with a vector of tables; empty if absent."""
        at = self.position(field)
        if at is None:
            return []
        start, count = self._vector(at, 4)
        return [_Table(self._data, _follow(self._data, start + 4 * number)) for number in range(count)]

    def _vector(self, at: int, size: int) -> tuple[int, int]:
        """Start and length of the vector, with items of `size` bytes, that the offset at `at` points to."""
        start = _follow(self._data, at)
        count = int(_unpack("<I", self._data, start))
        if start + 4 + count * size > len(self._data):
            raise ValueError(f"a list of {count} items at byte {start} exceeds the file")
        return start + 4, count


def _name(code: _Table) -> str:
    """Name of an OperatorCode, whose number is in a byte, its first field, in old files and up to 127."""
    number = max(code.number(0, "<b"), code.number(3, "<i"))
    if BUILTIN[number : number + 1] == ["CUSTOM"]:
        return f"{CUSTOM_PREFIX}{code.text(1)}"
    return BUILTIN[number] if 0 <= number < len(BUILTIN) else f"builtin:{number}"


def _unpack(code: str, data: bytes, at: int) -> int:
    if at < 0:  # struct would index from the end
        raise ValueError(f"an offset points {-at} bytes before the start")
    return int(struct.unpack_from(code, data, at)[0])


def _follow(data: bytes, at: int) -> int:
    """Follow the offset at `at`."""
    return at + _unpack("<I", data, at)
