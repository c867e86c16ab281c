"""The one place that picks LiteRT or tflite-runtime, and the one that knows how pixels become a tensor and back."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, FerEdgeError, ModelError, one_line
from fer_edge.imaging.images import CHANNELS, Pixels, with_channels
from fer_edge.model.contract import Model
from fer_edge.model.operators import of_first_versions
from fer_edge.model.quantization import PIXELS, Quantization, dequantize, quantize, to_unit
from fer_edge.model.sandbox import SandboxError, run_in_fork
from fer_edge.native_logs import quiet

ALLOWANCE = 256 << 20
"""Bytes that a trial may need besides four times the network's size: loading and running ours takes 1 to 4 MB."""
LARGEST = 1e9
"""No output is as large as this, unless something is broken; small enough for all that is computed from it."""
LACKING = "find op for builtin"
"""In what the runtimes say where a set of kernels lacks an operator, as the reference kernels lack ELU."""
SCALES = 1e-9, 1e6
"""Between these lie the quantisation scales of pictures and answers."""
RUNTIMES = {"litert": "ai_edge_litert", "tflite": "tflite_runtime"}
"""What can run a model, best first: tflite-runtime has had no wheel since Python 3.11 and needs numpy below 2."""


def load_runtime(choice: str | None = None) -> tuple[str, Any]:
    """Import the runtime named by `choice` or $FER_EDGE_RUNTIME (litert or tflite), else the first that is there.

    Returns:
        Its package name and its module `interpreter`.

    Raises:
        FerEdgeError: None is installed, or the choice is unknown.
    """
    choice = choice or os.environ.get("FER_EDGE_RUNTIME")
    if choice and choice not in RUNTIMES:
        raise FerEdgeError(f"FER_EDGE_RUNTIME={choice}: unknown; choose one of: {', '.join(RUNTIMES)}")
    reasons = []
    for package in [RUNTIMES[choice]] if choice else RUNTIMES.values():
        try:
            if package == "ai_edge_litert":
                from ai_edge_litert import interpreter
            else:
                from tflite_runtime import interpreter
        except ImportError as error:  # also a wheel built for another numpy
            reasons.append(f"{package}: {error}")
        else:
            return package, interpreter
    raise FerEdgeError(f"no TFLite runtime ({'; '.join(reasons)}); type: pip install 'ai-edge-litert<2.2'")


class Engine:
    """A flatbuffer on its interpreter, made once and used for every picture. Not to be shared between threads.

    A model file comes from anywhere, and its digest proves nothing about who made it. LiteRT checks the offsets of a
    flatbuffer, but not all that its tables say: of 6,000 models with some bytes changed outside their weights, it ended
    the process on 11 (segmentation fault, division by zero, abort) and hung on one. So each flatbuffer is first loaded
    and run on two pictures in a fork of this process (`fer_edge.model.sandbox`), which takes some milliseconds.
    """

    def __init__(
        self,
        path: Path | str,
        flatbuffer: bytes,
        threads: int = 1,
        *,
        reference: bool = False,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Load a network that takes one picture.

        Args:
            path: Stands for the model in messages.
            flatbuffer: The TFLite model.
            threads: How many the kernels may use.
            reference: Use the runtime's reference kernels, slow, and in an int8 network the same bit by bit in LiteRT
                and tflite-runtime, on x86 and Arm (seen with both bundled networks), instead of the fastest, which are
                up to some steps away in a deep int8 network. Where they lack an operator, the next best are taken.
            shape: Of the input, where it is not to be the model's own.

        Raises:
            ModelError: The runtime refuses the model.
        """
        self._path = path
        self.runtime, module = load_runtime()
        kernels = module.OpResolverType
        self.exact = reference
        """Whether every runtime and processor gives the same answer, but for the last digits of a float model's."""

        def load(content: bytes, resolver: Any) -> Any:
            run_in_fork(lambda: _try_network(module, content, resolver, shape), ALLOWANCE + 4 * len(content))
            return _loaded(module, content, threads, resolver, shape)

        wanted = (of_first_versions(flatbuffer), kernels.BUILTIN_REF) if reference else (flatbuffer, kernels.AUTO)
        try:
            with quiet():  # LiteRT tells of its delegates from C++
                try:
                    self._interpreter = load(*wanted)
                except (SandboxError, ValueError) as error:
                    if not reference or LACKING not in str(error):
                        raise
                    self.exact = False
                    self._interpreter = load(flatbuffer, kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        except (SandboxError, ValueError, RuntimeError, IndexError) as error:
            raise ModelError(f"{path}: {self.runtime} cannot run it: {one_line(error)}") from error
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()

    def expect(self, *shapes: tuple[int, ...]) -> None:
        """Make sure that the tensors are what the contract says, and put the outputs in its order.

        Args:
            shapes: Of the input, then of each output; no two outputs may have the same.

        Raises:
            ModelError: They are not.
        """
        found = [tuple(int(side) for side in tensor["shape"]) for tensor in (self._input, *self._outputs)]
        if found[0] != shapes[0] or sorted(found[1:]) != sorted(shapes[1:]):
            raise ModelError(f"{self._path}: tensors are {found}, its contract says {list(shapes)}; export it again")
        self._outputs = [self._outputs[found[1:].index(shape)] for shape in shapes[1:]]

    @property
    def steps(self) -> list[float]:
        """Distance between two neighbouring values of each output; for a float model a tolerance of 0.001."""
        return [float(output["quantization"][0]) or 1e-3 for output in self._outputs]

    def run(self, pixels: Pixels) -> list[npt.NDArray[np.float32]]:
        """Run the network on one picture; returns each output without its batch axis.

        Args:
            pixels: (height, width) uint8 grey, or (height, width, 3) uint8 RGB.

        Raises:
            ModelError: The runtime fails on it, or the answer is no number.
        """
        self._show(with_channels(pixels[None]))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"{self._path}: {self.runtime} cannot run it: {one_line(error)}") from error
        answers = [_decode(self._interpreter.get_tensor(output["index"])[0], output) for output in self._outputs]
        if not all((np.abs(answer) < LARGEST).all() for answer in answers):  # nor is NaN below anything
            raise ModelError(f"{self._path}: its network answers with NaN or beyond {LARGEST:g}; copy the file again")
        return answers

    def _show(self, pixels: Pixels) -> None:
        """Write pixels into the input tensor."""
        index = self._input["index"]
        if self._input["dtype"] == np.float32:  # in place: a copy of a detector's input takes as long as decoding
            to_unit(pixels, out=self._interpreter.tensor(index)())
        else:
            self._interpreter.set_tensor(index, self._encode(pixels))

    def _encode(self, pixels: Pixels) -> npt.NDArray[Any]:
        dtype, quantization = self._input["dtype"], Quantization(*self._input["quantization"])
        if dtype == np.uint8 and quantization.zero_point == 0 and abs(quantization.scale / PIXELS.scale - 1) < 1e-4:
            return pixels  # the camera's bytes are the quantised input
        return quantize(to_unit(pixels), quantization, dtype)


def _loaded(module: Any, flatbuffer: bytes, threads: int, resolver: Any, shape: tuple[int, ...] | None) -> Any:
    interpreter = module.Interpreter(
        model_content=flatbuffer, num_threads=threads, experimental_op_resolver_type=resolver
    )
    if shape:
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()
    return interpreter


def _try_network(module: Any, flatbuffer: bytes, resolver: Any, shape: tuple[int, ...] | None) -> None:
    """Do once what `Engine` does: load, look at the tensors, run, let go.

    Raises:
        ValueError: A tensor is of no type, or no scale, that pictures and answers have.
        RuntimeError: The runtime refuses the model.
    """
    interpreter = _loaded(module, flatbuffer, 1, resolver, shape)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    for tensor in (*inputs, *outputs):
        scale = tensor["quantization"][0]
        kind = np.dtype(tensor["dtype"]).name
        if kind not in ("float32", "uint8", "int8", "int16"):
            raise ValueError(f"tensor {tensor['name']!r} holds {kind}, neither float32 nor 8 or 16 bits")
        if kind != "float32" and not SCALES[0] < scale < SCALES[1]:
            raise ValueError(f"tensor {tensor['name']!r} has the scale {scale:g}")
    for value in (0, 1):
        for tensor in inputs:
            interpreter.set_tensor(tensor["index"], np.full(tensor["shape"], value, tensor["dtype"]))
        interpreter.invoke()
        for tensor in outputs:
            interpreter.get_tensor(tensor["index"])
    del interpreter  # a heap that was written over shows when it is given back


class Network:
    """An expression model on its engine. Not to be shared between threads."""

    def __init__(self, model: Model, threads: int = 1, *, reference: bool = False) -> None:
        """Load `model`; the other arguments are `Engine`'s.

        Raises:
            ModelError: The runtime refuses the model, or its tensors are not what the contract says.
        """
        contract = model.contract
        self._path, self._face_shape = model.path, contract.face_shape
        self._classes = len(contract.labels)
        self._engine = Engine(model.path, model.flatbuffer, threads, reference=reference)
        self._engine.expect((1, contract.size, contract.size, CHANNELS[contract.colour]), (1, self._classes))
        self.runtime = self._engine.runtime

    @property
    def exact(self) -> bool:
        """As `Engine.exact`."""
        return self._engine.exact

    @property
    def step(self) -> float:
        """Distance between two neighbouring output values; for a float model a tolerance of 0.001."""
        return self._engine.steps[0]

    def logits(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Run the network on faces one by one, as a device does.

        Args:
            pixels: (n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB, as the contract says.

        Returns:
            (n, classes) float32.

        Raises:
            DataError: The faces are of another size or colour.
            ModelError: The runtime fails on one.
        """
        if pixels.shape[1:] != self._face_shape:
            raise DataError(f"{self._path}: takes faces of shape {self._face_shape}, not {pixels.shape[1:]}")
        answers = np.empty((len(pixels), self._classes), np.float32)
        for row, face in enumerate(pixels):
            answers[row] = self._engine.run(face)[0]
        return answers


def _decode(values: npt.NDArray[Any], output: dict[str, Any]) -> npt.NDArray[np.float32]:
    if values.dtype == np.float32:
        return np.asarray(values)
    return dequantize(values, Quantization(*output["quantization"]))
