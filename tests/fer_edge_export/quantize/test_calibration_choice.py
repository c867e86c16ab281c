from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge_export.quantize.calibrate import calibration_subsets
from fer_edge_export.quantize.calibration_choice import Calibration, best_calibration, choose_calibration
from fer_edge_export.quantize.candidates import ExportedNetwork
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_export.settings import ExportSettings

DEFAULT = Calibration(500, "minmax")
OTHER = Calibration(100, "percentile")


def test_a_significantly_better_candidate_is_selected() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.01, 0.02, 200)

    assert best_calibration({DEFAULT: base, OTHER: base - 0.005}, DEFAULT) == OTHER
    assert best_calibration({DEFAULT: base, OTHER: base + 0.005}, DEFAULT) == DEFAULT


def test_a_candidate_that_is_better_by_chance_is_not_selected() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.01, 0.02, 200)
    noisy = base + rng.normal(0, 0.01, 200)
    noisy -= noisy.mean() - base.mean() + 0.0005  # a mean that is lower by 0.7 standard errors

    assert best_calibration({DEFAULT: base, OTHER: noisy}, DEFAULT) == DEFAULT


def test_of_two_better_candidates_the_best_is_selected() -> None:
    base = np.linspace(0.01, 0.02, 200)
    best = Calibration(1000, "minmax")

    assert best_calibration({DEFAULT: base, OTHER: 0.9 * base, best: 0.5 * base}, DEFAULT) == best
    assert best_calibration({DEFAULT: base}, DEFAULT) == DEFAULT


def make_subject(network: Any, faces: FaceSet) -> ExportedNetwork:
    return ExportedNetwork(
        network=network,
        float32=convert(network, RECIPES["float32"]),
        training=faces.part("training"),
        validation=faces.part("validation"),
        heldout=faces.part("testing"),
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


def test_without_validation_faces_unused_training_faces_select(subject: ExportedNetwork) -> None:
    alone = replace(subject, validation=subject.validation.part("nothing"))

    chosen = choose_calibration(alone, ExportSettings())

    assert chosen.choice
    assert (chosen.choice.split, chosen.choice.n) == ("training", 100)


def test_fixed_settings_are_the_only_candidates(subject: ExportedNetwork) -> None:
    asked = ExportSettings(calib_samples=60, calib_rule="minmax")
    rules = ExportSettings(calib_samples=60)

    assert choose_calibration(subject, asked) == Calibration(60, "minmax")
    tried = choose_calibration(subject, rules).choice
    assert tried
    assert [row.faces for row in tried.tried] == [60, 60]


def test_few_faces_select_nothing(network: Any, stripes: FaceSet) -> None:
    assert choose_calibration(make_subject(network, stripes), ExportSettings()) == Calibration(30, "minmax")


def test_one_spot_in_one_calibration_face_makes_percentile_win(subject: ExportedNetwork) -> None:
    """A white dot widens the min-max range far beyond the values of all other faces."""
    faces = subject.training
    [spoilt] = np.flatnonzero(faces.names == calibration_subsets(faces, 100, seed=0)[0].names[0])
    pixels = faces.faces.copy()
    pixels[spoilt] = 0
    pixels[spoilt, 8, 8] = 255

    chosen = choose_calibration(replace(subject, training=replace(faces, faces=pixels)), ExportSettings())

    assert chosen.choice
    divergence = {row.rule: row.kl_divergence for row in chosen.choice.tried}
    assert divergence["percentile"] < divergence["minmax"]
    assert chosen.rule == "percentile"
