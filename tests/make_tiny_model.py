"""Make the models that the tests run, tests/data/tiny.tflite (int8) and tiny_float32.tflite: takes a minute.

Trained on drawn faces only; it knows nothing about people. Run it again when the contract or the drawings change:

python tests/make_tiny_model.py
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_edge.imaging.crop import crop_face
from fer_edge.imaging.images import Pixels
from fer_edge.inspection.selftest import make_golden
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import Contract, Model, write_model
from fer_edge.synthetic.render import draw_face
from fer_edge_export.networks.load import facts
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES

SIZE = 32
FACES = 1600
EPOCHS = 40
DATA = Path(__file__).parent / "data"


def draw_faces(count: int) -> tuple[Pixels, Any]:
    """Draw (count, SIZE, SIZE) uint8 grey faces and their class indices, (count,)."""
    truth = np.arange(count) % len(EXPRESSIONS)
    drawn = [draw_face(EXPRESSIONS[label], seed=number) for number, label in enumerate(truth)]
    return np.stack([crop_face(frame, box, SIZE) for frame, box in drawn]), truth


def train(faces: Pixels, truth: Any) -> Any:
    """Fit three strided convolutions and a dense layer."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            *[layers.Conv2D(n, 3, strides=2, padding="same", activation="relu6") for n in (8, 16, 16)],
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(len(EXPRESSIONS)),
        ],
        name="tiny",
    )
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    network.fit(faces[..., None] / 255.0, truth, epochs=EPOCHS, batch_size=32, verbose=2)
    return network


def write(path: Path, flatbuffer: bytes, recipe: str, network: Any) -> None:
    """Write one model file with its golden vectors."""
    contract = Contract(
        labels=EXPRESSIONS,
        size=SIZE,
        recipe=recipe,
        network=asdict(facts(network, "tiny")),
        data={"training": {"name": "drawn faces", "faces": FACES}},
    )
    write_model(path, flatbuffer, contract, make_golden(Model(path, flatbuffer, contract)))


if __name__ == "__main__":
    faces, truth = draw_faces(FACES)
    network = train(faces, truth)
    write(DATA / "tiny.tflite", convert(network, RECIPES["int8"], faces[:200]), "int8", network)
    write(DATA / "tiny_float32.tflite", convert(network, RECIPES["float32"]), "float32", network)
