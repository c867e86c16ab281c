"""Synthetic calibration pictures: no photos, so no data set licence applies to the detector."""

from itertools import islice

import cv2
import numpy as np

from fer_edge.imaging.images import Pixels
from fer_edge.synthetic.render import clip

FRAMES = 4
"""Frames of the video from which a picture is taken, with different people and expressions."""
LEAST_ZOOM, MOST_ZOOM = 0.25, 3.0
"""Zoom relative to the video: faces of 13 to 330 pixels in a picture 320 wide."""


def synthetic_pictures(count: int, size_wh: tuple[int, int], seed: int) -> Pixels:
    """Draw people near and far, some cut off by the edge; the frame is mirrored beyond its edges.

    Args:
        count: Number of pictures.
        size_wh: Width and height in pixels.
        seed: Random seed.

    Returns:
        (count, height, width, 3) uint8 BGR.
    """
    rng = np.random.default_rng(seed)
    width, height = size_wh
    pictures = []
    for number in range(count):
        video = clip(FRAMES, seed=1000 * seed + number)
        frame, _ = next(islice(video, int(rng.integers(FRAMES)), None))
        rows, columns = frame.shape[:2]
        zoom = float(np.exp(rng.uniform(np.log(LEAST_ZOOM), np.log(MOST_ZOOM)))) * width / columns
        left = width / 2 - zoom * columns * rng.uniform(0.2, 0.8)
        top = height / 2 - zoom * rows * rng.uniform(0.3, 0.7)
        matrix = np.array([[zoom, 0, left], [0, zoom, top]], np.float32)
        small = cv2.GaussianBlur(frame, (0, 0), 0.4 / zoom) if zoom < 0.5 else frame
        pictures.append(cv2.warpAffine(small, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return np.asarray(np.stack(pictures), np.uint8)
