from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.imaging.crop import crop_face
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import read_model
from fer_edge.recognition.classifier import Classifier
from fer_edge.synthetic.render import draw_face


def test_drawn_faces_are_mostly_told_apart(tiny: Path) -> None:
    classifier = Classifier(tiny)
    drawn = [draw_face(name, seed=10_000 + number) for number in range(5) for name in EXPRESSIONS]
    pixels = np.stack([crop_face(frame, box, 32) for frame, box in drawn])

    right = classifier.probabilities(pixels).argmax(axis=1) == np.tile(np.arange(8), 5)

    assert right.mean() > 0.5  # chance is 0.125


def test_probabilities_sum_to_one(tiny: Path) -> None:
    rows = Classifier(tiny).probabilities(np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8))

    assert rows.sum(axis=1) == pytest.approx([1, 1, 1])


def test_a_high_temperature_makes_everything_alike(tiny: Path) -> None:
    model = read_model(tiny)
    hot = Classifier(replace(model, contract=replace(model.contract, temperature=1e6)))

    np.testing.assert_allclose(hot.probabilities(model.golden.pixels), 1 / 8, atol=1e-3)


@pytest.mark.parametrize(("best", "expected"), [(0.41, "surprise"), (0.39, "uncertain")])
def test_below_the_threshold_the_answer_is_uncertain(tiny: Path, best: float, expected: str) -> None:
    row = np.full(8, (1 - best) / 7)
    row[2] = best

    assert Classifier(tiny).label(row) == expected
