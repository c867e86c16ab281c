"""Float weights of the bundled model, for `fer-edge train --pretrained edge`, from its int8 file.

python -m studies.distillation.float_weights --faces faces.npz --out edge_weights.npz

Kernels are dequantised. A batch normalisation, folded into its convolution by the export, gets the mean and variance
of the convolution's outputs over training faces, and the scale and offset that leave its own output unchanged.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import numpy.typing as npt
import typer

from fer_edge.data.faceset import FaceSet
from fer_edge.files import replacing, sha256
from fer_edge.model.contract import read_model
from fer_edge.model.quantization import to_input
from fer_edge.recognition.classifier import BUNDLED
from fer_edge_export.flatbuffer import Graph, Runner
from fer_edge_train.training.networks import make_network

FACES = 4096
"""Training faces for the statistics."""


def folded_layers(flatbuffer: bytes) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Kernel and bias of each convolution and dense layer, in the order of Keras' axes, dequantised."""
    graph, runner = Graph(flatbuffer), Runner(flatbuffer)

    def value(index: int) -> npt.NDArray[np.float64]:
        values, steps = np.asarray(runner.read(index), np.float64), graph.quantizations(index)
        if len(steps) < 2:  # `read` has dequantised it
            return values
        scales = np.array([step.scale for step in steps])
        return np.asarray(values * scales.reshape(-1, *[1] * (values.ndim - 1)))

    layers = []
    for operator in graph.operators:
        if graph.kind(operator) in ("CONV_2D", "FULLY_CONNECTED"):
            kernel, bias = (value(index) for index in graph.operator_inputs(operator)[1:3])
            layers.append((np.moveaxis(kernel, 0, -1), bias))  # output channels come last in Keras
    return layers


def restored(flatbuffer: bytes, name: str, classes: int, faces: npt.NDArray[np.uint8]) -> keras.Model:
    """Rebuild the float network `name` from its int8 file; `faces` are (n, size, size) uint8 training faces."""
    network, pixels = make_network(name, classes, faces.shape[1]), to_input(faces)
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    folded = folded_layers(flatbuffer)
    for layer, (kernel, bias) in zip(layers, folded, strict=True):
        layer.set_weights([kernel, bias] if isinstance(layer, keras.layers.Dense) else [kernel])
    for layer, norm, (_, bias) in zip(layers, norms, folded, strict=False):  # the dense layer has none
        outputs = keras.Model(network.inputs, layer.output).predict(pixels, batch_size=256, verbose=0)
        mean, variance = outputs.mean((0, 1, 2), dtype=float), outputs.var((0, 1, 2), dtype=float)
        norm.set_weights([np.sqrt(variance + norm.epsilon), bias + mean, mean, variance])
    return network


def main(
    faces: Annotated[Path, typer.Option(help="Prepared set of studies.distillation.faces.")],
    out: Annotated[Path, typer.Option(help="Weights to write (.npz).")],
) -> None:
    """Write the weights in float16, with the digest of the file that they are of, its classes and training data."""
    model = read_model(BUNDLED)
    contract = model.contract
    training = FaceSet.load(faces).part("training").faces[:FACES]
    network = restored(model.flatbuffer, contract.network["name"], len(contract.labels), training)
    facts: dict[str, Any] = {
        "network": contract.network["name"],
        "classes": contract.labels,
        "source": contract.data["training"],
        "from": f"edge.tflite, dequantised; batch normalisation with the statistics of {FACES:,} of its training faces",
        "sha256_of_model": sha256(BUNDLED.read_bytes()),
    }
    arrays = {f"weight{number:03}": weight.astype(np.float16) for number, weight in enumerate(network.get_weights())}
    with replacing(out) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, facts=np.array(json.dumps(facts)), **arrays)


if __name__ == "__main__":
    typer.run(main)
