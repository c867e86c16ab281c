"""Writing of test videos, and a simulated full disk."""

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


def write_video(path: Path, pictures: Iterable[Pixels], fps: float) -> Path:
    """Write pictures of equal size as a video; .mp4 is MPEG-4, .avi is MJPEG."""
    first, *others = pictures
    code = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (first.shape[1], first.shape[0]))
    for picture in (first, *others):
        writer.write(picture)
    writer.release()
    return path


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Limit the size of files that this process writes, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
