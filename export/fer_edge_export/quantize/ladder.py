"""Make what is asked for, or walk down the ladder until the gate holds; every attempt is judged on the same faces."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet
from fer_edge_export.accuracy.compare import Logits, compare, disagreements
from fer_edge_export.accuracy.gate import judge
from fer_edge_export.quantize.calibrate import LEAST, SAMPLES, RangeRule, choose_two, doubts
from fer_edge_export.quantize.calibration_choice import Calibration, choose_calibration
from fer_edge_export.quantize.candidates import ExportedNetwork, answers
from fer_edge_export.recipes import LADDER, RECIPES, Attempt, Recipe
from fer_edge_export.results import (
    CalibrationReport,
    Comparison,
    Disagreement,
    GateResult,
    LadderRow,
    Learning,
    OtherFaces,
)
from fer_edge_export.settings import ExportSettings


@dataclass(frozen=True)
class TriedRecipe:
    """One attempt: a model, what it was calibrated with, and how it was judged."""

    attempt: Attempt
    flatbuffer: bytes
    calibration: CalibrationReport | None
    """None where the recipe needs none."""
    network: Any
    """The float keras.Model that it was made of, if that is another than the exported's."""
    comparison: Comparison
    disagreements: tuple[Disagreement, ...]
    gate: GateResult

    def as_row(self) -> LadderRow:
        """Sum it up for the report."""
        return LadderRow(
            tried=str(self.attempt),
            recipe=self.attempt.recipe,
            bytes=len(self.flatbuffer),
            accuracy=self.comparison.quantised.accuracy,
            drop=self.comparison.drop,
            drop_interval=self.comparison.drop_interval,
            agreement=self.comparison.agreement,
            passed=self.gate.passed,
            failures=self.gate.failures,
        )


def try_recipes(exported: ExportedNetwork, settings: ExportSettings) -> list[TriedRecipe]:
    """Make what `settings` ask for, or walk down the ladder until the gate holds; the last rung is delivered."""
    float_logits = answers(exported.float32, exported.judged.faces, "judging float32")
    rungs: list[TriedRecipe] = []
    for attempt, (flatbuffer, logits, network), calibration in _attempts(exported, settings, float_logits):
        judged = exported.judged
        comparison = compare(float_logits, logits, judged.labels, judged.classes, exported.temperature)
        gate = judge(comparison, attempt.recipe, settings.gate, settings.max_drop)
        differ = disagreements(float_logits, logits, judged, exported.temperature)
        rungs.append(TriedRecipe(attempt, flatbuffer, calibration, network, comparison, differ, gate))
        if gate.passed and settings.recipe is None:
            break
    return rungs


class Made(NamedTuple):
    """A model and its answers to the faces that judge."""

    flatbuffer: bytes
    logits: Logits
    network: Any = None
    """As in `TriedRecipe`."""


def _attempts(
    exported: ExportedNetwork, settings: ExportSettings, float_logits: Logits
) -> Iterator[tuple[Attempt, Made, CalibrationReport | None]]:
    """Make one model after the other, as they are asked for, each with the facts of its calibration.

    With int8, a model is made from other faces, too, of which the first one's calibration has none: how differently it
    answers says how much hangs on the choice of faces. On the ladder it is the second rung.
    """
    other: tuple[Made, FaceSet, Calibration] | None = None
    for attempt in LADDER if settings.recipe is None else (Attempt(settings.recipe),):
        recipe = RECIPES[attempt.recipe]
        if attempt.other_faces:
            if other:
                yield attempt, other[0], _facts(exported, *other[1:], settings.seed)
        elif recipe.name == "float32":
            yield attempt, Made(exported.float32, float_logits), None
        elif not recipe.calibrated:
            yield attempt, _make(exported, recipe), None
        else:
            how = Calibration(settings.calib_samples or SAMPLES, "minmax")
            if recipe.name == "int8":  # 16 bits have steps to spare, and their kernels are too slow to try things
                how = choose_calibration(exported, settings)
            first, second = choose_two(exported.training, how.samples, settings.seed)
            made, facts = _make(exported, recipe, first, how.rule), _facts(exported, first, how, settings.seed)
            if recipe.name == "int8" and len(second) >= LEAST:
                other = _make(exported, recipe, second, how.rule), second, how
                stability = _stability(exported.judged, made.logits, other[0].logits, len(second))
                facts = replace(facts, other_faces=stability)
            yield attempt, made, facts
            if settings.qat_epochs:
                made, learning = _learn(exported, first, how.rule, settings)
                yield Attempt("int8", learned=True), made, replace(facts, other_faces=None, learning=learning)


def _make(exported: ExportedNetwork, recipe: Recipe, faces: FaceSet | None = None, rule: RangeRule = "minmax") -> Made:
    told = f"; {len(faces)} faces, {rule}" if faces else ""
    console.print(f"making {recipe.name}: {recipe}{told}")
    flatbuffer, network = exported.make(recipe, faces, rule), None
    if rule == "percentile":
        from fer_edge_export.networks.folding import folded

        network = folded(exported.network)
    return Made(flatbuffer, answers(flatbuffer, exported.judged.faces, f"judging {recipe.name}"), network)


def _learn(
    exported: ExportedNetwork, calibration: FaceSet, rule: RangeRule, settings: ExportSettings
) -> tuple[Made, Learning]:
    console.print(f"fine-tuning for int8: {settings.qat_epochs} epochs")
    flatbuffer, network, learning = exported.fine_tune(calibration, rule, settings.qat_epochs, settings.seed)
    logits = answers(flatbuffer, exported.judged.faces, "judging int8, learned ranges")
    return Made(flatbuffer, logits, network), learning


def _facts(exported: ExportedNetwork, faces: FaceSet, how: Calibration, seed: int) -> CalibrationReport:
    found = doubts(faces, exported.judged)
    for line in found:
        warn(line)
    return CalibrationReport(len(faces), seed, how.rule, faces.counts(), tuple(found), faces.source, how.choice)


def _stability(judged: FaceSet, logits: Logits, other: Logits, n: int) -> OtherFaces:
    """How a model calibrated with `n` other faces answers, beside the first one."""
    said, otherwise = logits.argmax(axis=1), other.argmax(axis=1)
    accuracy, same = float((otherwise == judged.labels).mean()), float((said == otherwise).mean())
    return OtherFaces(n, round(accuracy, 6), round(same, 6))
