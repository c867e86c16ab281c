"""What an export found out, as records: `export_report.json` is an `ExportReport`, field by field."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkFacts:
    """How large a network is."""

    name: str
    parameters: int
    macs: int
    """Multiply-accumulates of one face."""


@dataclass(frozen=True)
class HeldOut:
    """The faces that judged."""

    split: str
    protocol: str


@dataclass(frozen=True)
class Candidate:
    """A calibration that was tried."""

    faces: int
    rule: str
    kl_divergence: float
    """Mean over the faces, in nats, of int8's probabilities from float32's."""


@dataclass(frozen=True)
class Choice:
    """How a calibration was chosen."""

    split: str
    """Of the faces to choose by."""
    n: int
    """How many they were."""
    tried: tuple[Candidate, ...]


@dataclass(frozen=True)
class OtherFaces:
    """How a model that was calibrated with other faces answers, beside the first one."""

    faces: int
    accuracy: float
    same_answer: float
    """Share of the faces."""


@dataclass(frozen=True)
class Learning:
    """How a network was fine-tuned for int8."""

    epochs: int
    best_epoch: int
    """0: none was better than the network as it was."""
    learning_rate: float
    seed: int
    faces: int
    held_back: int
    """Training faces that chose the epoch."""
    kl_divergence: tuple[float, ...]
    """On those, mean in nats from float32, before the first epoch and after each."""


@dataclass(frozen=True)
class CalibrationReport:
    """What set the ranges of a model."""

    faces: int
    seed: int
    rule: str
    per_class: dict[str, int]
    doubts: tuple[str, ...]
    """What is wrong with the faces."""
    source: dict[str, Any]
    """Where they are from (`FaceSet.source`)."""
    choice: Choice | None = None
    other_faces: OtherFaces | None = None
    learning: Learning | None = None


@dataclass(frozen=True)
class ClassRecall:
    """How many of a class's faces a model finds."""

    n: int
    recall: float | None
    """None for a class without a face."""


@dataclass(frozen=True)
class Figures:
    """What one model is worth on at least one face, as `fer_edge.data.metrics.summary` says it."""

    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    calibration_error: float
    per_class: dict[str, ClassRecall]
    confusion: list[list[int]]
    calibration_error_before: float
    """Without temperature."""


@dataclass(frozen=True)
class ClassChange:
    """What quantisation did to one class; recalls are None where it has no face."""

    n: int
    float32: float | None
    quantised: float | None
    change: float | None
    """Recall of the quantised model minus that of float32."""
    interval: tuple[float, float] | None
    """95 % interval of the change."""
    lost: int
    """Faces that only float32 answers right."""
    gained: int
    """Faces that only the quantised model answers right."""


@dataclass(frozen=True)
class Comparison:
    """Float32 and a quantised model on the same faces."""

    n: int
    drop: float
    """Accuracy of float32 minus that of the quantised model."""
    drop_interval: tuple[float, float]
    """95 %."""
    lost: int
    gained: int
    mcnemar_p: float
    """How likely so uneven a split of lost and gained is by chance."""
    agreement: float
    """Share of faces that both answer alike."""
    kl_divergence: float
    """Mean over the faces, in nats."""
    per_class: dict[str, ClassChange]
    float32: Figures
    quantised: Figures


@dataclass(frozen=True)
class Answer:
    """What a model says of a face."""

    label: str
    score: float


@dataclass(frozen=True)
class Disagreement:
    """A face on which both models disagree."""

    row: int
    """Of the faces that judged."""
    picture: str
    truth: str
    float32: Answer
    quantised: Answer
    kl_divergence: float
    """In nats."""


@dataclass(frozen=True)
class GateResult:
    """Whether a model passed."""

    rule: str
    max_drop: float
    passed: bool
    failures: tuple[str, ...]
    """Why it did not."""
    findings: tuple[str, ...]
    """What else to know before trusting it."""


@dataclass(frozen=True)
class LadderRow:
    """One attempt, in short."""

    tried: str
    recipe: str
    bytes: int
    accuracy: float
    drop: float
    drop_interval: tuple[float, float]
    agreement: float
    passed: bool
    failures: tuple[str, ...]


@dataclass(frozen=True)
class LayerError:
    """One operator of a network that makes an error of its own."""

    name: str
    """The Keras layer; several operators may belong to one."""
    operator: str
    """What is computed, in TFLite's words, such as CONV_2D."""
    harm: float
    """RMS change of the answer by this operator's own error alone, over the answer's RMS spread from face to face."""
    sqnr_db: float
    """Signal to noise by itself: 10 log10(sum of squared float values / sum of squared own errors)."""
    total_sqnr_db: float
    """The same with what it inherits: all layers to here in int8 against all layers to here in float."""
    lowest: float
    highest: float
    """Range of the float network's values."""
    step: float
    """Distance between two neighbouring int8 values; 0 where values stay float."""
    clipped: float
    """Share of the float values, 0 to 1, that int8 cannot express here."""
    channel_range: float
    """Range of the median channel among those that change at all."""
    channel_outlier: float
    """Range of the widest channel over that of the median channel."""
    weight_outlier: float | None
    """The same of the channels of its weights; None for an operator without quantised weights."""


@dataclass(frozen=True)
class WrittenFile:
    """A model file."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportReport:
    """Everything that an export tells."""

    run: str
    weights: str
    """File of the network."""
    network: NetworkFacts
    recipe: str
    """Of the model that was delivered beside float32."""
    heldout: HeldOut
    calibration: CalibrationReport | None
    """None where the recipe needs no ranges."""
    temperature: float
    uncertain_below: float
    gate: GateResult
    comparison: Comparison
    disagreements: tuple[Disagreement, ...]
    """Those that differ most, the worst first."""
    ladder: tuple[LadderRow, ...]
    """What was tried, the delivered one last."""
    layers: tuple[LayerError, ...]
    worst_layer: str | None
    """One sentence; None where no layer was measured."""
    advice: tuple[str, ...]
    """What to do about the layers that int8 hurts."""
    made_with: dict[str, str]
    """Versions by package."""
    files: dict[str, WrittenFile]
    """By recipe."""


Record = ExportReport | CalibrationReport | Comparison | GateResult | HeldOut


def as_json(record: Record, recipe: str) -> dict[str, Any]:
    """Lay a record out for JSON; what it says of the quantised model stands under the name of its `recipe`."""
    return asdict(record, dict_factory=lambda pairs: {recipe if key == "quantised" else key: one for key, one in pairs})
