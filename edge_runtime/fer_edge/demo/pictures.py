"""Images for the report: sheets of faces, and frames of the annotated video."""

from pathlib import Path
from typing import cast

import cv2
import numpy as np

from fer_edge.errors import DataError
from fer_edge.imaging.images import VIDEO_SUFFIXES, Pixels, is_picture, read_picture, shrink_to_width, write_picture
from fer_edge.labels import EXPRESSIONS

FACES_SHOWN = 8


def face_sheet(folder: Path) -> Pixels:
    """Arrange the first faces of each class folder, one class per row.

    Args:
        folder: Folder with a subfolder for each of `EXPRESSIONS`.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    rows = [
        np.hstack([read_picture(path) for path in sorted((folder / name).iterdir())[:FACES_SHOWN]])
        for name in EXPRESSIONS
    ]
    narrowest = min(row.shape[1] for row in rows)
    return np.vstack([row[:, :narrowest] for row in rows])


def annotated_frames(folder: Path, count: int) -> list[Pixels]:
    """Return `count` evenly spaced frames of the video or images that `fer-edge run --save` wrote to `folder`.

    Raises:
        DataError: There are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return _video_frames(path, count)
    pictures = [path for path in files if is_picture(path)]
    if not pictures:
        raise DataError(f"{folder}: no annotated video or image; type: fer-edge run --save DIR")
    return [read_picture(pictures[i]) for i in _spread(len(pictures), count)]


def write_readme_picture(out: Path) -> None:
    """Write `out`/picture.png: frames of the annotated video side by side, as in the README (docs/demo.png)."""
    frames = [shrink_to_width(frame, 360) for frame in annotated_frames(out / "annotated", 6)[::2]]
    write_picture(out / "picture.png", np.hstack(frames) & np.uint8(0xFC))  # colours in steps of 4 halve the file size


def _video_frames(video: Path, count: int) -> list[Pixels]:
    capture = cv2.VideoCapture(str(video))
    frames: list[Pixels] = []
    while True:
        more, frame_bgr = capture.read()
        if not more:
            break
        frames.append(cast(Pixels, frame_bgr))
    capture.release()
    if not frames:
        raise DataError(f"{video}: it has no frames; start the demo again: fer-edge demo")
    return [frames[i] for i in _spread(len(frames), count)]


def _spread(length: int, count: int) -> list[int]:
    """Return the middle indices of `count` equal parts of `length` items, or all indices if there are fewer."""
    count = min(count, length)
    return [int((part + 0.5) * length / count) for part in range(count)]
