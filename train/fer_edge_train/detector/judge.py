"""How well a network finds the faces of held-out photos, while it learns."""

from collections.abc import Sequence

import keras
import numpy as np

from fer_edge.centre_points import decode
from fer_edge.detection_metrics import Curve, Judged, curve, judge
from fer_edge.detector_contract import fitted
from fer_edge.photoset import Photo
from fer_edge_train.callbacks import Logs
from fer_edge_train.detector.batches import to_input

FALSE_PER_PHOTO = 0.3
"""False alarms per photo at which recall is read off."""
SMALLEST = 16.0
"""Pixels of the input: marked faces whose longer side is shorter count neither way."""
LEAST_SCORE = 0.02
"""Where the curve begins: far below any threshold in use."""


def judged_photos(network: keras.Model, photos: Sequence[Photo]) -> Curve:
    """Find the faces of `photos` and hold them against the marks."""
    height, width = network.input_shape[1:3]
    judged: list[Judged] = []
    for first in range(0, len(photos), 32):
        part = photos[first : first + 32]
        inputs = [fitted(photo.pixels, width, height) for photo in part]
        maps = network.predict_on_batch(to_input(np.stack([pixels for pixels, _ in inputs])))
        for photo, (_, back_xy), heat, geometry in zip(part, inputs, maps["heat"], maps["geometry"], strict=True):
            found = decode(np.asarray(heat), np.asarray(geometry), LEAST_SCORE)
            boxes = photo.boxes / np.tile(back_xy, 2).astype(np.float32)
            counts = photo.sure & (boxes[:, 2:].max(axis=1, initial=0) >= SMALLEST)
            judged.append(judge(found.boxes, found.scores, boxes[counts], boxes[~counts]))
    return curve(judged)


class Validation(keras.callbacks.Callback):
    """Adds `val_recall` to the epoch's figures: recall at `FALSE_PER_PHOTO` on the validation photos."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        super().__init__()
        self._photos = photos

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Judge the weights that are in place."""
        if logs is not None:
            logs["val_recall"] = judged_photos(self.model, self._photos).at_false(FALSE_PER_PHOTO)[0]
