"""Which codec a video is saved with: one that browsers play, if this machine encodes it fast enough."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np

from fer_edge.imaging.images import Pixels


class Codec(NamedTuple):
    """How a video is stored."""

    name: str
    fourcc: str
    suffix: str


BROWSERS_PLAY = Codec("H.264", "avc1", ".mp4"), Codec("VP9", "vp09", ".mp4"), Codec("VP8", "VP80", ".webm")
"""Best first. OpenCV's wheels have no H.264; their VP9 encodes 4 to 7 frames of 640x480 a second on two cores of an AMD
EPYC (Zen 4), VP8 27 to 35, MPEG-4 450 to 610."""
MPEG4 = Codec("MPEG-4", "mp4v", ".mp4")
TRIAL_FRAMES = 12
TRIAL_PIXELS = 160 * 120


def choose_codec(picture: Pixels, fps: float, log: Callable[[str], None]) -> Codec:
    """Take the first codec that browsers play and that this machine encodes as fast as `fps`, else MPEG-4, said so."""
    tried = []
    for codec in BROWSERS_PLAY:
        rate = _encoding_fps(codec, picture)
        if rate >= fps:
            return codec
        tried += [f"{codec.name} {rate:.0f}"] if rate else []
    found = (
        f"this machine encodes {', '.join(tried)} frames a second, {fps:.0f} come" if tried else "OpenCV has no other"
    )
    log(f"videos are saved as MPEG-4, which browsers do not play ({found})")
    return MPEG4


def _encoding_fps(codec: Codec, picture: Pixels) -> float:
    """Estimate how many frames like `picture`, moving, are encoded a second; 0 where OpenCV has no such codec.

    Measured on a smaller picture, in proportion to the pixels, so that the first frame of a live page waits for 0.1 s
    and not for 2.
    """
    height, width = picture.shape[:2]
    smaller = max(1, round(np.sqrt(height * width / TRIAL_PIXELS)))
    size_wh = (max(2, width // smaller // 2 * 2), max(2, height // smaller // 2 * 2))
    small = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
    with TemporaryDirectory(prefix="fer-edge-") as folder:
        path = Path(folder) / f"trial{codec.suffix.replace('.webm', '.mkv')}"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec.fourcc), 25, size_wh)
        if not writer.isOpened():
            return 0.0
        begun = time.perf_counter()
        for number in range(TRIAL_FRAMES):
            writer.write(np.roll(small, 3 * number, axis=1))
        writer.release()  # encodes what is waiting
        rate = TRIAL_FRAMES / (time.perf_counter() - begun)
    return float(rate * size_wh[0] * size_wh[1] / (height * width))


def name_webm(matroska: Path) -> None:
    """Name the type of a Matroska file with VP8 in it WebM, which is that (RFC 8794, DocType, padded with zeros)."""
    with matroska.open("r+b") as file:
        head = file.read(64)
        if (place := head.find(b"\x42\x82\x88matroska")) >= 0:
            file.seek(place + 3)
            file.write(b"webm\0\0\0\0")
