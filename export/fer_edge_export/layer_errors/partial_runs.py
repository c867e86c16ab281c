"""Run a TFLite file with a look at every tensor, and run parts of a float32 one on tensors of one's own.

LiteRT does the computing. Its built-in kernels are used, since XNNPACK shows no tensor between two operators.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import needs
from fer_edge.imaging.images import Pixels, with_channels
from fer_edge.model.interpreter import load_runtime
from fer_edge.native_logs import quiet

Values = dict[int, npt.NDArray[Any]]
"""Tensors by their index in the file."""


class Runner:
    """A flatbuffer on its interpreter; every tensor can be read after a run."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Load a file that `fer_edge_export.quantize.convert` made."""
        _, runtime = load_runtime()
        with quiet():
            self._interpreter = runtime.Interpreter(
                model_content=flatbuffer,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        self._tensors = {int(tensor["index"]): tensor for tensor in self._interpreter.get_tensor_details()}
        self._input = int(self._interpreter.get_input_details()[0]["index"])

    def show(self, pixels: Pixels) -> None:
        """Run the network on one picture: (height, width) uint8 grey, or (height, width, 3) uint8 RGB."""
        shown = with_channels(pixels[None]).astype(np.float32) / np.float32(255)
        self.feed({self._input: self._quantised(self._input, shown)})

    def feed(self, values: Values) -> None:
        """Run on `values`, one for each input."""
        for index, value in values.items():
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()

    def read(self, index: int) -> npt.NDArray[Any]:
        """Read a tensor after a run, as the real numbers that it stands for; a shape's numbers as they are."""
        values = self._interpreter.get_tensor(index)
        scale, zero_point = self._tensors[index]["quantization"]
        return np.asarray((values.astype(np.float32) - zero_point) * np.float32(scale)) if scale else values

    def limits(self, index: int) -> tuple[float, float, float]:
        """Lowest and highest value that a tensor can hold, and the step between two; the step of floats is 0."""
        scale, zero_point = self._tensors[index]["quantization"]
        if not scale:
            return -np.inf, np.inf, 0.0
        integers = np.iinfo(self._tensors[index]["dtype"])
        return (integers.min - zero_point) * scale, (integers.max - zero_point) * scale, float(scale)

    def channel_steps(self, name: str) -> npt.NDArray[np.float32]:
        """Steps of a weight tensor's channels, each its largest weight / 127; (0,) where weights are floats."""
        found = [tensor for tensor in self._tensors.values() if tensor["name"] == name]
        return np.asarray(found[0]["quantization_parameters"]["scales"] if found else [], np.float32)

    def _quantised(self, index: int, real: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        scale, zero_point = self._tensors[index]["quantization"]
        if not scale:
            return real
        integers = np.iinfo(self._tensors[index]["dtype"])
        steps = np.round(real / np.float32(scale)) + zero_point
        return np.asarray(np.clip(steps, integers.min, integers.max), self._tensors[index]["dtype"])


class Graph:
    """The operators of a float32 flatbuffer, to be run in parts."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Read a file that `fer_edge_export.quantize.convert` made."""
        with needs("train"), quiet():
            from tensorflow.lite.tools import flatbuffer_utils
        self._tools = flatbuffer_utils
        self._model = flatbuffer_utils.read_model_from_bytearray(bytearray(flatbuffer))
        self._model.signatureDefs = []  # they would name inputs that a part lacks
        self._graph = self._model.subgraphs[0]
        self.operators = list(self._graph.operators)
        """In the order of computing; `inputs` and `outputs` of each are tensor indices."""
        self.inputs = [int(index) for index in self._graph.inputs]
        self.outputs = [int(index) for index in self._graph.outputs]

    def computed(self) -> dict[str, int]:
        """Names and indices of the operators' (first) outputs, in the order of computing."""
        return {self.name(int(operator.outputs[0])): int(operator.outputs[0]) for operator in self.operators}

    def name(self, index: int) -> str:
        """Name of a tensor."""
        return str(self._graph.tensors[index].name.decode())

    def kind(self, operator: Any) -> str:
        """TFLite's name of an operator, such as CONV_2D."""
        return str(self._tools.opcode_to_name(self._model, operator.opcodeIndex))

    def constants(self, operator: Any) -> list[int]:
        """Inputs of an operator that the file holds: weights, biases, axes."""
        buffers, tensors = self._model.buffers, self._graph.tensors
        there = [int(index) for index in operator.inputs if index >= 0]  # -1: an optional one is missing
        return [index for index in there if buffers[tensors[index].buffer].data is not None]

    def kernel(self, operator: Any) -> int | None:
        """The kernel of a convolution or dense layer: the first constant of two or more axes that holds floats."""
        kernels = [index for index in self.constants(operator) if self.is_float(index) and len(self.shape(index)) > 1]
        return kernels[0] if kernels else None

    def shape(self, index: int) -> tuple[int, ...]:
        """Sides of a tensor."""
        return tuple(int(side) for side in self._graph.tensors[index].shape)

    def is_float(self, index: int) -> bool:
        """Whether a tensor holds float32 values, rather than a shape or axes."""
        return bool(self._graph.tensors[index].type == 0)

    def settle(self, shapes: Mapping[int, tuple[int, ...]]) -> None:
        """Note the true shapes of tensors: the file may leave open what an upsampling finds out while running."""
        for index, shape in shapes.items():
            self._graph.tensors[index].shape = list(shape)
            self._graph.tensors[index].shapeSignature = None

    def part(self, outputs: Sequence[int], known: Collection[int]) -> "Part":
        """Cut out what computes `outputs` from `known` tensors."""
        wanted = {index for index in outputs if index not in known}
        operators: list[Any] = []
        inputs: set[int] = set()
        for operator in reversed(self.operators):
            if wanted.isdisjoint(operator.outputs):
                continue
            operators.insert(0, operator)
            for index in operator.inputs:
                (inputs if index in known else wanted).add(int(index))
        computed = [index for index in outputs if index not in known]
        self._graph.operators, self._graph.inputs, self._graph.outputs = operators, sorted(inputs), computed
        flatbuffer = bytes(self._tools.convert_object_to_bytearray(self._model)) if computed else b""
        return Part(flatbuffer, sorted(inputs), computed)


class Part:
    """A part of a network on its own interpreter."""

    def __init__(self, flatbuffer: bytes, inputs: Sequence[int], computed: Sequence[int]) -> None:
        """Take what `Graph.part` cut out; nothing is to be computed where all outputs were known."""
        self._runner = Runner(flatbuffer) if computed else None
        self._inputs, self._computed = inputs, computed

    def compute(self, values: Values) -> Values:
        """Run on `values`, which hold at least the known tensors; returns them with those that were computed."""
        if self._runner is None:
            return values
        self._runner.feed({index: values[index] for index in self._inputs})
        return {**values, **{index: self._runner.read(index) for index in self._computed}}
