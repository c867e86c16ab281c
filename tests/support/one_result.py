"""The result of a camera frame with one happy face."""

from dataclasses import replace

import numpy as np

from fer_edge.imaging.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.recognition.recognizer import Face
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Result

GREY = np.full((48, 64, 3), 100, np.uint8)


def result(index: int = 0, frame_bgr: Pixels = GREY, **changes: object) -> Result:
    probabilities = dict.fromkeys(EXPRESSIONS, 0.0) | {"happiness": 1.0}
    face = Face((8, 8, 32, 32), "happiness", 1.0, probabilities, 0.9, id=3)
    frame = Frame("front door", index, index / 25, frame_bgr, 1.5, 0.0, None, 25.0)
    complete = Result(frame, [face], [], {"capture": 1.5, "detect": 2.0, "total": 3.5}, 7, 12.5)
    return replace(complete, **changes)
