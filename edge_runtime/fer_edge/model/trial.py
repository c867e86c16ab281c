"""Try a network in another process before it is loaded here, and load it. Imports no OpenCV: a trial starts quickly."""

import os
from typing import Any

import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.worker import WORKER, Limits, WorkerDiedError, WorkerError

ALLOWANCE = 256 << 20
"""Bytes that a trial may need besides four times the network's size: loading and running ours takes 1 to 4 MB."""
CPU_S = 10
"""Processor time a trial may take: one of the bundled networks takes 0.01 to 0.02 s of it on x86."""
WALL_S = 60
"""Seconds until a trial is given up, whatever it waits for."""
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
        raise FerEdgeError(f"FER_EDGE_RUNTIME={choice}: unknown; use one of: {', '.join(RUNTIMES)}")
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


def tried(package: str, flatbuffer: bytes, resolver: str, shape: tuple[int, ...] | None) -> None:
    """Load and run `flatbuffer` on two pictures in the worker process.

    Args:
        package: One of `RUNTIMES`.
        flatbuffer: The TFLite model.
        resolver: Name of the kernels in the runtime's OpResolverType.
        shape: Of the input, where it is not to be the model's own.

    Raises:
        WorkerError: It does not work.
        OSError: There is no room for another process.
    """
    memory = ALLOWANCE + 4 * len(flatbuffer)
    choice = next(choice for choice, name in RUNTIMES.items() if name == package)
    try:
        limits = Limits(CPU_S, WALL_S, memory)
        WORKER.call(try_network, flatbuffer, limits=limits, choice=choice, resolver=resolver, shape=shape)
    except WorkerDiedError as error:
        raise WorkerError(
            f"it crashes, or needs over {CPU_S} s or {memory >> 20} MB for a picture ({error})"
        ) from error


def try_network(flatbuffer: bytes, *, choice: str, resolver: str, shape: tuple[int, ...] | None) -> None:
    """Do once what `fer_edge.model.interpreter.Engine` does: load, look at the tensors, run, let go.

    Raises:
        ValueError: A tensor is of no type, or no scale, that pictures and answers have.
        RuntimeError: The runtime refuses the model.
    """
    module = load_runtime(choice)[1]
    interpreter = loaded(module, flatbuffer, 1, resolver, shape)
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


def loaded(module: Any, flatbuffer: bytes, threads: int, resolver: str, shape: tuple[int, ...] | None) -> Any:
    """Load `flatbuffer` on the runtime's interpreter; arguments as for `tried`."""
    interpreter = module.Interpreter(
        model_content=flatbuffer, num_threads=threads, experimental_op_resolver_type=module.OpResolverType[resolver]
    )
    if shape:
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()
    return interpreter
