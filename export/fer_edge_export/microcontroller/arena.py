"""Size of the tensor arena in which TensorFlow Lite Micro runs a model, measured or estimated.

Both are valid for TFLM's reference kernels on a 64-bit machine. A 32-bit device needs less (smaller pointers),
optimised kernels (CMSIS-NN, ESP-NN, Xtensa) need more (scratch buffers). On the device, read
`interpreter.arena_used_bytes()` after `AllocateTensors()`.
"""

import importlib.util
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version

from fer_edge.errors import ModelError
from fer_edge_export.flatbuffer import Graph

ALIGNMENT = 16
"""Alignment of every buffer in TFLM, in bytes (`MicroArenaBufferAlignment`)."""

PER_TENSOR = 24
"""Size of a `TfLiteEvalTensor` on a 64-bit machine, in bytes."""
PER_CHANNEL = 8
"""Multiplier and shift, int32 each, per output channel of an operator with per-channel weights."""
PER_OPERATOR = 64 + 160
"""`NodeAndRegistration` on a 64-bit machine, and the data of an operator."""
ONCE = 512
"""Interpreter, input and output tensors. This and the 160 above are upper estimates: the results were 0.4 to 10.3 %
above those measured with tflite-micro 0.dev20261023182759 for edge, legend-cnn, expw-cnn, the tests' tiny model (10.3 %
of 5,888 bytes) and three networks with depthwise convolutions, branches and squeeze-excite."""

BYTES = {
    "FLOAT32": 4,
    "INT32": 4,
    "UINT32": 4,
    "FLOAT16": 2,
    "BFLOAT16": 2,
    "INT16": 2,
    "UINT16": 2,
    "INT8": 1,
    "UINT8": 1,
    "BOOL": 1,
    "INT4": 1,
}
"""Bytes per value by type; other types count as 8, the largest."""

PER_CHANNEL_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")

_MEASURE = """
import sys
from tflite_micro import runtime
model = sys.stdin.buffer.read()
runtime.Interpreter.from_bytes(model, arena_size=int(sys.argv[1])).print_allocations()
"""


@dataclass(frozen=True)
class Arena:
    """Size of a tensor arena, and how it was determined."""

    bytes: int
    how: str
    """The text "measured with ..." or "estimated ..."."""


def arena_bytes(flatbuffer: bytes) -> Arena:
    """Measure the arena if the package tflite-micro is installed, else estimate it.

    Raises:
        ModelError: TensorFlow Lite Micro rejects the model.
    """
    if importlib.util.find_spec("tflite_micro"):
        return Arena(measure(flatbuffer), f"measured with tflite-micro {version('tflite-micro')}")
    return Arena(estimate(flatbuffer), "estimated; to measure it: pip install tflite-micro")


def measure(flatbuffer: bytes) -> int:
    """Measure the arena, in bytes, with TensorFlow Lite Micro.

    Runs in a subprocess, since TFLM reports from C++ on stderr and may abort.

    Raises:
        ModelError: TensorFlow Lite Micro rejects the model; with its reason.
    """
    room = 2 * estimate(flatbuffer) + (1 << 20)
    command = [sys.executable, "-c", _MEASURE, str(room)]
    done = subprocess.run(command, input=flatbuffer, capture_output=True, check=False)
    output = done.stderr.decode(errors="replace")
    found = re.search(r"Arena allocation total (\d+) bytes", output)
    if done.returncode or not found:
        reason = output.strip().splitlines()[0] if output.strip() else f"exit code {done.returncode}"
        raise ModelError(f"TensorFlow Lite Micro cannot run the model: {reason}")
    return _aligned(int(found[1]))


def estimate(flatbuffer: bytes) -> int:
    """Estimate the arena, in bytes, from the graph.

    The peak sum of live activations at an operator (from the operator that computes one to the last that reads it; the
    input from the start, outputs to the end), plus TFLM's own structures. Scratch buffers of kernels, and gaps that
    TFLM's planner may leave with branches, are not included.
    """
    graphs = (Graph(flatbuffer, subgraph) for subgraph in range(Graph(flatbuffer).subgraphs))
    return _aligned(sum(_peak(graph) + _structures(graph) for graph in graphs) + ONCE)


def _peak(graph: Graph) -> int:
    """Peak sum of live activations at an operator."""
    end = len(graph.operators)
    first_use = dict.fromkeys(graph.inputs, 0)
    last_use = dict(first_use)
    for step, operator in enumerate(graph.operators):
        for index in map(int, operator.outputs):
            first_use[index] = last_use[index] = step
        for index in graph.operator_inputs(operator):
            if index in first_use:  # others are constants in flash
                last_use[index] = step
    last_use |= {index: end for index in graph.outputs if index in first_use}
    sizes = {index: _aligned(math.prod(graph.shape(index)) * BYTES.get(graph.type(index), 8)) for index in first_use}
    alive = [
        sum(sizes[index] for index in first_use if first_use[index] <= step <= last_use[index]) for step in range(end)
    ]
    return max(alive, default=0)


def _structures(graph: Graph) -> int:
    """Size of TFLM's structures for tensors, operators and channels."""
    kernels = [
        graph.operator_inputs(operator)[1]
        for operator in graph.operators
        if graph.kind(operator) in PER_CHANNEL_OPERATORS
    ]
    channels = sum(len(graph.quantizations(kernel)) for kernel in kernels)
    return PER_TENSOR * graph.tensors + PER_CHANNEL * channels + PER_OPERATOR * len(graph.operators)


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT
