import json

import numpy as np
import pytest

from fer_edge.data.metrics import calibration_error, confusion, f1_scores, fit_temperature, recalls, softmax, summary

TRUTH = np.array([0, 0, 0, 1])
PREDICTED = np.array([0, 0, 1, 1])


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    assert confusion(TRUTH, PREDICTED, 3).tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_recall_of_a_class_without_faces_is_not_a_number() -> None:
    found = recalls(confusion(TRUTH, PREDICTED, 3))

    assert found[:2].tolist() == [pytest.approx(2 / 3), 1.0]
    assert np.isnan(found[2])


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    assert f1_scores(confusion(TRUTH, PREDICTED, 2)).tolist() == [pytest.approx(0.8), pytest.approx(2 / 3)]


def test_softmax_of_huge_logits_does_not_overflow() -> None:
    assert softmax(np.array([[1000.0, 1000.0]])).tolist() == [[0.5, 0.5]]


def test_temperature_softens() -> None:
    assert softmax(np.array([[np.log(4.0), 0.0]]), temperature=2.0)[0].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_sure_and_right_has_no_calibration_error() -> None:
    assert calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 0


def test_sure_and_wrong_has_all_of_it() -> None:
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([1])) == 1


def test_calibration_error_of_nothing_is_not_a_number() -> None:
    assert np.isnan(calibration_error(np.zeros((0, 2)), np.zeros(0, int)))


def test_a_fitted_temperature_gives_the_share_of_right_answers() -> None:
    logits = np.tile([4.0, 0.0], (100, 1))
    truth = np.repeat([0, 1], [80, 20])

    assert softmax(logits[:1], fit_temperature(logits, truth))[0, 0] == pytest.approx(0.8, abs=1e-3)


def test_the_temperature_of_nothing_is_one() -> None:
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, int)) == 1.0


def test_the_summary_holds_every_figure() -> None:
    found = summary(np.eye(3)[PREDICTED] * 9, TRUTH, ("a", "b", "c"))

    assert (found["n"], found["accuracy"], found["balanced_accuracy"]) == (4, 0.75, pytest.approx(5 / 6, abs=1e-6))
    assert found["per_class"]["c"] == {"n": 0, "recall": None}


def test_the_summary_of_nothing_is_valid_json() -> None:
    found = summary(np.zeros((0, 2)), np.zeros(0, int), ("a", "b"))

    assert json.loads(json.dumps(found, allow_nan=False))["balanced_accuracy"] is None
