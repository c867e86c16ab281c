"""Select the number of calibration faces and the range rule for int8, on faces not used for evaluation."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet, drawing_order
from fer_edge.data.metrics import softmax
from fer_edge.errors import ModelError
from fer_edge_export.accuracy.compare import divergences
from fer_edge_export.quantize.calibrate import SAMPLES, RangeRule, calibration_subsets
from fer_edge_export.quantize.candidates import ExportedNetwork, predict
from fer_edge_export.recipes import RECIPES
from fer_edge_export.results import Candidate, Choice
from fer_edge_export.settings import ExportSettings

SIZES = (100, SAMPLES, 1000)
RULES: tuple[RangeRule, ...] = ("minmax", "percentile")
MOST = 1000
"""Maximum number of faces for the selection; more hardly change it."""
FEWEST = 100
"""Minimum number of faces for a selection."""
SURE = 2.0
"""Standard errors by which a candidate must beat the default: smaller differences are chance."""


class Calibration(NamedTuple):
    """Calibration of int8 ranges."""

    samples: int
    """Number of training faces."""
    rule: RangeRule
    choice: Choice | None = None
    """None if nothing was selected."""


def choose_calibration(exported: ExportedNetwork, settings: ExportSettings) -> Calibration:
    """Try sizes and rules, and keep 500 faces and min-max unless another is significantly better.

    The criterion is the mean Kullback-Leibler divergence of the int8 model's probabilities from the float32 model's,
    which needs no labels, on validation faces; if those evaluate the export, on training faces that calibrate no
    candidate. A candidate is significantly better if its mean is lower by `SURE` standard errors of the paired
    difference.

    Args:
        exported: The network to export.
        settings: May fix the size or the rule.

    Raises:
        ModelError: A percentile is requested and the network does not support custom ranges.
    """
    sizes, rules = _candidates(exported, settings)
    default = Calibration(min(sizes, key=lambda size: abs(size - SAMPLES)), rules[0])
    split, selection = _selection_faces(exported, max(sizes), settings.seed)
    if len(sizes) * len(rules) == 1 or len(selection) < FEWEST:
        return default
    counts = ", ".join(map(str, sizes))
    console.print(f"selecting calibration: {counts} faces, {' and '.join(rules)}, on {len(selection)} {split} faces")
    before = softmax(predict(exported.float32, selection.faces, "float32"), exported.temperature)
    found = {}
    for rule in rules:
        for size in sizes:
            faces = calibration_subsets(exported.training, size, settings.seed)[0]
            try:
                model = exported.make(RECIPES["int8"], faces, rule)
            except ModelError as error:
                if rule == "minmax" or settings.calib_rule:
                    raise
                console.print(f"skipping percentile: {error}")
                break
            after = softmax(predict(model, selection.faces, f"{rule}, {size} faces"), exported.temperature)
            found[Calibration(size, rule)] = divergences(before, after)
    best = best_calibration(found, default)
    tried = (Candidate(each.samples, each.rule, round(float(values.mean()), 6)) for each, values in found.items())
    return best._replace(choice=Choice(split, len(selection), tuple(tried)))


def best_calibration(found: dict[Calibration, npt.NDArray[np.float64]], default: Calibration) -> Calibration:
    """The candidate with the lowest mean divergence among those significantly better than `default`, else `default`.

    Args:
        found: (n,) divergences of each candidate on the same faces.
        default: One of them.
    """
    base = found[default]

    def significantly_better(values: npt.NDArray[np.float64]) -> bool:
        gain = base - values
        return bool(gain.mean() > SURE * gain.std(ddof=1) / np.sqrt(len(gain)))

    better = {each: values.mean() for each, values in found.items() if significantly_better(values)}
    return min(better, key=better.__getitem__, default=default)


def _candidates(exported: ExportedNetwork, settings: ExportSettings) -> tuple[list[int], tuple[RangeRule, ...]]:
    available = int((exported.training.split == "training").sum())
    if settings.calib_samples:
        sizes = [settings.calib_samples]
    else:
        sizes = [size for size in SIZES if 2 * size <= available] or [min(SAMPLES, available)]
    return sizes, (settings.calib_rule,) if settings.calib_rule else RULES


def _selection_faces(exported: ExportedNetwork, samples: int, seed: int) -> tuple[str, FaceSet]:
    """Faces for the selection, and their split: not used for calibration or evaluation."""
    if len(exported.validation):
        return "validation", _limited(exported.validation, seed)
    # all candidates are drawn from the same half of the training faces
    return "training", _limited(calibration_subsets(exported.training, samples, seed)[1], seed)


def _limited(faces: FaceSet, seed: int) -> FaceSet:
    return faces.take(np.sort(drawing_order(faces.names.tolist(), seed)[:MOST]))
