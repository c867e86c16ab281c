"""What a TFLite flatbuffer computes, as facts: its operators, their options, their tensors. Nothing is run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.model.operators import BUILTIN, CUSTOM_PREFIX


@dataclass(frozen=True)
class Tensor:
    """What flows between operators, or what the file holds: weights, biases, axes."""

    index: int
    """Its place in its subgraph."""
    shape: tuple[int, ...]
    """With a batch of 1 where the file leaves the batch open."""
    type: str
    """TFLite's name, such as INT8."""
    scales: tuple[float, ...]
    """Quantisation steps: one, or one for each channel; empty where it is not quantised."""
    zero_point: int
    """The integer that stands for 0.0."""
    content: bytes | None
    """Its values where the file holds them."""

    @property
    def nbytes(self) -> int:
        """Size of its values."""
        return int(np.prod(self.shape, dtype=np.int64)) * BYTES.get(self.type, 8)

    def integers(self) -> npt.NDArray[Any]:
        """Values of a constant INT32 or INT64 tensor, flat."""
        return np.frombuffer(self.content or b"", np.int64 if self.type == "INT64" else np.int32)


@dataclass(frozen=True)
class Operator:
    """One step of the computation."""

    name: str
    """As in `fer_edge.model.operators`, such as CONV_2D or custom:FlexErf."""
    version: int
    inputs: tuple[Tensor, ...]
    """Without optional ones that are missing."""
    outputs: tuple[Tensor, ...]
    options: dict[str, Any]
    """Of the schema's table, such as strideW; empty where the operator has none."""


@dataclass(frozen=True)
class Graph:
    """A subgraph; the first one is the model, others are the bodies of IF and WHILE."""

    tensors: int
    """How many there are, constants among them."""
    operators: tuple[Operator, ...]
    """In the order of computing."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


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


def read_graphs(flatbuffer: bytes) -> list[Graph]:
    """Read the subgraphs of a sound flatbuffer, such as one that fer-edge made or has checked."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    types = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    return [_graph(model, graph, types) for graph in model.subgraphs]


def _graph(model: Any, graph: Any, types: dict[int, str]) -> Graph:
    tensors = [_tensor(model, tensor, index, types) for index, tensor in enumerate(graph.tensors)]

    def chosen(indices: Any) -> tuple[Tensor, ...]:
        return tuple(tensors[index] for index in (indices if indices is not None else ()) if index >= 0)

    operators = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        operators.append(
            Operator(
                name=_name(code),
                version=int(code.version),
                inputs=chosen(operator.inputs),
                outputs=chosen(operator.outputs),
                options=dict(vars(operator.builtinOptions)) if operator.builtinOptions else {},
            )
        )
    return Graph(len(tensors), tuple(operators), chosen(graph.inputs), chosen(graph.outputs))


def _tensor(model: Any, tensor: Any, index: int, types: dict[int, str]) -> Tensor:
    quantization, content = tensor.quantization, model.buffers[tensor.buffer].data
    scales = quantization.scale if quantization is not None and quantization.scale is not None else ()
    zero_points = quantization.zeroPoint if len(scales) and quantization.zeroPoint is not None else (0,)
    return Tensor(
        index=index,
        shape=tuple(int(side) for side in (tensor.shape if tensor.shape is not None else ())),
        type=types[tensor.type],
        scales=tuple(float(scale) for scale in scales),
        zero_point=int(zero_points[0]),
        content=None if content is None else bytes(content),
    )


def _name(code: Any) -> str:
    number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
    if BUILTIN[number : number + 1] == ["CUSTOM"]:
        return f"{CUSTOM_PREFIX}{code.customCode.decode(errors='replace')}"
    return BUILTIN[number] if number < len(BUILTIN) else f"builtin:{number}"
