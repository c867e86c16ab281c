"""Results of an export as dataclasses: `export_report.json` is an `ExportReport`, field by field."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkFacts:
    """Size of a network."""

    name: str
    parameters: int
    macs: int
    """Multiply-accumulates per face."""


@dataclass(frozen=True)
class HeldOut:
    """Evaluation faces."""

    split: str
    protocol: str


@dataclass(frozen=True)
class Baseline:
    """Always predicting the largest class of the evaluation faces."""

    label: str
    accuracy: float


@dataclass(frozen=True)
class Origin:
    """Where a report comes from."""

    date: str
    """ISO 8601, local time."""
    data: str
    """Data set of the evaluation faces."""
    command: str | None  # as typed; None from Python


@dataclass(frozen=True)
class Candidate:
    """One calibration tried."""

    faces: int
    rule: str
    kl_divergence: float
    """Mean over the faces, in nats, of int8's probabilities from float32's."""


@dataclass(frozen=True)
class Choice:
    """Selection of the calibration."""

    split: str
    """Split of the faces it was selected on."""
    n: int
    """Their number."""
    tried: tuple[Candidate, ...]


@dataclass(frozen=True)
class OtherFaces:
    """A model calibrated with other faces, compared with the first one."""

    faces: int
    accuracy: float
    same_answer: float
    """Share of faces with the same prediction."""


@dataclass(frozen=True)
class Learning:
    """Fine-tuning for int8."""

    epochs: int
    best_epoch: int
    """0: none was better than the original network."""
    learning_rate: float
    seed: int
    faces: int
    held_back: int
    """Training faces held out to select the epoch."""
    kl_divergence: tuple[float, ...]
    """Mean over those in nats, from float32, before the first epoch and after each."""


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration of a model."""

    faces: int
    seed: int
    rule: str
    per_class: dict[str, int]
    doubts: tuple[str, ...]
    """Warnings about the faces."""
    source: dict[str, Any]
    """Their data set (`FaceSet.source`)."""
    choice: Choice | None = None
    other_faces: OtherFaces | None = None
    learning: Learning | None = None


@dataclass(frozen=True)
class ClassRecall:
    """Recall of a class."""

    n: int
    recall: float | None
    """None for a class without faces."""


@dataclass(frozen=True)
class Figures:
    """Metrics of a model, of `fer_edge.data.metrics.summary`."""

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
    """Change of one class by quantisation; recalls are None for a class without faces."""

    n: int
    float32: float | None
    quantised: float | None
    change: float | None
    """Recall of the quantised model minus that of float32."""
    interval: tuple[float, float] | None
    """95 % interval of the change."""
    lost: int
    """Faces that only float32 predicts correctly."""
    gained: int
    """Faces that only the quantised model predicts correctly."""


@dataclass(frozen=True)
class Comparison:
    """Float32 and a quantised model on the same faces."""

    n: int
    drop: float
    """Accuracy of float32 minus accuracy of the quantised model."""
    drop_interval: tuple[float, float]
    """95 % interval."""
    lost: int
    gained: int
    mcnemar_p: float
    """p-value of McNemar's exact test on `lost` and `gained`."""
    agreement: float
    """Share of faces with the same prediction."""
    kl_divergence: float
    """Mean over the faces, in nats."""
    per_class: dict[str, ClassChange]
    float32: Figures
    quantised: Figures


@dataclass(frozen=True)
class Prediction:
    """Prediction for a face."""

    label: str
    score: float


@dataclass(frozen=True)
class Disagreement:
    """A face on which both models disagree."""

    row: int
    """Index in the evaluation faces."""
    picture: str
    truth: str
    float32: Prediction
    quantised: Prediction
    kl_divergence: float
    """In nats."""


@dataclass(frozen=True)
class GateResult:
    """Result of the accuracy gate."""

    rule: str
    max_drop: float
    passed: bool
    failures: tuple[str, ...]
    """Reasons of a failure."""
    findings: tuple[str, ...]
    """Other warnings."""


@dataclass(frozen=True)
class LadderRow:
    """Summary of one attempt."""

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
    """Quantisation error of one operator."""

    name: str
    """The Keras layer; several operators may belong to one."""
    operator: str
    """TFLite's name, such as CONV_2D."""
    harm: float
    """RMS change of the output by this operator's own error alone, over the RMS spread of the output over the faces."""
    sqnr_db: float
    """Its own signal-to-noise ratio: 10 log10(sum of squared float values / sum of squared own errors)."""
    total_sqnr_db: float
    """The same with the inherited error: all layers so far in int8, compared with float."""
    lowest: float
    highest: float
    """Range of the float network's values."""
    step: float
    """Quantisation step; 0 for float values."""
    clipped: float
    """Share of the float values, 0 to 1, outside the int8 range."""
    channel_range: float
    """Range of the median channel, without constant ones."""
    channel_outlier: float
    """Range of the widest channel over that of the median channel."""
    weight_outlier: float | None
    """The same for the channels of its weights; None without quantised weights."""


@dataclass(frozen=True)
class WrittenFile:
    """A model file."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportReport:
    """Report of an export."""

    run: str
    weights: str
    """File of the network."""
    network: NetworkFacts
    recipe: str
    """Recipe of the exported model, besides float32."""
    origin: Origin
    heldout: HeldOut
    baseline: Baseline
    calibration: CalibrationReport | None
    """None if the recipe needs none."""
    temperature: float
    uncertain_below: float
    gate: GateResult
    remedies: tuple[str, ...]
    """What to try, most promising first; empty if the gate passed."""
    comparison: Comparison
    disagreements: tuple[Disagreement, ...]
    """Changed predictions first, then by divergence."""
    ladder: tuple[LadderRow, ...]
    """All attempts, the exported one last."""
    layers: tuple[LayerError, ...]
    worst_layer: str | None
    """One sentence; None if no layer was measured."""
    advice: tuple[str, ...]
    """Advice on layers with large errors."""
    made_with: dict[str, str]
    """Versions by package."""
    files: dict[str, WrittenFile]
    """By recipe."""


Record = ExportReport | CalibrationReport | Comparison | GateResult | HeldOut


def as_json(record: Record, recipe: str) -> dict[str, Any]:
    """Convert to a JSON document; the key `quantised` becomes the name of the `recipe`."""
    return asdict(record, dict_factory=lambda pairs: {recipe if key == "quantised" else key: one for key, one in pairs})
