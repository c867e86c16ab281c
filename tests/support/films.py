"""Films that tests write, and a disk that is as good as full."""

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from fer_edge.imaging.images import Pixels


def grey(level: int = 100) -> Pixels:
    """A picture of 64x48 pixels."""
    return np.full((48, 64, 3), level, np.uint8)


def write_film(path: Path, pictures: Iterable[Pixels], fps: float) -> Path:
    """Write pictures of one size; .mp4 is MPEG-4, .avi is JPEG by JPEG."""
    first, *others = pictures
    code = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (first.shape[1], first.shape[0]))
    for picture in (first, *others):
        writer.write(picture)
    writer.release()
    return path


@contextmanager
def largest_file(most: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))  # Python ignores the signal
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
