"""What decides a training: the defaults, and the fields of `config.json`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from fer_edge.faceset import Protocol
from fer_edge_train.data_settings import DataSettings

Labels = Literal["soft", "majority"]


@dataclass(frozen=True)
class Augmentation:
    """How far a training face may be changed; each change is drawn anew for every face and epoch."""

    flip: bool = True
    """Mirror every second face."""
    shift: float = 0.08
    """At most this share of the side, in x and in y."""
    rotation: float = 15.0
    """At most this many degrees either way."""
    zoom: float = 0.15
    """At most this much larger or smaller: what another face detector's box would do."""
    brightness: float = 0.2
    """At most this share of white is added or taken, and of contrast as well."""


NO_AUGMENTATION = Augmentation(flip=False, shift=0, rotation=0, zoom=0, brightness=0)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training."""

    data: str
    """Folder of any known layout, or a prepared set."""
    network: str = "edge"
    epochs: int = 60
    batch: int = 128
    size: int = 48
    """Side of the input in pixels."""
    optimizer: str = "adamw"
    """adamw or adam; both with linear warm-up and cosine decay."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    """AdamW's; Adam has none."""
    ema: float = 0.998
    """Weights that are judged and kept are the moving average with this momentum; 0 turns it off."""
    labels: Labels = "soft"
    class_weights: bool = False
    patience: int = 15
    """Stop after this many epochs without a better validation accuracy; 0 never stops early."""
    protocol: Protocol = "majority"
    """Which validation faces count (FER+)."""
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    reading: DataSettings = field(default_factory=DataSettings)


def settings_from(config: dict[str, Any]) -> TrainSettings:
    """Read the settings back from a run's `config.json`."""
    values = dict(config["settings"])
    values["augmentation"] = Augmentation(**values["augmentation"])
    values["reading"] = DataSettings(**values["reading"])
    return TrainSettings(**values)
