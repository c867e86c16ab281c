from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge_export.quantize.calibrate import choose_two
from fer_edge_export.quantize.calibration_choice import Calibration, choose_calibration, pick
from fer_edge_export.quantize.candidates import ExportedNetwork
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_export.settings import ExportSettings

USUAL = Calibration(500, "minmax")
OTHER = Calibration(100, "percentile")


def test_a_candidate_that_is_surely_better_is_taken() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.01, 0.02, 200)

    assert pick({USUAL: base, OTHER: base - 0.005}, USUAL) == OTHER
    assert pick({USUAL: base, OTHER: base + 0.005}, USUAL) == USUAL


def test_a_candidate_that_is_better_by_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.01, 0.02, 200)
    noisy = base + rng.normal(0, 0.01, 200)
    noisy -= noisy.mean() - base.mean() + 0.0005  # a mean that is lower by 0.7 standard errors

    assert pick({USUAL: base, OTHER: noisy}, USUAL) == USUAL


def test_of_two_better_candidates_the_best_is_taken() -> None:
    base = np.linspace(0.01, 0.02, 200)
    best = Calibration(1000, "minmax")

    assert pick({USUAL: base, OTHER: 0.9 * base, best: 0.5 * base}, USUAL) == best
    assert pick({USUAL: base}, USUAL) == USUAL


def make_subject(network: Any, faces: FaceSet) -> ExportedNetwork:
    return ExportedNetwork(
        network=network,
        float32=convert(network, RECIPES["float32"]),
        training=faces.part("training"),
        validation=faces.part("validation"),
        judged=faces.part("testing"),
        temperature=1.0,
    )


@pytest.fixture(scope="module")
def subject(network: Any, many_stripes: FaceSet) -> ExportedNetwork:
    return make_subject(network, many_stripes)


def test_sizes_and_rules_are_tried_on_validation_faces(subject: ExportedNetwork) -> None:
    chosen = choose_calibration(subject, ExportSettings())

    assert chosen.choice
    assert (chosen.choice.split, chosen.choice.n) == ("validation", 240)
    assert [(row.faces, row.rule) for row in chosen.choice.tried] == [(100, "minmax"), (100, "percentile")]
    assert all(row.kl_divergence > 0 for row in chosen.choice.tried)


def test_where_validation_faces_judge_unused_training_faces_choose(subject: ExportedNetwork) -> None:
    alone = replace(subject, validation=subject.validation.part("nothing"))

    chosen = choose_calibration(alone, ExportSettings())

    assert chosen.choice
    assert (chosen.choice.split, chosen.choice.n) == ("training", 100)


def test_what_is_asked_for_is_not_tried_otherwise(subject: ExportedNetwork) -> None:
    asked = ExportSettings(calib_samples=60, calib_rule="minmax")
    rules = ExportSettings(calib_samples=60)

    assert choose_calibration(subject, asked) == Calibration(60, "minmax")
    tried = choose_calibration(subject, rules).choice
    assert tried
    assert [row.faces for row in tried.tried] == [60, 60]


def test_by_few_faces_nothing_is_chosen(network: Any, stripes: FaceSet) -> None:
    assert choose_calibration(make_subject(network, stripes), ExportSettings()) == Calibration(30, "minmax")


def test_one_spot_in_one_calibration_face_makes_percentile_win(subject: ExportedNetwork) -> None:
    """A white dot stretches the range of all values far beyond what all other faces need."""
    faces = subject.training
    [spoilt] = np.flatnonzero(faces.names == choose_two(faces, 100, seed=0)[0].names[0])
    pixels = faces.faces.copy()
    pixels[spoilt] = 0
    pixels[spoilt, 8, 8] = 255

    chosen = choose_calibration(replace(subject, training=replace(faces, faces=pixels)), ExportSettings())

    assert chosen.choice
    divergence = {row.rule: row.kl_divergence for row in chosen.choice.tried}
    assert divergence["percentile"] < divergence["minmax"]
    assert chosen.rule == "percentile"
