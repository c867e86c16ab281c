"""How much memory TensorFlow Lite Micro needs to run a model: its tensor arena, measured or estimated.

Both hold for TFLM's reference kernels on a 64-bit machine. A 32-bit device needs less (pointers half as long),
optimised kernels (CMSIS-NN, ESP-NN, Xtensa) need more (scratch buffers). On the device,
`interpreter.arena_used_bytes()` after `AllocateTensors()` has the last word.
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
"""Bytes; TFLM puts every buffer at a multiple of it (`MicroArenaBufferAlignment`)."""

PER_TENSOR = 24
"""Bytes of a `TfLiteEvalTensor` on a 64-bit machine."""
PER_CHANNEL = 8
"""Multiplier and shift, int32 each, of every output channel of an operator whose weights have a scale per channel."""
PER_OPERATOR = 64 + 160
"""`NodeAndRegistration` on a 64-bit machine, and what an operator keeps for itself."""
ONCE = 512
"""Interpreter, input and output tensors. This and the 160 above lie over what tflite-micro 0.dev20261023182759 said:
estimates were 0.4 to 10.3 % above what it measured for edge, legend-cnn, expw-cnn, the tests' tiny model (10.3 % of
5,888 bytes) and three networks with depthwise convolutions, branches and squeeze-excite."""

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
"""Size of a value while computing, by type; 8 for the others, which is the largest number there is."""

PER_CHANNEL_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")

_MEASURE = """
import sys
from tflite_micro import runtime
model = sys.stdin.buffer.read()
runtime.Interpreter.from_bytes(model, arena_size=int(sys.argv[1])).print_allocations()
"""


@dataclass(frozen=True)
class Arena:
    """Bytes of a tensor arena, and where the number comes from."""

    bytes: int
    how: str
    """In words: "measured with ..." or "estimated ..."."""


def arena_bytes(flatbuffer: bytes) -> Arena:
    """Measure the arena where the package tflite-micro is installed, else estimate it.

    Raises:
        ModelError: TensorFlow Lite Micro refuses the model.
    """
    if importlib.util.find_spec("tflite_micro"):
        return Arena(measure(flatbuffer), f"measured with tflite-micro {version('tflite-micro')}")
    return Arena(estimate(flatbuffer), "estimated; to measure it: pip install tflite-micro")


def measure(flatbuffer: bytes) -> int:
    """Let TensorFlow Lite Micro lay out its arena and say how large it is, in bytes.

    It runs in a process of its own: it reports from C++, on stderr, and may end there.

    Raises:
        ModelError: TensorFlow Lite Micro refuses the model; says why.
    """
    room = 2 * estimate(flatbuffer) + (1 << 20)
    command = [sys.executable, "-c", _MEASURE, str(room)]
    done = subprocess.run(command, input=flatbuffer, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace")
    found = re.search(r"Arena allocation total (\d+) bytes", said)
    if done.returncode or not found:
        reason = said.strip().splitlines()[0] if said.strip() else f"exit code {done.returncode}"
        raise ModelError(f"TensorFlow Lite Micro cannot run the model: {reason}")
    return _aligned(int(found[1]))


def estimate(flatbuffer: bytes) -> int:
    """Estimate the arena, in bytes, from the graph.

    It is the largest sum of activations that are alive at one operator (from the operator that makes one to the last
    that reads it, the model's input and outputs for longer), plus TFLM's own structures. Left out are scratch buffers
    of kernels, and the gaps that TFLM's planner may leave where branches cross.
    """
    graphs = (Graph(flatbuffer, subgraph) for subgraph in range(Graph(flatbuffer).subgraphs))
    return _aligned(sum(_peak(graph) + _structures(graph) for graph in graphs) + ONCE)


def _peak(graph: Graph) -> int:
    """Largest sum of activations that are alive at one operator."""
    end = len(graph.operators)
    born = dict.fromkeys(graph.inputs, 0)
    died = dict(born)
    for step, operator in enumerate(graph.operators):
        for index in map(int, operator.outputs):
            born[index] = died[index] = step
        for index in graph.taken(operator):
            if index in born:  # the others are constants and stay in flash
                died[index] = step
    died |= {index: end for index in graph.outputs if index in born}
    sizes = {index: _aligned(math.prod(graph.shape(index)) * BYTES.get(graph.type(index), 8)) for index in born}
    alive = [sum(sizes[index] for index in born if born[index] <= step <= died[index]) for step in range(end)]
    return max(alive, default=0)


def _structures(graph: Graph) -> int:
    """What TFLM keeps for tensors, operators and channels."""
    kernels = [
        graph.taken(operator)[1] for operator in graph.operators if graph.kind(operator) in PER_CHANNEL_OPERATORS
    ]
    channels = sum(len(graph.quantizations(kernel)) for kernel in kernels)
    return PER_TENSOR * graph.tensors + PER_CHANNEL * channels + PER_OPERATOR * len(graph.operators)


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT
