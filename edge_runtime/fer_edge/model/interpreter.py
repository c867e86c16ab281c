"""Run TFLite models with LiteRT or tflite-runtime: runtime selection, input encoding, output decoding."""

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
"""Upper limit of a valid output, small enough that nothing computed from it overflows."""
LACKING = "find op for builtin"
"""In what the runtimes say where a set of kernels lacks an operator, as the reference kernels lack ELU."""


class Engine:
    """An interpreter for one flatbuffer, built once and used for every image. Not thread-safe.

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
        """Load a network with one image as its input.

        Args:
            path: The model's name in messages.
            flatbuffer: The TFLite model.
            threads: Number of kernel threads.
            reference: Use the runtime's slow reference kernels. For int8 networks these give bit-identical results in
                LiteRT and tflite-runtime, on x86 and Arm (tested with both bundled models), where the fast kernels can
                differ by some quantisation steps. If they lack an operator, the plain optimised kernels are used.
            shape: Input shape, if not the model's own.

        Raises:
            ModelError: The runtime rejects the model.
        """
        self._path = path
        self.runtime, module = load_runtime()
        kernels = module.OpResolverType
        self.exact = reference
        """Whether every runtime and processor gives the same result, up to rounding in a float model."""

        def load(content: bytes, resolver: Any) -> Any:
            tried(self.runtime, content, resolver.name, shape)
            return loaded(module, content, threads, resolver.name, shape)

        options = (of_first_versions(flatbuffer), kernels.BUILTIN_REF) if reference else (flatbuffer, kernels.AUTO)
        try:
            try:
                self._interpreter = load(*options)
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
        """Check the tensor shapes against the contract, and order the outputs as it does.

        Args:
            shapes: Of the input, then of each output; the outputs' must be distinct.

        Raises:
            ModelError: The shapes differ.
        """
        found = [tuple(int(side) for side in tensor["shape"]) for tensor in (self._input, *self._outputs)]
        if found[0] != shapes[0] or sorted(found[1:]) != sorted(shapes[1:]):
            raise ModelError(
                f"{self._path}: tensor shapes are {found}, its contract says {list(shapes)}; export it again"
            )
        self._outputs = [self._outputs[found[1:].index(shape)] for shape in shapes[1:]]

    @property
    def steps(self) -> list[float]:
        """Quantisation step of each output; for a float model a tolerance of 0.001."""
        return [float(output["quantization"][0]) or 1e-3 for output in self._outputs]

    def run(self, pixels: Pixels) -> list[npt.NDArray[np.float32]]:
        """Run the network on one image; returns each output without its batch axis.

        Args:
            pixels: (height, width) uint8 grey, or (height, width, 3) uint8 RGB.

        Raises:
            ModelError: The runtime fails, or an output is not finite.
        """
        self._set_input(with_channels(pixels[None]))
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

    def _set_input(self, pixels: Pixels) -> None:
        """Write pixels into the input tensor."""
        index = self._input["index"]
        if self._input["dtype"] == np.float32:  # in place: copying a detector's input takes as long as decoding it
            to_unit(pixels, out=self._interpreter.tensor(index)())
        else:
            self._interpreter.set_tensor(index, self._encode(pixels))

    def _encode(self, pixels: Pixels) -> npt.NDArray[Any]:
        dtype, quantization = self._input["dtype"], Quantization(*self._input["quantization"])
        if dtype == np.uint8 and quantization.zero_point == 0 and abs(quantization.scale / PIXELS.scale - 1) < 1e-4:
            return pixels  # uint8 pixels are the quantised input already
        return quantize(to_unit(pixels), quantization, dtype)


class Network:
    """An expression model with its interpreter. Not thread-safe."""

    def __init__(self, model: Model, threads: int = 1, *, reference: bool = False) -> None:
        """Load `model`; other arguments as for `Engine`.

        Raises:
            ModelError: The runtime rejects the model, or its tensor shapes differ from the contract.
        """
        contract = model.contract
        self._path, self._face_shape = model.path, contract.face_shape
        self._classes = len(contract.labels)
        self._engine = Engine(model.path, model.flatbuffer, threads, reference=reference)
        self._engine.expect((1, contract.size, contract.size, CHANNELS[contract.colour]), (1, self._classes))
        self.runtime = self._engine.runtime

    @property
    def exact(self) -> bool:
        """See `Engine.exact`."""
        return self._engine.exact

    @property
    def step(self) -> float:
        """Quantisation step of the output; for a float model a tolerance of 0.001."""
        return self._engine.steps[0]

    def logits(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Run the network on faces one at a time, as a device does.

        Args:
            pixels: (n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB, according to the contract.

        Returns:
            (n, classes) float32.

        Raises:
            DataError: The faces have another size or colour.
            ModelError: The runtime fails, or an output is not finite.
        """
        if pixels.shape[1:] != self._face_shape:
            raise DataError(f"{self._path}: needs faces of shape {self._face_shape}, not {pixels.shape[1:]}")
        outputs = np.empty((len(pixels), self._classes), np.float32)
        for row, face in enumerate(pixels):
            outputs[row] = self._engine.run(face)[0]
        return outputs


def _decode(values: npt.NDArray[Any], output: dict[str, Any]) -> npt.NDArray[np.float32]:
    if values.dtype == np.float32:
        return np.asarray(values)
    return dequantize(values, Quantization(*output["quantization"]))
