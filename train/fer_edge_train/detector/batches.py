"""Photos to training batches: each picture is made by (seed, epoch, number) alone, so a resumed run sees the same."""

from collections.abc import Sequence

import keras
import numpy as np

from fer_edge.centre_points import Floats
from fer_edge.images import Pixels
from fer_edge.photoset import Photo
from fer_edge_train.detector.scenes import make_scene
from fer_edge_train.detector.settings import DetectorSettings
from fer_edge_train.detector.targets import make_targets


def to_input(pictures: Pixels) -> Floats:
    """Turn (n, height, width) uint8 grey into the network's (n, height, width, 1) float32 in [0, 1]."""
    return np.asarray(pictures[..., None] / np.float32(255), np.float32)


class SceneBatches(keras.utils.PyDataset):
    """Training batches of (pictures, both maps); the next are made while the network learns."""

    unit = "pictures"

    def __init__(self, photos: Sequence[Photo], crops: Pixels | None, settings: DetectorSettings) -> None:
        super().__init__(workers=1, max_queue_size=8)
        self._photos, self._crops, self._settings = photos, crops, settings
        self.batch = min(settings.batch, len(photos))
        self.start(0)

    def start(self, epoch: int) -> None:
        """Draw other pictures in `epoch`, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._photos) // self.batch

    def __getitem__(self, index: int) -> tuple[Floats, dict[str, Floats]]:
        settings = self._settings
        pictures, heats, geometries = [], [], []
        for number in range(index * self.batch, (index + 1) * self.batch):
            rng = np.random.default_rng([settings.seed, self._epoch, number])
            scene = make_scene(self._photos, self._crops, settings.height, settings.width, settings.scenes, rng)
            heat, geometry = make_targets(*scene[1:], settings.height, settings.width)
            pictures.append(scene.pixels)
            heats.append(heat)
            geometries.append(geometry)
        return to_input(np.stack(pictures)), {"heat": np.stack(heats), "geometry": np.stack(geometries)}
