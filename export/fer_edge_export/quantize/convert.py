"""Convert a Keras network to TFLite flatbuffers by recipe; int8 models take uint8 pixels unchanged.

TensorFlow's `convert()` leaks some memory per call, logs a lot and may crash: it runs in the worker process.
"""

import importlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fer_edge.errors import DAMAGE, DataError, ModelError, one_line
from fer_edge.imaging.images import Pixels, with_channels
from fer_edge.model.operators import refuse_custom
from fer_edge.model.quantization import PIXELS, to_unit
from fer_edge.model.trial import load_runtime
from fer_edge.worker import WORKER, WorkerDiedError, WorkerError
from fer_edge_export.networks.layers import flat_layers
from fer_edge_export.recipes import Recipe, RecipeName

LARGEST_EXPONENT = 88.7
"""exp() of more is infinite in float32."""


def convert(network: Any, recipe: Recipe, calibration: Pixels | None = None) -> bytes:
    """Convert a Keras network to a TFLite flatbuffer.

    Args:
        network: keras.Model; (n, height, width, 1) grey or (n, height, width, 3) RGB in [0, 1] in.
        recipe: int8 takes uint8 pixels at exactly scale 1/255 and returns int8, int16x8 takes and returns int16, the
            others floats.
        calibration: (n, height, width) grey or (n, height, width, 3) RGB uint8 training pictures for the tensor ranges
            of calibrated recipes. An all-black and an all-white picture are added, so that the input range is exactly
            0 to 1.

    Raises:
        DataError: The recipe needs pictures and there are none, or of another size or colour than the network's input.
        ModelError: The network has layers without built-in TFLite operators, cannot be quantised, or its int8 input
            scale is not 1/255.
    """
    if recipe.calibrated:
        if calibration is None or len(calibration) == 0:
            raise DataError("no faces to calibrate with; give training faces: fer-edge export RUN --data SET.npz")
        _check_shape(with_channels(calibration).shape, network.input_shape)
    flatbuffer = _convert(network, recipe, calibration)
    refuse_custom(f"the network {network.name!r}", flatbuffer)
    if recipe.name == "int8":
        check_input(flatbuffer)
    return flatbuffer


def check_input(flatbuffer: bytes) -> None:
    """Check that the int8 model runs and takes uint8 pixels.

    Raises:
        ModelError: The runtime rejects the model, or its input is not uint8 at scale 1/255, zero point 0.
    """
    _, runtime = load_runtime()
    try:
        interpreter = runtime.Interpreter(model_content=flatbuffer)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:  # if a tensor was constant over all calibration faces
        raise ModelError(
            f"the int8 model does not run ({error}); are all calibration faces equal? Give others: --data SET.npz"
        ) from error
    tensor = interpreter.get_input_details()[0]
    scale, zero_point = tensor["quantization"]
    if tensor["dtype"] != np.uint8 or (scale, zero_point) != PIXELS:
        raise ModelError(
            f"the int8 input is {np.dtype(tensor['dtype']).name} at scale {scale:.8g}, zero point {zero_point}; "
            "it must be uint8 at 1/255, 0: the network must take pixels in [0, 1] without a rescaling first layer"
        )


def _check_shape(faces: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Check that faces (n, height, width, channels) fit an input (None, height, width, channels)."""
    if faces[1:] != tuple(shape[1:]):
        described = [
            f"{width}x{height} {'RGB' if channels == 3 else 'grey'}" for _, height, width, channels in (faces, shape)
        ]
        colour = "rgb" if shape[3] == 3 else "grey"
        raise DataError(
            f"calibration faces are {described[0]} pixels, the network's input is {described[1]}; "
            f"prepare them again with --imgsz {shape[2]} --colour {colour}"
        )


def _representative(calibration: Pixels) -> Iterator[list[Any]]:
    """Yield single (1, height, width, channels) float32 pictures in [0, 1]: black, white, then the others."""
    extremes = np.stack([np.zeros_like(calibration[0]), np.full_like(calibration[0], 255)])
    for pixels in np.concatenate([extremes, calibration]):
        yield [to_unit(with_channels(pixels[None]))]


def _convert(network: Any, recipe: Recipe, calibration: Pixels | None) -> bytes:
    """Convert in another process: TensorFlow's converter is loud, and may crash."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        network.save(path)
        blobs = [path.read_bytes()]
    if calibration is not None and recipe.calibrated:
        blobs.append(as_npy(calibration))
    try:
        return WORKER.call(convert_saved, *blobs, recipe=recipe.name, own_layers=_own_layers(network))
    except WorkerDiedError as error:
        culprit = None if calibration is None else overflowing(network, calibration)
        cause = f"layer {culprit} gives numbers beyond float32's range" if culprit else str(error)
        raise ModelError(
            f"TensorFlow's converter crashes on the network {network.name!r} ({cause}); is --pixels right?"
        ) from error
    except WorkerError as error:
        raise ModelError(str(error)) from error


def _own_layers(network: Any) -> list[tuple[str, str]]:
    """Module and name of each layer class that is not Keras' own."""
    kinds = {type(layer) for layer in flat_layers(network)}
    return sorted((kind.__module__, kind.__qualname__) for kind in kinds if not kind.__module__.startswith("keras."))


def as_npy(array: Any) -> bytes:
    """Store an array as the content of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def overflowing(network: Any, calibration: Pixels) -> str | None:
    """Find the first layer that gives numbers beyond float32's range, or would inside TFLite.

    TFLite computes softplus(x), of which mish is made, as log(1 + exp(x)): infinite from x = 88.7 on.

    Args:
        network: keras.Model.
        calibration: (n, height, width) grey or (n, height, width, 3) RGB uint8 pictures.
    """
    found: list[str] = []

    def recorded(layer: Any) -> Callable[..., Any]:
        call = layer.call

        def recording(*arguments: Any, **options: Any) -> Any:
            answer = call(*arguments, **options)
            softplus = getattr(getattr(layer, "activation", None), "__name__", "") in ("softplus", "mish")
            largest = max(float(np.abs(np.asarray(one)).max(initial=0)) for one in keras.tree.flatten(answer))
            if not np.isfinite(largest) or (softplus and largest > LARGEST_EXPONENT):
                found.append(str(layer.name))
            return answer

        return recording

    import keras

    layers = flat_layers(network)
    try:
        for layer in layers:
            layer.call = recorded(layer)
        network(to_unit(with_channels(calibration)), training=False)
    finally:
        for layer in layers:
            del layer.call
    return found[0] if found else None


def convert_saved(
    network: bytes, calibration: bytes | None = None, *, recipe: RecipeName, own_layers: list[tuple[str, str]]
) -> bytes:
    """Convert a saved Keras network; runs in the worker process.

    Args:
        network: Content of a .keras file.
        calibration: Content of a .npy file with pictures as `convert` takes them; None for a recipe without.
        recipe: Its name.
        own_layers: Module and name of each layer class that is not Keras' own.

    Raises:
        ModelError: A layer cannot be loaded, TFLite has no operators for it, or it cannot be quantised.
    """
    import keras
    import tensorflow as tf

    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        path.write_bytes(network)
        try:
            known = {name: getattr(importlib.import_module(module), name) for module, name in own_layers}
            loaded = keras.models.load_model(path, custom_objects=known, compile=False)
        except (ImportError, AttributeError, *DAMAGE) as error:
            raise ModelError(
                f"TFLite cannot convert the network: a layer cannot be loaded in another process ({one_line(error)}); "
                "use standard Keras layers only"
            ) from error
    one = keras.Input(batch_shape=(1, *loaded.input_shape[1:]), name="one")  # an open batch costs operators
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(one, loaded(one), name=loaded.name))
    if recipe != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration is not None:
        pictures = np.load(io.BytesIO(calibration), allow_pickle=False)
        converter.representative_dataset = lambda: _representative(pictures)
    kernels = tf.lite.OpsSet.TFLITE_BUILTINS
    if recipe == "int8":
        kernels = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    elif recipe == "int16x8":
        kernels = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.inference_input_type = converter.inference_output_type = tf.int16
    elif recipe == "float16":
        converter.target_spec.supported_types = [tf.float16]
    converter.target_spec.supported_ops = [kernels]
    try:
        return bytes(converter.convert())
    except Exception as error:  # ConverterError is a plain Exception in a module that cannot be imported by name
        reason = str(error).split("<unknown>")[0].strip().split("\n")[0] or type(error).__name__
        foreign = sorted(set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", str(error))))
        if foreign:
            reason = f"TFLite has no operator for TensorFlow's {', '.join(foreign)}"
        raise ModelError(
            f"TFLite cannot convert the network {loaded.name!r}: {reason[:200]}; use standard Keras layers only"
        ) from error
