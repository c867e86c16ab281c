"""Convert by the requested recipe, or try recipes until one passes the gate; all are evaluated on the same faces."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fer_edge.console import console, warn
from fer_edge.data.faceset import FaceSet
from fer_edge_export.accuracy.compare import Logits, compare, disagreements
from fer_edge_export.accuracy.gate import evaluate_gate
from fer_edge_export.quantize.calibrate import LEAST, SAMPLES, RangeRule, calibration_subsets, calibration_warnings
from fer_edge_export.quantize.calibration_choice import Calibration, choose_calibration
from fer_edge_export.quantize.candidates import ExportedNetwork, predict
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
class RecipeResult:
    """One attempt: a model, its calibration and its evaluation."""

    attempt: Attempt
    flatbuffer: bytes
    calibration: CalibrationReport | None
    """None if the recipe needs none."""
    network: Any
    """The float keras.Model it was converted from, if not the exported one."""
    comparison: Comparison
    disagreements: tuple[Disagreement, ...]
    gate: GateResult

    def as_row(self) -> LadderRow:
        """Summary for the report."""
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


def evaluate_recipes(exported: ExportedNetwork, settings: ExportSettings) -> list[RecipeResult]:
    """Convert by the recipe in `settings`, or try recipes until one passes the gate; the last one is exported."""
    float_logits = predict(exported.float32, exported.heldout.faces, "evaluating float32")
    results: list[RecipeResult] = []
    for attempt, (flatbuffer, logits, network), calibration in _attempts(exported, settings, float_logits):
        heldout = exported.heldout
        comparison = compare(float_logits, logits, heldout.labels, heldout.classes, exported.temperature)
        gate = evaluate_gate(comparison, attempt.recipe, settings.gate, settings.max_drop)
        differ = disagreements(float_logits, logits, heldout, exported.temperature)
        results.append(RecipeResult(attempt, flatbuffer, calibration, network, comparison, differ, gate))
        if gate.passed and settings.recipe is None:
            break
    return results


class CandidateModel(NamedTuple):
    """A model and its logits on the evaluation faces."""

    flatbuffer: bytes
    logits: Logits
    network: Any = None
    """As in `RecipeResult`."""


def _attempts(
    exported: ExportedNetwork, settings: ExportSettings, float_logits: Logits
) -> Iterator[tuple[Attempt, CandidateModel, CalibrationReport | None]]:
    """Convert one model after the other, lazily, each with its calibration report.

    For int8, a second model is calibrated with other faces: the difference in its predictions shows the influence of
    the calibration faces. With --auto it is the second attempt.
    """
    second_model: tuple[CandidateModel, FaceSet, Calibration] | None = None
    attempts = LADDER if settings.recipe is None else (Attempt(settings.recipe),)
    for number, attempt in enumerate(attempts, start=1):
        if len(attempts) > 1:
            console.print(f"attempt {number} of up to {len(attempts)}: {attempt}")
        recipe = RECIPES[attempt.recipe]
        if attempt.other_faces:
            if second_model:
                yield attempt, second_model[0], _calibration_report(exported, *second_model[1:], settings.seed)
        elif recipe.name == "float32":
            yield attempt, CandidateModel(exported.float32, float_logits), None
        elif not recipe.calibrated:
            yield attempt, _make(exported, recipe), None
        else:
            calibration = Calibration(settings.calib_samples or SAMPLES, "minmax")
            if recipe.name == "int8":  # int16 has enough precision, and its kernels are too slow to try several
                calibration = choose_calibration(exported, settings)
            first, second = calibration_subsets(exported.training, calibration.samples, settings.seed)
            model = _make(exported, recipe, first, calibration.rule)
            report = _calibration_report(exported, first, calibration, settings.seed)
            if recipe.name == "int8" and len(second) >= LEAST:
                second_model = _make(exported, recipe, second, calibration.rule), second, calibration
                stability = _stability(exported.heldout, model.logits, second_model[0].logits, len(second))
                report = replace(report, other_faces=stability)
            yield attempt, model, report
            if settings.qat_epochs:
                model, learning = _fine_tune(exported, first, calibration.rule, settings)
                yield Attempt("int8", learned=True), model, replace(report, other_faces=None, learning=learning)


def _make(
    exported: ExportedNetwork, recipe: Recipe, faces: FaceSet | None = None, rule: RangeRule = "minmax"
) -> CandidateModel:
    calibration = f"; {len(faces)} faces, {rule}" if faces else ""
    console.print(f"converting to {recipe.name}: {recipe}{calibration}")
    flatbuffer, network = exported.make(recipe, faces, rule), None
    if rule == "percentile":
        from fer_edge_export.networks.folding import folded

        network = folded(exported.network)
    return CandidateModel(flatbuffer, predict(flatbuffer, exported.heldout.faces, f"evaluating {recipe.name}"), network)


def _fine_tune(
    exported: ExportedNetwork, calibration: FaceSet, rule: RangeRule, settings: ExportSettings
) -> tuple[CandidateModel, Learning]:
    console.print(f"fine-tuning for int8: {settings.qat_epochs} epochs")
    flatbuffer, network, learning = exported.fine_tune(calibration, rule, settings.qat_epochs, settings.seed)
    logits = predict(flatbuffer, exported.heldout.faces, "evaluating int8, learned ranges")
    return CandidateModel(flatbuffer, logits, network), learning


def _calibration_report(
    exported: ExportedNetwork, faces: FaceSet, calibration: Calibration, seed: int
) -> CalibrationReport:
    warnings = calibration_warnings(faces, exported.heldout)
    for line in warnings:
        warn(line)
    return CalibrationReport(
        len(faces), seed, calibration.rule, faces.counts(), tuple(warnings), faces.source, calibration.choice
    )


def _stability(heldout: FaceSet, logits: Logits, other_logits: Logits, n: int) -> OtherFaces:
    """Compare a model calibrated with `n` other faces with the first one."""
    first, other = logits.argmax(axis=1), other_logits.argmax(axis=1)
    accuracy, same = float((other == heldout.labels).mean()), float((first == other).mean())
    return OtherFaces(n, round(accuracy, 6), round(same, 6))
