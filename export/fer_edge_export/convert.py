"""From a Keras network to TFLite flatbuffers: float32, and full int8 whose input is the camera's own bytes.

TensorFlow's `convert()` leaks some memory each time and is loud: a command converts twice and ends; `quiet` hides the
noise.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fer_edge.errors import DataError, ModelError, needs
from fer_edge.images import Pixels
from fer_edge.interpreter import load_runtime
from fer_edge.quiet import quiet

INPUT_SCALE = float(np.float32(1 / 255))
"""Quantisation step of the int8 model's input, with zero point 0: byte b stands for the grey value b / 255."""


def to_float32(network: Any) -> bytes:
    """Convert a Keras network to a float32 flatbuffer.

    Args:
        network: keras.Model; (n, height, width, 1) grey in [0, 1] in.

    Raises:
        ModelError: The network has layers that TFLite's built-in operations do not cover.
    """
    return _convert(network, None)


def to_int8(network: Any, calibration: Pixels) -> bytes:
    """Convert a Keras network to a full int8 flatbuffer: uint8 pixels at exactly scale 1/255 in, int8 out.

    Args:
        network: keras.Model; (n, height, width, 1) grey in [0, 1] in.
        calibration: (n, height, width) uint8 training pictures, by which the range of every tensor is chosen. An
            all-black and an all-white one are added, so that the input's range is exactly 0 to 1.

    Raises:
        DataError: `calibration` is empty or of another size than the network's input.
        ModelError: The network cannot be quantised, or its input did not come out at 1/255.
    """
    height, width = (int(side) for side in network.input_shape[1:3])
    if len(calibration) == 0:
        raise DataError("no faces to calibrate with; give training faces: fer-edge export RUN --data SET.npz")
    if calibration.shape[1:] != (height, width):
        raise DataError(
            f"calibration faces are {calibration.shape[2]}x{calibration.shape[1]} pixels, "
            f"the network's input is {width}x{height}; prepare them again with --size {width}"
        )
    flatbuffer = _convert(network, calibration)
    check_input(flatbuffer)
    return flatbuffer


def check_input(flatbuffer: bytes) -> None:
    """Make sure that the int8 model runs and takes pixels as they are.

    Raises:
        ModelError: The runtime refuses the model, or its input is no uint8 tensor at scale 1/255, zero point 0.
    """
    _, runtime = load_runtime()
    try:
        with quiet():
            interpreter = runtime.Interpreter(model_content=flatbuffer)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:  # so it ends where a tensor was the same for every calibration face
        raise ModelError(
            f"the int8 model does not run ({error}); are all calibration faces alike? Give others: --data SET.npz"
        ) from error
    tensor = interpreter.get_input_details()[0]
    scale, zero_point = tensor["quantization"]
    if tensor["dtype"] != np.uint8 or scale != INPUT_SCALE or zero_point != 0:
        raise ModelError(
            f"the int8 input is {np.dtype(tensor['dtype']).name} at scale {scale:.8g}, zero point {zero_point}; "
            "needed is uint8 at 1/255, 0: the network must take grey in [0, 1] and not rescale it in a first layer"
        )


def _representative(calibration: Pixels) -> Iterator[list[Any]]:
    """Yield single (1, height, width, 1) float32 pictures in [0, 1]: black, white, then the others."""
    extremes = np.stack([np.zeros_like(calibration[0]), np.full_like(calibration[0], 255)])
    for pixels in np.concatenate([extremes, calibration]):
        yield [pixels[None, :, :, None].astype(np.float32) / np.float32(255)]


def _convert(network: Any, calibration: Pixels | None) -> bytes:
    with needs("train"), quiet():
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _representative(calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.int8
        try:
            return bytes(converter.convert())
        except Exception as error:  # ConverterError is a plain Exception in a module that cannot be imported by name
            reason = str(error).split("<unknown>")[0].strip().split("\n")[0] or type(error).__name__
            raise ModelError(
                f"TFLite cannot convert the network {network.name!r}: {reason[:200]}; use standard Keras layers only"
            ) from error
