"""How well a network finds the faces of held-out photos, while it learns."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from fer_edge.centre_points import Faces, decode
from fer_edge.detection_metrics import FALSE_PER_PHOTO, LEAST_SCORE, Curve, judge_photos
from fer_edge.images import Pixels
from fer_edge.photoset import Photo
from fer_edge_train.callbacks import Logs
from fer_edge_train.detector.batches import to_input

BATCH = 32


def judged_photos(network: keras.Model, photos: Sequence[Photo]) -> Curve:
    """Find the faces of `photos` with a Keras network and hold them against the marks."""
    height, width = network.input_shape[1:3]

    def find(pictures: Sequence[Pixels]) -> Iterator[Faces]:
        for first in range(0, len(pictures), BATCH):
            maps = network.predict_on_batch(to_input(np.stack(pictures[first : first + BATCH])))
            for heat, geometry in zip(maps["heat"], maps["geometry"], strict=True):
                yield decode(np.asarray(heat), np.asarray(geometry), LEAST_SCORE)

    return judge_photos(photos, width, height, find)


class Validation(keras.callbacks.Callback):
    """Adds `val_recall` to the epoch's figures: recall at `FALSE_PER_PHOTO` on the validation photos."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        super().__init__()
        self._photos = photos

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Judge the weights that are in place."""
        if logs is not None:
            logs["val_recall"] = judged_photos(self.model, self._photos).at_false(FALSE_PER_PHOTO)[0]
