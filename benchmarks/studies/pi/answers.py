"""Are two outputs of `fer-edge run --json` on the same pictures the same answers, but for how kernels round?

Faces are matched one by one. On photos the networks need not see the same pixels: OpenCV's area averaging on Arm is one
grey level away from that on x86 in one pixel of ten thousand; the detector's answer may move by a step for it, which is
4 % of a box, and what is cut out by another box may express something else. So whether expressions are the same is
judged on faces that were cut out before.
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

ROUNDED = 0.5e-4
"""`run --json` gives scores and probabilities to four digits."""
LEAST_OVERLAP = 0.8
"""Intersection over union of two boxes of one face; 0.88 was seen."""
SCORE_STEPS = 8.0
"""Quantisation steps that a detector's score may be apart; 5 were seen among 504 faces of 200 photos. A face as near to
the threshold as that may be found by one run alone; two were."""
LEAST_SAME = 0.5
"""Share of faces with the same box, below which more than rounding is at work; 0.88 was seen."""
Faces = dict[str, list[dict[str, Any]]]
"""What `run --json` says of the faces of each picture."""
COMPARED = (("litert", "usual", True), ("tflite", "reference", True), ("tflite", "usual", False))
"""Runtime on arm64, kernels on x86, and whether their answers have to be the same. LiteRT's fast kernels give the same
ones on both. tflite-runtime's wheel for Arm rounds as the reference kernels do, and no fast ones do: eight steps lie
between them in the bundled detector's maps, on x86 alone."""


@dataclass(frozen=True)
class Scale:
    """How far apart the networks' neighbouring answers are; the models are those that come with fer-edge."""

    logit: float
    """Between two logits of the expression model."""
    temperature: float
    """That divides them."""
    heat: float
    """Between two log odds of the detector's scores."""
    threshold: float
    """Score from which on something is a face."""


@dataclass
class Comparison:
    """What came of two runs."""

    faces: int = 0
    """Of the first run."""
    same_box: int = 0
    """How many have the same box in the second, as far as whole pixels tell."""
    steps: float = 0.0
    """Most quantisation steps between the expressions of one face."""
    least_overlap: float = 1.0
    score_steps: float = 0.0
    other_labels: int = 0
    """Faces that go by another expression in the second run."""
    alone: list[str] = field(default_factory=list)
    """Faces that only one run has, though their scores are not near the threshold."""
    near_threshold: int = 0
    """Faces that only one run has, as their scores are."""
    faults: list[str] = field(default_factory=list)
    """What is more than rounding explains."""


def bundled_scale() -> Scale:
    """Read the steps of the models that come with fer-edge."""
    classifier, detector = Classifier(), YuNet(BUNDLED_DETECTORS["int8"])
    contract = detector.model.contract
    steps = detector.engine(contract.width, contract.height).steps
    # When both logits of a score move by a step, the log odds of the score, their shares' root, move by at most one.
    heat = max(step * max(scale[:2]) for step, scale in zip(steps, contract.scale, strict=True))
    return Scale(classifier.network.step, classifier.contract.temperature, heat, detector.threshold)


def read_answers(lines: str) -> Faces:
    """Read what `run --json` printed for a folder."""
    documents = [json.loads(line) for line in lines.splitlines()]
    return {document["source"]: document["faces"] for document in documents}


def odds_apart(first: float, second: float) -> float:
    """Log how far apart, at least, the log odds of two probabilities are that were rounded to four digits.

    >>> odds_apart(0.5, 0.5001), round(odds_apart(0.5, 0.75), 2)
    (0.0, 1.1)
    """
    low, high = min(first, second) + ROUNDED, max(first, second) - ROUNDED
    return math.log(high / (1 - high)) - math.log(low / (1 - low)) if low < high else 0.0


def steps_apart(first: dict[str, float], second: dict[str, float], scale: Scale) -> float:
    """Log by how many quantisation steps each logit has to move, at least, for `first` to become `second`.

    When every logit moves by one step, up or down, the log odds of a softmax at temperature T move by at most 2 / T.
    """
    return max(odds_apart(first[label], second[label]) for label in first) * scale.temperature / (2 * scale.logit)


def compared(first: Faces, second: Faces, scale: Scale, *, cut: bool = False) -> Comparison:
    """Compare two runs, picture by picture and face by face.

    Args:
        first: One run.
        second: The other.
        scale: Of the models.
        cut: Each picture was a face, so that expressions are judged.
    """
    found = Comparison()
    for picture in sorted(first.keys() | second.keys()):
        rest = list(second.get(picture, []))
        for face in first.get(picture, []):
            found.faces += 1
            box = Box(*face["box"])
            twin = max(rest, key=lambda other: overlap(box, Box(*other["box"])), default=None)
            if twin is None or overlap(box, Box(*twin["box"])) < LEAST_OVERLAP:
                _count_alone(found, picture, face, scale)
                continue
            rest.remove(twin)
            _count_pair(found, face, twin, scale)
        for face in rest:
            _count_alone(found, picture, face, scale)
    found.faults = _faults(found, cut=cut)
    return found


def _faults(found: Comparison, *, cut: bool) -> list[str]:
    limits = {
        "no faces to compare": not found.faces,
        f"found by one alone: {', '.join(found.alone)}": bool(found.alone),
        f"expressions are {found.steps:.1f} steps apart": cut and found.steps > 1,
        f"scores of faces are {found.score_steps:.1f} steps apart": found.score_steps > SCORE_STEPS,
        f"only {found.same_box} of {found.faces} boxes are the same": found.same_box < LEAST_SAME * found.faces,
    }
    return [fault for fault, there in limits.items() if there]


def _count_pair(found: Comparison, face: dict[str, Any], twin: dict[str, Any], scale: Scale) -> None:
    score_steps = odds_apart(face["detection_score"], twin["detection_score"]) / scale.heat
    found.score_steps = max(found.score_steps, score_steps)
    found.least_overlap = min(found.least_overlap, overlap(Box(*face["box"]), Box(*twin["box"])))
    found.other_labels += face["label"] != twin["label"]
    found.same_box += face["box"] == twin["box"]
    found.steps = max(found.steps, steps_apart(face["probs"], twin["probs"], scale))


def _count_alone(found: Comparison, picture: str, face: dict[str, Any], scale: Scale) -> None:
    if odds_apart(face["detection_score"], scale.threshold) <= SCORE_STEPS * scale.heat:
        found.near_threshold += 1
    else:
        found.alone.append(f"{picture} {face['box']}")


def compare_all(answers: dict[tuple[str, str], Faces]) -> list[dict[str, Any]]:
    """Compare what `COMPARED` names; answers are found by runtime or kernels, and by what they were given on."""
    scale = bundled_scale()
    return [
        {
            "arm64": runtime,
            "x86": kernels,
            "on": on,
            "judged": judged,
            **asdict(compared(answers[kernels, on], answers[runtime, on], scale, cut=on == "faces")),
        }
        for (runtime, kernels, judged), on in product(COMPARED, ("photos", "faces"))
    ]


def as_table(comparisons: list[dict[str, Any]]) -> Table:
    """Lay out for people."""
    table = Table("arm64, x86", "judged", "on", "faces", "one only", "same box", "other label", "steps")
    for one in comparisons:
        alone = len(one["alone"]) + one["near_threshold"]
        cells = one["faces"], alone, one["same_box"], one["other_labels"], f"{one['steps']:.1f}"
        judged = "yes" if one["judged"] else "no"
        table.add_row(f"{one['arm64']}, {one['x86']}", judged, one["on"], *map(str, cells))
    return table
