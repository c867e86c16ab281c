"""Writers of small data sets with drawn pictures, one per layout."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from fer_edge.imaging.images import Pixels, write_picture


def picture(seed: int, width: int = 60, height: int = 60) -> Pixels:
    """Draw a coloured disc on noise, different for every seed."""
    rng = np.random.default_rng(seed)
    frame_bgr = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    colour = [int(value) for value in rng.integers(80, 255, 3)]
    cv2.circle(frame_bgr, (width // 2, height // 2), min(width, height) // 3, colour, -1)
    return frame_bgr


def write_pictures(folder: Path, names: Iterable[str]) -> None:
    for seed, name in enumerate(names):
        write_picture(folder / name, picture(seed))


def legend(root: Path, rows: Iterable[str]) -> Path:
    """Write a legend.csv data set with a drawn picture for each of `rows` ("7,a.jpg,anger")."""
    rows = list(rows)
    write_pictures(root / "images", sorted({row.split(",")[1] for row in rows if row.count(",") >= 1}))
    (root / "data").mkdir(parents=True)
    (root / "data/legend.csv").write_text("\n".join(["user.id,image,emotion", *rows]) + "\n")
    return root


def expw(root: Path, rows: Iterable[str]) -> Path:
    """Write an ExpW data set with a drawn 60x60 photo for each photo in `rows`."""
    rows = list(rows)
    write_pictures(root / "origin", sorted({row.split()[0] for row in rows if row.strip()}))
    (root / "label.lst").write_text("\n".join(rows) + "\n")
    return root


def ferplus(root: Path, rows: dict[str, Iterable[str]]) -> Path:
    """Write a FER+ data set; `rows` has the votes ("4,0,0,1,3,2,0,0,0,0") of each split's pictures."""
    for number, (split, votes) in enumerate(rows.items()):
        names = [f"fer{number}{i:06d}.png" for i, _ in enumerate(votes)]
        write_pictures(root / "data" / split, names)
        lines = [f'{name},"(0, 0, 48, 48)",{line}' for name, line in zip(names, votes, strict=True)]
        (root / "data" / split / "label.csv").write_text("\n".join(lines) + "\n")
    return root


def class_folders(root: Path, counts: dict[str, int]) -> Path:
    """Write class folders with `counts` pictures each, such as "sad" or "train/sad"."""
    for folder, count in counts.items():
        write_pictures(root / folder, [f"{folder.replace('/', '_')}{i}.jpg" for i in range(count)])
    return root


def expressions(count: int) -> list[str]:
    """Return rows of a legend.csv data set: `count` pictures each of anger, fear and neutral."""
    return [f"1,{label}{i}.jpg,{label}" for label in ("anger", "fear", "neutral") for i in range(count)]
