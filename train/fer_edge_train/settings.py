"""What decides a training: the defaults, the limits, and the fields of a `--config` file and of `config.json`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fer_edge.errors import UsageError
from fer_edge_train.config_file import Share, Within
from fer_edge_train.data.settings import DataSettings

Labels = Literal["soft", "majority"]
Network = Literal["edge", "legend-cnn", "expw-cnn"]
Optimizer = Literal["adamw", "adam", "sgd"]


@dataclass(frozen=True)
class Augmentation:
    """How far a training face may be changed; each change is drawn anew for every face and epoch.

    `zoom` and `shift` together are what another margin around the face, or another detector's box, does to a crop:
    `fer_edge.imaging.crop` cuts a square about the box's centre, so only its side and its place can change. A wider
    crop needs pixels that a ready crop lacks; its border is repeated, as `crop` does beyond a frame.
    """

    flip: bool = True
    """Mirror every second face."""
    shift: Annotated[float, Within(0, 0.5)] = 0.08
    """At most this share of the side, in x and in y."""
    rotation: Annotated[float, Within(0, 180)] = 15.0
    """At most this many degrees either way."""
    zoom: Share = 0.15
    """At most this much larger or smaller."""
    brightness: Share = 0.2
    """At most this share of white is added or taken, and of contrast as well."""
    erasing: Share = 0.0
    """Share of faces with a rectangle of noise over a fiftieth to a fifth of them (Zhong et al. 2020)."""
    low_resolution: Share = 0.0
    """Share of faces that are made smaller, down to a third of the side, and enlarged again: far from the camera."""
    blur: Share = 0.0
    """Share of faces out of focus: a Gaussian of up to 1/32 of the side."""
    jpeg: Share = 0.0
    """Share of faces that were stored as a JPEG of quality 20 to 80."""


NO_AUGMENTATION = Augmentation(flip=False, shift=0, rotation=0, zoom=0, brightness=0)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training."""

    data: tuple[str, ...] = ()
    """Folders of any known layout, or prepared sets. A class that one of them never uses and another does was not
    asked for there, and its faces teach nothing about it."""
    data_weights: tuple[float, ...] = ()
    """How much a face of each data set counts in training, in the order of `data`; empty for 1 each."""
    network: Network = "edge"
    epochs: Annotated[int, Within(1, 1_000_000)] = 60
    batch: Annotated[int, Within(1, 1_000_000)] = 128
    size: Annotated[int, Within(24, 256)] = 48
    """Side of the input in pixels."""
    optimizer: Optimizer = "adamw"
    """All with linear warm-up and cosine decay; sgd with Nesterov momentum 0.9, and a rate of its own: 0.05, say."""
    learning_rate: Annotated[float, Within(1e-7, 10)] = 2e-3
    """The highest."""
    weight_decay: Annotated[float, Within(0, 10)] = 0.05
    """Of adamw and sgd (adam has none): each step takes this times the rate from every weight."""
    ema: Annotated[float, Within(0, 0.9999)] = 0.998
    """Weights that are judged and kept are the moving average with this momentum; 0 turns it off."""
    labels: Labels = "soft"
    label_smoothing: Annotated[float, Within(0, 0.9)] = 0.0
    """Share of each training target that is spread over all classes alike."""
    mixup: Annotated[float, Within(0, 10)] = 0.0
    """Alpha of the Beta distribution by which two faces, and their targets, are mixed; 0 turns it off."""
    class_weights: bool = False
    """Rare classes, first way: every class weighs the same in the loss."""
    balanced_sampling: bool = False
    """Second way: an epoch draws as many faces of every class."""
    logit_adjustment: Annotated[float, Within(0, 10)] = 0.0
    """Third way: tau of Menon et al. 2021; in training alone, tau times the logarithm of its class's share is added to
    a logit, also in the loss of validation. 1 balances the classes, 0 turns it off."""
    teachers: tuple[str, ...] = ()
    """Run folders, .keras or .tflite files: what they say of the training faces is learnt, too (distillation)."""
    teacher_weight: Share = 0.5
    """Share of the teachers in the loss; the rest is of the labels."""
    teacher_temperature: Annotated[float, Within(0.1, 100)] = 2.0
    """Divides the logits of teachers and network before the one learns from the others (Hinton et al. 2015)."""
    unlabelled: str = ""
    """Folder of face pictures, or any data set, of which the teachers alone say something."""
    patience: Annotated[int, Within(0, 1_000_000)] = 15
    """Stop after this many epochs without a better validation accuracy; 0 never stops early."""
    protocol: Literal["majority", "all"] = "majority"
    """Which validation faces count (FER+)."""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    """Of weights, order and changes; the split has its own, `reading.seed`, and --seed sets both."""
    tensorboard: bool = False
    """Write logs for TensorBoard to the run folder as well."""
    augmentation: Augmentation = Augmentation()
    reading: DataSettings = field(default_factory=DataSettings)

    def __post_init__(self) -> None:
        ways = ("class_weights", "balanced_sampling", "logit_adjustment")
        chosen = [f"--{way.replace('_', '-')}" for way in ways if getattr(self, way)]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} each make rare classes count in full; choose one of them")
        if self.data_weights and len(self.data_weights) != len(self.data):
            raise UsageError(f"--data-weight: {len(self.data_weights)} for {len(self.data)} --data; give one for each")
        if self.data_weights and not all(weight > 0 for weight in self.data_weights):
            raise UsageError("--data-weight is above 0; leave out a data set that should not count")
        if self.unlabelled and not self.teachers:
            raise UsageError("--unlabelled needs --teacher RUN, which says what those faces show")
