"""The one place that picks LiteRT or tflite-runtime, and the one that knows how pixels become a tensor and back."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, ModelError, one_line
from fer_edge.imaging.images import CHANNELS, Pixels, with_channels
from fer_edge.model.contract import Model
from fer_edge.model.operators import of_first_versions
from fer_edge.model.quantization import PIXELS, Quantization, dequantize, quantize, to_unit
from fer_edge.model.trial import load_runtime, loaded, tried
from fer_edge.worker import WorkerError

LARGEST = 1e9
"""No output is as large as this, unless something is broken; small enough for all that is computed from it."""
LACKING = "find op for builtin"
"""In what the runtimes say where a set of kernels lacks an operator, as the reference kernels lack ELU."""


class Engine:
    """A flatbuffer on its interpreter, made once and used for every picture. Not to be shared between threads.

    A model file comes from anywhere, and its digest proves nothing about who made it. LiteRT checks the offsets of a
    flatbuffer, but not all that its tables say: of 6,000 models with some bytes changed outside their weights, it ended
    the process on 11 (segmentation fault, division by zero, abort) and hung on one. So each flatbuffer is first loaded
    and run on two pictures in another process (`fer_edge.model.trial`), which takes some milliseconds.
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
            tried(self.runtime, content, resolver.name, shape)
            return loaded(module, content, threads, resolver.name, shape)

        wanted = (of_first_versions(flatbuffer), kernels.BUILTIN_REF) if reference else (flatbuffer, kernels.AUTO)
        try:
            try:
                self._interpreter = load(*wanted)
            except (WorkerError, ValueError) as error:
                if not reference or LACKING not in str(error):
                    raise
                self.exact = False
                self._interpreter = load(flatbuffer, kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        except (WorkerError, ValueError, RuntimeError, IndexError) as error:
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
            raise ModelError(
                f"{self._path}: its network answers with NaN or beyond {LARGEST:g}; copy the file again, or export "
                "another"
            )
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
