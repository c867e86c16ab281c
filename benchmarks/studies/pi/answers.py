"""Comparison of two outputs of `fer-edge run --json` on the same pictures, up to the rounding of kernels.

Faces are matched one by one. On photos the network inputs may differ: OpenCV's area averaging on Arm differs from that
on x86 by one grey level in one pixel of ten thousand, which may move the detector's output by one quantisation step, or
4 % of a box, and a different crop may change the expression. Expressions are therefore compared on faces that were
cropped beforehand.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from rich.table import Table

from fer_edge.detection.detector import BUNDLED_DETECTORS, YuNet
from fer_edge.imaging.crop import Box, overlap
from fer_edge.recognition.classifier import Classifier

ROUNDING = 0.5e-4
"""Rounding error: `run --json` prints scores and probabilities with four digits."""
MIN_IOU = 0.8
"""Intersection over union of two boxes of the same face; 0.88 was measured."""
MAX_SCORE_STEPS = 8.0
"""Quantisation steps by which detection scores may differ; 5 were measured on 504 faces of 200 photos. A face whose
score is within this distance of the threshold may be missing in one run; two were."""
MIN_SAME_BOXES = 0.5
"""Share of faces with equal boxes; less cannot be explained by rounding; 0.88 was measured."""
Faces = dict[str, list[dict[str, Any]]]
"""Faces of each picture, as printed by `run --json`."""
COMPARISONS = (("litert", "usual", True), ("tflite", "reference", True), ("tflite", "usual", False))
"""Runtime on arm64, kernels on x86, and whether their results have to be equal. LiteRT's fast kernels give equal
results on both. tflite-runtime's wheel for Arm rounds as the reference kernels do, unlike all fast kernels: on x86 the
two differ by up to eight steps in the bundled detector's outputs."""


@dataclass(frozen=True)
class StepSizes:
    """Quantisation step sizes of the bundled models."""

    logit: float
    """Of the expression model's logits."""
    temperature: float
    """Softmax temperature of the expression model."""
    score_log_odds: float
    """Of the log odds of the detector's scores."""
    threshold: float
    """Score threshold of the detector."""


@dataclass
class Comparison:
    """Differences between two runs."""

    faces: int = 0
    """Number of faces in the first run."""
    same_box: int = 0
    """Faces with the same box in whole pixels in the second run."""
    steps: float = 0.0
    """Largest difference between the expressions of a face, in quantisation steps."""
    least_overlap: float = 1.0
    score_steps: float = 0.0
    other_labels: int = 0
    """Faces with another label in the second run."""
    alone: list[str] = field(default_factory=list)
    """Faces that only one run has, with scores not near the threshold."""
    near_threshold: int = 0
    """Number of faces that only one run has, with scores near the threshold."""
    faults: list[str] = field(default_factory=list)
    """Differences that rounding cannot explain."""


def bundled_step_sizes() -> StepSizes:
    """Return the step sizes of the bundled models."""
    classifier, detector = Classifier(), YuNet(BUNDLED_DETECTORS["int8"])
    contract = detector.model.contract
    steps = detector.engine(contract.width, contract.height).steps
    # A score is the geometric mean of two sigmoids: if both logits move by a step, its log odds move by one at most.
    score_log_odds = max(step * max(scale[:2]) for step, scale in zip(steps, contract.scale, strict=True))
    return StepSizes(classifier.network.step, classifier.contract.temperature, score_log_odds, detector.threshold)


def parse_results(lines: str) -> Faces:
    """Parse the output of `run --json` on a folder."""
    documents = [json.loads(line) for line in lines.splitlines()]
    return {document["source"]: document["faces"] for document in documents}


def log_odds_difference(first: float, second: float) -> float:
    """Return the least difference of the log odds of two probabilities that were rounded to four digits.

    >>> log_odds_difference(0.5, 0.5001), round(log_odds_difference(0.5, 0.75), 2)
    (0.0, 1.1)
    """
    low, high = min(first, second) + ROUNDING, max(first, second) - ROUNDING
    return math.log(high / (1 - high)) - math.log(low / (1 - low)) if low < high else 0.0


def step_difference(first: dict[str, float], second: dict[str, float], sizes: StepSizes) -> float:
    """Return the least number of quantisation steps by which the logits of `first` and `second` differ.

    If every logit moves by one step, up or down, the log odds of a softmax at temperature T move by at most 2 / T.
    """
    return (
        max(log_odds_difference(first[label], second[label]) for label in first) * sizes.temperature / (2 * sizes.logit)
    )


def compare(first: Faces, second: Faces, sizes: StepSizes, *, cropped: bool = False) -> Comparison:
    """Compare two runs, picture by picture and face by face.

    Args:
        first: Faces of one run.
        second: Faces of the other run.
        sizes: Step sizes of the models.
        cropped: Each picture is a face crop, so that expressions have to be equal.
    """
    comparison = Comparison()
    for picture in sorted(first.keys() | second.keys()):
        unmatched = list(second.get(picture, []))
        for face in first.get(picture, []):
            comparison.faces += 1
            box = Box(*face["box"])
            match = max(unmatched, key=lambda other: overlap(box, Box(*other["box"])), default=None)
            if match is None or overlap(box, Box(*match["box"])) < MIN_IOU:
                _count_unmatched(comparison, picture, face, sizes)
                continue
            unmatched.remove(match)
            _count_pair(comparison, face, match, sizes)
        for face in unmatched:
            _count_unmatched(comparison, picture, face, sizes)
    comparison.faults = _faults(comparison, cropped=cropped)
    return comparison


def _faults(comparison: Comparison, *, cropped: bool) -> list[str]:
    limits = {
        "no faces to compare": not comparison.faces,
        f"in one run only: {', '.join(comparison.alone)}": bool(comparison.alone),
        f"expressions are {comparison.steps:.1f} steps apart": cropped and comparison.steps > 1,
        f"scores of faces are {comparison.score_steps:.1f} steps apart": comparison.score_steps > MAX_SCORE_STEPS,
        f"only {comparison.same_box} of {comparison.faces} boxes are the same": comparison.same_box
        < MIN_SAME_BOXES * comparison.faces,
    }
    return [fault for fault, there in limits.items() if there]


def _count_pair(comparison: Comparison, face: dict[str, Any], match: dict[str, Any], sizes: StepSizes) -> None:
    score_steps = log_odds_difference(face["detection_score"], match["detection_score"]) / sizes.score_log_odds
    comparison.score_steps = max(comparison.score_steps, score_steps)
    comparison.least_overlap = min(comparison.least_overlap, overlap(Box(*face["box"]), Box(*match["box"])))
    comparison.other_labels += face["label"] != match["label"]
    comparison.same_box += face["box"] == match["box"]
    comparison.steps = max(comparison.steps, step_difference(face["probs"], match["probs"], sizes))


def _count_unmatched(comparison: Comparison, picture: str, face: dict[str, Any], sizes: StepSizes) -> None:
    if log_odds_difference(face["detection_score"], sizes.threshold) <= MAX_SCORE_STEPS * sizes.score_log_odds:
        comparison.near_threshold += 1
    else:
        comparison.alone.append(f"{picture} {face['box']}")


def compare_all(results: dict[tuple[str, str], Faces]) -> list[dict[str, Any]]:
    """Run all `COMPARISONS`; results are indexed by runtime or kernels, and by input."""
    sizes = bundled_step_sizes()
    return [
        {
            "arm64": runtime,
            "x86": kernels,
            "on": on,
            "judged": required,
            **asdict(compare(results[kernels, on], results[runtime, on], sizes, cropped=on == "faces")),
        }
        for (runtime, kernels, required), on in product(COMPARISONS, ("photos", "faces"))
    ]


def as_table(comparisons: list[dict[str, Any]]) -> Table:
    """Return a table with one row per comparison."""
    table = Table("arm64, x86", "required equal", "on", "faces", "one only", "same box", "other label", "steps")
    for one in comparisons:
        one_only = len(one["alone"]) + one["near_threshold"]
        cells = one["faces"], one_only, one["same_box"], one["other_labels"], f"{one['steps']:.1f}"
        required = "yes" if one["judged"] else "no"
        table.add_row(f"{one['arm64']}, {one['x86']}", required, one["on"], *map(str, cells))
    return table
