"""What decides a detector's training: the fields of a `--config` file, and of the run's `config.json`."""

from dataclasses import dataclass, field
from typing import Annotated

from fer_edge_train.config_file import Within
from fer_edge_train.detector.scenes import SceneSettings


@dataclass(frozen=True)
class DetectorSettings:
    """Everything that decides a training."""

    data: str = ""
    """Folder with `faces.csv` and `pictures/`."""
    terms: str = ""
    """Under which the photos and their labels may be used, for the model's contract; empty for the first line of the
    folder's LICENSE."""
    crops: str = ""
    """A prepared set (.npz) of ready face crops, laid over some pictures; empty for none."""
    pretrained: str = ""
    """Run folder or .keras file whose weights the training starts with; empty for random ones."""
    width: int = 320
    """Of the input in pixels; any multiple of 8, and export may take another."""
    height: int = 240
    epochs: Annotated[int, Within(1, 1_000_000)] = 100
    batch: Annotated[int, Within(1, 1024)] = 16
    learning_rate: Annotated[float, Within(1e-7, 10)] = 3e-3
    weight_decay: Annotated[float, Within(0, 10)] = 0.02
    ema: Annotated[float, Within(0, 0.9999)] = 0.998
    """Weights that are judged and kept are the moving average with this momentum; 0 turns it off."""
    patience: Annotated[int, Within(0, 1_000_000)] = 0
    """Stop after this many epochs without a better recall; 0 never stops early."""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    tensorboard: bool = False
    """Write logs for TensorBoard to the run folder as well."""
    scenes: SceneSettings = field(default_factory=SceneSettings)
