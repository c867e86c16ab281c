"""A network with hand-set weights, and pictures that it classifies without training."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.data.provenance import UsedPictures, write_used_pictures
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from support.exports import STRIPES

SIZE = 16
CLASSES = ("flat", "lying", "standing")


def draw_stripes(n: int, seed: int) -> FaceSet:
    """Draw n pictures, alternately of noise, horizontal and vertical stripes, in three equal splits."""
    rng = np.random.default_rng(seed)
    wave = np.where(np.arange(SIZE) // 2 % 2, 60, 0)
    patterns = np.stack([np.zeros((SIZE, SIZE)), np.tile(wave[:, None], (1, SIZE)), np.tile(wave, (SIZE, 1))])
    truth = np.arange(n) % 3
    faces = patterns[truth] + rng.integers(60, 120, (n, 1, 1)) + rng.normal(0, 6, (n, SIZE, SIZE))
    names = np.array([f"{row}.png" for row in range(n)])
    return FaceSet(
        faces=np.clip(faces, 0, 255).astype(np.uint8),
        votes=np.eye(3, dtype=np.float32)[truth],
        agreed=np.ones(n, bool),
        split=np.array(["training", "validation", "testing"])[np.arange(n) // 3 % 3],
        group=names,
        names=names,
        classes=CLASSES,
        source=STRIPES,
        photos=np.arange(n, dtype=np.uint64) + 1000 * seed,
    )


def stripe_network(gain: float = 40.0) -> Any:
    """Two edge filters, global average pooling, three logits: 29 parameters; correct on all of `draw_stripes`.

    On a flat picture, black or white, both filters output their small bias, so that an int8 range calibrated with flat
    pictures only is far too narrow for stripes.
    """
    import keras
    from keras import layers

    network = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        name="stripes",
    )
    sobel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)
    strength = np.array([[0, 1, 0], [0, 0, 1]], np.float32) * gain
    flat = np.array([gain / 4, 0, 0], np.float32)
    network.set_weights([np.stack([sobel, sobel.T], -1)[:, :, None], np.full(2, 0.01, np.float32), strength, flat])
    return network


@pytest.fixture(scope="session")
def enlarging() -> bytes:
    """An int8 network with Keras' own UpSampling2D, which becomes TILE and five-dimensional tensors."""
    import keras
    from keras import layers

    pictures = keras.Input((SIZE, SIZE, 1))
    x = layers.UpSampling2D(2)(layers.Conv2D(2, 3, padding="same")(pictures))
    network = keras.Model(pictures, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x))))
    return convert(network, RECIPES["int8"], draw_stripes(9, seed=0).faces)


@pytest.fixture(scope="session", name="stripes")
def stripes_fixture() -> FaceSet:
    return draw_stripes(90, seed=0)


@pytest.fixture(scope="session")
def many_stripes() -> FaceSet:
    """Enough faces to choose a calibration: 240 per split."""
    return draw_stripes(720, seed=1)


@pytest.fixture(scope="session")
def network() -> Any:
    return stripe_network()


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory, network: Any) -> Path:
    path = tmp_path_factory.mktemp("network") / "stripes.keras"
    network.save(path)
    return path


@pytest.fixture(scope="session")
def run_in(keras_file: Path, stripes: FaceSet) -> Callable[..., Path]:
    """Makes a run folder as fer-edge train does, without the files named in `without`."""

    def make(folder: Path, *without: str, temperature: float | None = 0.5) -> Path:
        run = folder / "run"
        run.mkdir()
        config = {"classes": CLASSES, "network": {"name": "stripes"}, "source": STRIPES}
        (run / "config.json").write_text(json.dumps(config))
        write_used_pictures(run, UsedPictures.of(stripes), STRIPES)
        (run / "metrics.json").write_text(json.dumps({} if temperature is None else {"temperature": temperature}))
        for name in ("best.keras", "last.keras"):
            (run / name).write_bytes(keras_file.read_bytes())
        stripes.part("training").save(run / "calibration.npz")
        stripes.take(stripes.split != "training").save(run / "heldout.npz")
        for name in without:
            (run / name).unlink()
        return run

    return make


@pytest.fixture
def make_run(run_in: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a run folder for one test."""
    return partial(run_in, tmp_path)
