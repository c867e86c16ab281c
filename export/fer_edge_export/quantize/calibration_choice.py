"""Choose how many faces, and by which rule, set the ranges of int8: by faces that judge nothing afterwards."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet, drawing_order
from fer_edge.data.metrics import softmax
from fer_edge.errors import ModelError
from fer_edge_export.accuracy.compare import divergences
from fer_edge_export.quantize.calibrate import SAMPLES, RangeRule, choose_two
from fer_edge_export.quantize.candidates import ExportedNetwork, answers
from fer_edge_export.recipes import RECIPES
from fer_edge_export.results import Candidate, Choice
from fer_edge_export.settings import ExportSettings

SIZES = (100, SAMPLES, 1000)
RULES: tuple[RangeRule, ...] = ("minmax", "percentile")
MOST = 1000
"""Faces to choose by; more would take longer and change no choice that matters."""
FEWEST = 100
"""With fewer faces to choose by nothing is chosen."""
SURE = 2.0
"""Standard errors by which a candidate must be better than what is usual: small differences are chance."""


class Calibration(NamedTuple):
    """How int8's ranges are to be set."""

    samples: int
    """Training faces."""
    rule: RangeRule
    choice: Choice | None = None
    """None where nothing was chosen."""


def choose_calibration(exported: ExportedNetwork, settings: ExportSettings) -> Calibration:
    """Try sizes and rules, and keep 500 faces and min-max unless another is surely better.

    A candidate is judged by how far the int8 model's probabilities are from the float32 model's (mean Kullback-Leibler
    divergence), which needs no labels, on validation faces; where those judge the export, on training faces that no
    candidate was calibrated with. It is surely better if its mean over the faces is lower by `SURE` standard errors of
    the paired difference.

    Args:
        exported: What is exported.
        settings: May fix the size or the rule; what is fixed is not tried otherwise.

    Raises:
        ModelError: A percentile is asked for and the network cannot take ranges from outside.
    """
    sizes, rules = _candidates(exported, settings)
    usual = Calibration(min(sizes, key=lambda size: abs(size - SAMPLES)), rules[0])
    split, watched = _watched(exported, max(sizes), settings.seed)
    if len(sizes) * len(rules) == 1 or len(watched) < FEWEST:
        return usual
    told = ", ".join(map(str, sizes))
    console.print(f"choosing the calibration: {told} faces, {' and '.join(rules)}, by {len(watched)} {split} faces")
    before = softmax(answers(exported.float32, watched.faces, "float32"), exported.temperature)
    found = {}
    for rule in rules:
        for size in sizes:
            faces = choose_two(exported.training, size, settings.seed)[0]
            try:
                model = exported.make(RECIPES["int8"], faces, rule)
            except ModelError as error:
                if rule == "minmax" or settings.calib_rule:
                    raise
                console.print(f"percentile is not tried: {error}")
                break
            after = softmax(answers(model, watched.faces, f"{rule}, {size} faces"), exported.temperature)
            found[Calibration(size, rule)] = divergences(before, after)
    best = pick(found, usual)
    tried = (Candidate(each.samples, each.rule, round(float(values.mean()), 6)) for each, values in found.items())
    return best._replace(choice=Choice(split, len(watched), tuple(tried)))


def pick(found: dict[Calibration, npt.NDArray[np.float64]], usual: Calibration) -> Calibration:
    """The candidate with the least mean divergence among those that are surely better than `usual`, else `usual`.

    Args:
        found: (n,) divergences of each candidate on the same faces.
        usual: One of them.
    """
    base = found[usual]

    def surely_better(values: npt.NDArray[np.float64]) -> bool:
        gain = base - values
        return bool(gain.mean() > SURE * gain.std(ddof=1) / np.sqrt(len(gain)))

    better = {each: values.mean() for each, values in found.items() if surely_better(values)}
    return min(better, key=better.__getitem__, default=usual)


def _candidates(exported: ExportedNetwork, settings: ExportSettings) -> tuple[list[int], tuple[RangeRule, ...]]:
    there = int((exported.training.split == "training").sum())
    if settings.calib_samples:
        sizes = [settings.calib_samples]
    else:
        sizes = [size for size in SIZES if 2 * size <= there] or [min(SAMPLES, there)]
    return sizes, (settings.calib_rule,) if settings.calib_rule else RULES


def _watched(exported: ExportedNetwork, samples: int, seed: int) -> tuple[str, FaceSet]:
    """Faces to choose by, and the split they are of: none of them calibrates a candidate, none judges."""
    if len(exported.validation):
        return "validation", _some(exported.validation, seed)
    # all candidates are drawn from the same half of the training faces
    return "training", _some(choose_two(exported.training, samples, seed)[1], seed)


def _some(faces: FaceSet, seed: int) -> FaceSet:
    return faces.take(np.sort(drawing_order(faces.names.tolist(), seed)[:MOST]))
