"""What decides a training: defaults, limits and help of its settings, flags and keys of a `--config` file."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fer_edge.errors import UsageError
from fer_edge.options import Option
from fer_edge_train.data.settings import DataSettings

LabelMode = Literal["soft", "majority"]


@dataclass(frozen=True)
class Augmentation:
    """How far a training face may be changed; each change is drawn anew for every face and epoch.

    `zoom` and `shift` together are what another margin around the face, or another detector's box, does to a crop:
    `fer_edge.imaging.crop` cuts a square about the box's centre, so only its side and its place can change. A wider
    crop needs pixels that a ready crop lacks; its border is repeated, as `crop` does beyond a frame.
    """

    flip: Annotated[bool, Option(help="Mirror every second face.")] = True
    shift: Annotated[float, Option(0, 0.5, help="At most this share of the side, in x and in y.")] = 0.08
    rotation: Annotated[float, Option(0, 180, help="At most so many degrees either way.")] = 15.0
    zoom: Annotated[float, Option(0, 1, help="At most so much larger or smaller: the crop's margin.")] = 0.15
    brightness: Annotated[float, Option(0, 1, help="At most this share of white, and of contrast.")] = 0.2
    erasing: Annotated[float, Option(0, 1, help="Share of faces with a rectangle of noise.")] = 0.0
    """Over a fiftieth to a fifth of the face (Zhong et al. 2020)."""
    low_resolution: Annotated[float, Option(0, 1, help="Share of faces far from the camera: made smaller first.")] = 0.0
    """Down to a third of the side, and enlarged again."""
    gaussian_blur: Annotated[float, Option(0, 1, help="Share of faces out of focus.")] = 0.0
    """A Gaussian of up to 1/32 of the side."""
    jpeg: Annotated[float, Option(0, 1, help="Share of faces stored as a JPEG of quality 20 to 80.")] = 0.0


NO_AUGMENTATION = Augmentation(flip=False, shift=0, rotation=0, zoom=0, brightness=0)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training."""

    data: Annotated[
        tuple[str, ...],
        Option(help="Folder of any known layout, or a prepared set (.npz); several times for several.", metavar="PATH"),
    ] = ()
    """A class that one of them never uses and another does was not asked for there, and its faces teach nothing about
    it."""
    data_weight: Annotated[
        tuple[float, ...], Option(help="How much a face of each --data counts in training, in the same order.")
    ] = ()
    """Empty for 1 each."""
    network: Annotated[Literal["edge", "legend-cnn", "expw-cnn"], Option(help="Which network.")] = "edge"
    epochs: Annotated[int, Option(1, 1_000_000, help="Passes over the training faces.")] = 60
    batch: Annotated[int, Option(1, 1_000_000, help="Faces per step.")] = 128
    imgsz: Annotated[int, Option(24, 256, help="Side of the network's input in pixels.")] = 48
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd"],
        Option(help="All with warm-up and cosine decay; sgd wants --learning-rate 0.05 --weight-decay 0.0005."),
    ] = "adamw"
    """sgd with Nesterov momentum 0.9."""
    learning_rate: Annotated[float, Option(1e-7, 10, help="Highest learning rate.")] = 2e-3
    weight_decay: Annotated[
        float, Option(0, 10, help="Of adamw and sgd: a step takes this times the rate from every weight.")
    ] = 0.05
    ema: Annotated[float, Option(0, 0.9999, help="Momentum of the averaged weights; 0: none.")] = 0.998
    """The average is what is judged and kept."""
    label_mode: Annotated[LabelMode, Option(help="Shares of the votes, or one class.")] = "soft"
    label_smoothing: Annotated[float, Option(0, 0.9, help="Share of a target that is spread over all classes.")] = 0.0
    mixup: Annotated[float, Option(0, 10, help="Mix faces two by two, by shares from Beta(this, this); 0: do not.")] = (
        0.0
    )
    class_weights: Annotated[bool, Option(help="For rare classes: every class weighs the same in the loss.")] = False
    balanced_sampling: Annotated[bool, Option(help="For rare classes: show as many faces of each.")] = False
    logit_adjustment: Annotated[float, Option(0, 10, help="For rare classes: tau, 1 to balance; 0: none.")] = 0.0
    """Menon et al. 2021: in training alone, tau times the logarithm of its class's share is added to a logit, also in
    the loss of validation."""
    teacher: Annotated[
        tuple[str, ...],
        Option(help="Learn from this run or model, too (distillation); any number of them.", metavar="PATH"),
    ] = ()
    teacher_weight: Annotated[float, Option(0, 1, help="Share of the teachers in the loss.")] = 0.5
    teacher_temperature: Annotated[
        float, Option(0.1, 100, help="Divides the logits of teachers and network before one learns from the others.")
    ] = 2.0
    """Hinton et al. 2015."""
    unlabelled: Annotated[
        str, Option(help="Face pictures, or any data set, that only the teachers say something of.", metavar="PATH")
    ] = ""
    patience: Annotated[
        int, Option(0, 1_000_000, help="Stop after so many epochs without a better validation accuracy; 0: never.")
    ] = 15
    protocol: Annotated[Literal["majority", "all"], Option(help="FER+: which faces count.")] = "majority"
    seed: Annotated[
        int, Option(0, 2**32 - 1, help="Of the split, weights, order and changes: same seed, same run.")
    ] = 0
    """In a file the split has its own, `reading.seed`; --seed sets both."""
    tensorboard: Annotated[bool, Option(help="Log to RUN/tensorboard as well.")] = False
    augmentation: Augmentation = Augmentation()
    reading: DataSettings = field(default_factory=DataSettings)

    def __post_init__(self) -> None:
        ways = ("class_weights", "balanced_sampling", "logit_adjustment")
        chosen = [f"--{way.replace('_', '-')}" for way in ways if getattr(self, way)]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} each make rare classes count in full; choose one of them")
        if self.data_weight and len(self.data_weight) != len(self.data):
            raise UsageError(f"--data-weight: {len(self.data_weight)} for {len(self.data)} --data; give one for each")
        if self.data_weight and not all(weight > 0 for weight in self.data_weight):
            raise UsageError("--data-weight is above 0; leave out a data set that should not count")
        if self.unlabelled and not self.teacher:
            raise UsageError("--unlabelled needs --teacher RUN, which says what those faces show")
