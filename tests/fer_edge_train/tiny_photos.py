"""Writers of photos with marked faces, small enough to read and quick to learn from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_data_sets import write_pictures

from fer_edge.crop import Box
from fer_edge.images import write_picture
from fer_edge.photoset import Photo
from fer_edge.render import clip

COLUMNS = "picture,split,x,y,w,h,right_eye_x,right_eye_y,left_eye_x,left_eye_y,score"


def marked(root: Path, rows: Iterable[str], columns: str = COLUMNS) -> Path:
    """A folder with `faces.csv` of `rows`; `a.jpg` to `f.jpg` lie in it, 60x60 each."""
    write_pictures(root / "pictures", [f"{letter}.jpg" for letter in "abcdef"])
    (root / "faces.csv").write_text("".join(f"{line}\n" for line in (columns, *rows)))
    return root


def people(root: Path, training: int = 14, testing: int = 4) -> Path:
    """A folder with drawn photos (120x80) of one or two people each; the testing ones come last."""
    frames = list(clip(training + testing, size_wh=(120, 80)))
    order = np.random.default_rng(0).permutation(len(frames))
    rows = []
    for number, frame in enumerate(order):
        split = "train" if number < training else "val"
        pixels, faces = frames[frame]
        name = f"{number:02}.png"
        write_picture(root / "pictures" / name, pixels)
        rows += [row(name, split, box) for _, box in faces]
    (root / "faces.csv").write_text("".join(f"{line}\n" for line in (COLUMNS, *rows)))
    return root


def row(name: str, split: str, box: Box, score: float = 0.9) -> str:
    """A line of faces.csv; the eyes lie where they mostly do."""
    x, y, w, h = box.x, box.y, box.w, box.h
    eyes = x + 0.3 * w, y + 0.4 * h, x + 0.7 * w, y + 0.4 * h
    return ",".join([name, split, *(f"{value:.1f}" for value in (x, y, w, h, *eyes)), str(score)])


def photo(pixels: "np.ndarray", boxes: Sequence[Sequence[float]], eyes: Sequence[Sequence[float]] = ()) -> Photo:
    """A training photo in memory; eyes that are not given are unknown."""
    n = len(boxes)
    known = np.array(eyes, np.float32) if eyes else np.full((n, 4), np.nan, np.float32)
    marks = np.array(boxes, np.float32).reshape(-1, 4), known.reshape(-1, 4)
    return Photo("drawn.png", "training", pixels.astype(np.uint8), *marks, np.ones(n, bool))


def tiny_detector(height: int, width: int) -> Any:
    """In place of `face_detector`: it learns little, but Keras compiles it in a fifth of the time."""
    import keras
    from keras import layers

    grey = keras.Input((height, width, 1), name="grey")
    x = layers.Conv2D(6, 8, strides=8, activation="relu6")(grey)
    maps = {"heat": layers.Conv2D(1, 3, padding="same", name="heat")(x), "geometry": layers.Conv2D(8, 1)(x)}
    return keras.Model(grey, maps, name="tiny")
