"""Inspect a TFLite file: operators, tensors and their values, and run parts of it.

Runs on LiteRT's built-in kernels, since XNNPACK does not expose intermediate tensors.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

from fer_edge.imaging.images import Pixels, with_channels
from fer_edge.model.operators import BUILTIN
from fer_edge.model.quantization import Floats, Quantization, dequantize, quantize, to_unit
from fer_edge.model.trial import load_runtime

Values = dict[int, npt.NDArray[Any]]
"""Tensor index in the file -> value."""


class Runner:
    """An interpreter whose tensors can all be read after a run."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Load a flatbuffer of `fer_edge_export.quantize.convert`."""
        _, runtime = load_runtime()
        self._interpreter = runtime.Interpreter(
            model_content=flatbuffer,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self._tensors = {int(tensor["index"]): tensor for tensor in self._interpreter.get_tensor_details()}
        self._input = int(self._interpreter.get_input_details()[0]["index"])

    def run(self, pixels: Pixels) -> None:
        """Run on one image: (height, width) uint8 grey, or (height, width, 3) uint8 RGB."""
        image, quantization = to_unit(with_channels(pixels[None])), self._quantization(self._input)
        dtype = self._tensors[self._input]["dtype"]
        self.invoke({self._input: quantize(image, quantization, dtype) if quantization.scale else image})

    def invoke(self, values: Values) -> None:
        """Run on `values`, one per input."""
        for index, value in values.items():
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()

    def read(self, index: int) -> npt.NDArray[Any]:
        """Read a tensor after a run, dequantised; unquantised tensors unchanged."""
        values, quantization = self._interpreter.get_tensor(index), self._quantization(index)
        return dequantize(values, quantization) if quantization.scale else np.asarray(values)

    def limits(self, index: int) -> tuple[float, float, float]:
        """Lowest and highest value of a tensor's type, and its quantisation step; the step of floats is 0."""
        scale, zero_point = self._quantization(index)
        if not scale:
            return -np.inf, np.inf, 0.0
        integers = np.iinfo(self._tensors[index]["dtype"])
        return (integers.min - zero_point) * scale, (integers.max - zero_point) * scale, scale

    def channel_steps(self, name: str) -> Floats:
        """Quantisation steps of a weight tensor's channels, largest weight / 127; (0,) for float weights."""
        found = [tensor for tensor in self._tensors.values() if tensor["name"] == name]
        return np.asarray(found[0]["quantization_parameters"]["scales"] if found else [], np.float32)

    def _quantization(self, index: int) -> Quantization:
        scale, zero_point = self._tensors[index]["quantization"]
        return Quantization(float(scale), int(zero_point))


class Graph:
    """A subgraph of a valid flatbuffer; if float32, parts of it can be run.

    Tensors are referenced by index; operators are objects of the schema in LiteRT.
    """

    def __init__(self, flatbuffer: bytes, subgraph: int = 0) -> None:
        """Read the main graph, or the body of an IF or WHILE."""
        from ai_edge_litert import schema_py_generated as schema

        names = vars(schema.TensorType).items()
        self._types: dict[int, str] = {number: name for name, number in names if isinstance(number, int)}
        self._model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
        self._model.signatureDefs = []  # they may name inputs missing in a part
        self._graph = self._model.subgraphs[subgraph]
        self.subgraphs = len(self._model.subgraphs)
        """Number of subgraphs in the model."""
        self.tensors = len(self._graph.tensors)
        """Number of tensors, including constants."""
        self.operators = list(self._graph.operators)
        """In execution order."""
        self.inputs = [int(index) for index in self._graph.inputs]
        self.outputs = [int(index) for index in self._graph.outputs]

    def computed(self) -> dict[str, int]:
        """Name -> index of the operators' (first) outputs, in execution order."""
        return {self.name(int(operator.outputs[0])): int(operator.outputs[0]) for operator in self.operators}

    def name(self, index: int) -> str:
        """Name of a tensor."""
        return str(self._graph.tensors[index].name.decode())

    def kind(self, operator: Any) -> str:
        """TFLite's name of an operator, such as CONV_2D; CUSTOM for custom ones."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return BUILTIN[int(max(code.builtinCode, code.deprecatedBuiltinCode))]

    def operator_inputs(self, operator: Any) -> list[int]:
        """Inputs of an operator, without missing optional ones."""
        return [int(index) for index in operator.inputs if index >= 0]

    def constants(self, operator: Any) -> list[int]:
        """Constant inputs of an operator: weights, biases, axes."""
        buffers, tensors = self._model.buffers, self._graph.tensors
        return [index for index in self.operator_inputs(operator) if buffers[tensors[index].buffer].data is not None]

    def kernel(self, operator: Any) -> int | None:
        """The kernel of a convolution or dense layer: the first float constant with two or more axes."""
        kernels = [index for index in self.constants(operator) if self.is_float(index) and len(self.shape(index)) > 1]
        return kernels[0] if kernels else None

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a tensor, with batch size 1 if it is dynamic."""
        shape = self._graph.tensors[index].shape
        return () if shape is None else tuple(int(side) for side in shape)

    def type(self, index: int) -> str:
        """TFLite's name of a tensor's type, such as INT8."""
        return self._types[self._graph.tensors[index].type]

    def is_float(self, index: int) -> bool:
        """Whether a tensor is float32, not a shape or axes."""
        return self.type(index) == "FLOAT32"

    def quantizations(self, index: int) -> list[Quantization]:
        """Quantisation of a tensor: one, or one per channel; empty if not quantised."""
        found = self._graph.tensors[index].quantization
        if found is None or found.scale is None:
            return []
        zero_points = np.zeros(len(found.scale), int) if found.zeroPoint is None else found.zeroPoint
        return [Quantization(float(scale), int(zero)) for scale, zero in zip(found.scale, zero_points, strict=True)]

    def set_shapes(self, shapes: Mapping[int, tuple[int, ...]]) -> None:
        """Set the shapes of tensors; they may be unknown in the file until run time, such as after upsampling."""
        for index, shape in shapes.items():
            self._graph.tensors[index].shape = list(shape)
            self._graph.tensors[index].shapeSignature = None

    def part(self, outputs: Sequence[int], known: Collection[int]) -> "Part":
        """Extract the part that computes `outputs` from `known` tensors."""
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
        return Part(self._packed() if computed else b"", sorted(inputs), computed)

    def _packed(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


class Part:
    """A part of a network with its own interpreter."""

    def __init__(self, flatbuffer: bytes, inputs: Sequence[int], computed: Sequence[int]) -> None:
        """Load a part of `Graph.part`; nothing is computed if all outputs were known."""
        self._runner = Runner(flatbuffer) if computed else None
        self._inputs, self._computed = inputs, computed

    def compute(self, values: Values) -> Values:
        """Run on `values`, which include the known tensors; returns them with the computed ones."""
        if self._runner is None:
            return values
        self._runner.invoke({index: values[index] for index in self._inputs})
        return {**values, **{index: self._runner.read(index) for index in self._computed}}
