"""Training settings: defaults, limits and help texts of flags and `--config` keys."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fer_edge.errors import UsageError
from fer_edge.options import Option
from fer_edge_train.data.settings import DataSettings

LabelMode = Literal["soft", "majority"]


@dataclass(frozen=True)
class Augmentation:
    """Limits of the random augmentation, drawn anew for every face and epoch.

    `zoom` and `shift` model another margin around the face, or another detector's box: `fer_edge.imaging.crop` cuts a
    square about the box's centre, so only its side and position can differ. Pixels beyond the crop replicate its
    border, as `crop` does beyond a frame.
    """

    flip: Annotated[bool, Option(help="Horizontal flip of half the faces.")] = True
    shift: Annotated[float, Option(0, 0.5, help="Maximum shift in x and y, as a share of the side.")] = 0.08
    rotation: Annotated[float, Option(0, 180, help="Maximum rotation in degrees, either way.")] = 15.0
    zoom: Annotated[float, Option(0, 1, help="Maximum zoom in or out, as a share.")] = 0.15
    brightness: Annotated[float, Option(0, 1, help="Maximum change of brightness and contrast, as a share.")] = 0.2
    erasing: Annotated[float, Option(0, 1, help="Random erasing: share of faces with a rectangle of noise.")] = 0.0
    """The rectangle covers 2 % to 20 % of the face (Zhong et al. 2020)."""
    low_resolution: Annotated[float, Option(0, 1, help="Share of faces downscaled and upscaled again.")] = 0.0
    """Down to a third of the side: faces far from the camera."""
    gaussian_blur: Annotated[float, Option(0, 1, help="Share of faces with Gaussian blur.")] = 0.0
    """Sigma up to 1/32 of the side."""
    jpeg: Annotated[float, Option(0, 1, help="Share of faces with JPEG compression, quality 20 to 80.")] = 0.0


NO_AUGMENTATION = Augmentation(flip=False, shift=0, rotation=0, zoom=0, brightness=0)


@dataclass(frozen=True)
class TrainSettings:
    """All settings of a training."""

    data: Annotated[
        tuple[str, ...],
        Option(help="Data set folder, or a prepared set (.npz); repeat for several.", metavar="PATH"),
    ] = ()
    """A class without a face in one data set, but with faces in another, is masked in the loss for the first."""
    data_weight: Annotated[tuple[float, ...], Option(help="Training weight of each --data, in the same order.")] = ()
    """Empty: 1 each."""
    network: Annotated[
        Literal["nano", "small", "edge", "legend-cnn", "expw-cnn"],
        Option(help="Network architecture; nano and small are the quicker ones of edge's family."),
    ] = "edge"
    pretrained: Annotated[
        str,
        Option(help="Transfer learning: start from edge (the bundled model), a run or a .keras.", metavar="MODEL"),
    ] = ""
    """The same network and, unless it ends in global pooling, imgsz; other classes get a new head."""
    epochs: Annotated[int, Option(1, 1_000_000, help="Number of epochs.")] = 60
    batch: Annotated[int, Option(1, 1_000_000, help="Batch size.")] = 128
    imgsz: Annotated[int, Option(24, 256, help="Input size in pixels.")] = 48
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd"],
        Option(help="With warm-up and cosine decay; for sgd use --learning-rate 0.05 --weight-decay 0.0005."),
    ] = "adamw"
    """sgd with Nesterov momentum 0.9."""
    learning_rate: Annotated[float, Option(1e-7, 10, help="Peak learning rate.")] = 2e-3
    weight_decay: Annotated[
        float, Option(0, 10, help="Decoupled weight decay of adamw and sgd, times the learning rate.")
    ] = 0.05
    ema: Annotated[float, Option(0, 0.9999, help="Momentum of the weight average (EMA); 0: off.")] = 0.998
    """The averaged weights are validated and saved. In short runs less: 1 - 10 / steps at most."""
    label_mode: Annotated[LabelMode, Option(help="Targets: vote shares, or the majority class.")] = "soft"
    label_smoothing: Annotated[float, Option(0, 0.9, help="Share of a target spread over all classes.")] = 0.0
    mixup: Annotated[float, Option(0, 10, help="Mixup: alpha of the Beta distribution; 0: off.")] = 0.0
    class_weights: Annotated[bool, Option(help="Class imbalance: equal total weight per class in the loss.")] = False
    balanced_sampling: Annotated[bool, Option(help="Class imbalance: equal number of faces per class.")] = False
    logit_adjustment: Annotated[float, Option(0, 10, help="Class imbalance: tau, 1 to balance; 0: off.")] = 0.0
    """Menon et al. 2021: the loss, of training and validation, adds tau times the log of the class's share to each
    logit; inference does not."""
    teacher: Annotated[
        tuple[str, ...],
        Option(help="Distillation: run or model to learn from; repeat for several.", metavar="PATH"),
    ] = ()
    teacher_weight: Annotated[float, Option(0, 1, help="Distillation: weight of the teachers in the loss.")] = 0.5
    teacher_temperature: Annotated[
        float, Option(0.1, 100, help="Distillation: softmax temperature of teachers and student.")
    ] = 2.0
    """Hinton et al. 2015."""
    unlabelled: Annotated[
        str, Option(help="Distillation: folder of unlabelled faces, or any data set.", metavar="PATH")
    ] = ""
    patience: Annotated[
        int, Option(0, 1_000_000, help="Early stopping: epochs without better validation accuracy; 0: off.")
    ] = 15
    protocol: Annotated[Literal["majority", "all"], Option(help="FER+ protocol: which faces count.")] = "majority"
    seed: Annotated[
        int, Option(0, 2**32 - 1, help="Random seed of split, initial weights, shuffling and augmentation.")
    ] = 0
    """A config file has `reading.seed` for the split; --seed sets both."""
    tensorboard: Annotated[bool, Option(help="Write TensorBoard logs to RUN/tensorboard.")] = False
    augmentation: Augmentation = Augmentation()
    reading: DataSettings = field(default_factory=DataSettings)

    def __post_init__(self) -> None:
        methods = ("class_weights", "balanced_sampling", "logit_adjustment")
        chosen = [f"--{name.replace('_', '-')}" for name in methods if getattr(self, name)]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} each balance the classes; choose one of them")
        if self.data_weight and len(self.data_weight) != len(self.data):
            raise UsageError(f"--data-weight: {len(self.data_weight)} for {len(self.data)} --data; give one for each")
        if self.data_weight and not all(weight > 0 for weight in self.data_weight):
            raise UsageError("--data-weight must be above 0; to ignore a data set, leave out its --data")
        if self.unlabelled and not self.teacher:
            raise UsageError("--unlabelled needs --teacher RUN for its targets")
