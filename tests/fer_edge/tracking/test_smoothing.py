import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import UsageError
from fer_edge.model.contract import Contract
from fer_edge.tracking.smoothing import Smoother, SmoothingSettings

LABELS = ("neutral", "happiness", "sadness")
CONTRACT = Contract(LABELS, 32, "int8", uncertain_below=0.5)
QUICK = SmoothingSettings(seconds=0.4, lead=0.0, dwell=0.0, band=0.0)
"""The average alone."""

Floats = npt.NDArray[np.float64]


def says(label: str, probability: float = 0.8) -> Floats:
    """What a frame says: one class has `probability`, the others share the rest."""
    rest = (1 - probability) / (len(LABELS) - 1)
    return np.array([probability if name == label else rest for name in LABELS])


def labels(smoother: Smoother, frames: list[Floats], fps: float = 25, begin: float = 0.0) -> list[str]:
    return [smoother.step(frame, begin + number / fps)[0] for number, frame in enumerate(frames)]


def test_the_first_frame_is_taken_as_it_is() -> None:
    label, pooled = Smoother(CONTRACT).step(says("sadness", 0.7), 100.0)

    assert label == "sadness"
    np.testing.assert_allclose(pooled, says("sadness", 0.7))


def test_the_first_frame_may_be_uncertain() -> None:
    assert Smoother(CONTRACT).step(says("sadness", 0.45), 0.0)[0] == "uncertain"


def test_probabilities_sum_to_one_whatever_comes() -> None:
    smoother = Smoother(CONTRACT)
    for number, frame in enumerate([says("sadness", 1.0), says("neutral", 0.0), np.array([0.0, 0.0, 1.0])]):
        _, pooled = smoother.step(frame, number / 25)
        assert pooled.sum() == pytest.approx(1)
        assert (pooled > 0).all()


def test_a_new_value_weighs_as_much_as_time_has_passed() -> None:
    smoother = Smoother(CONTRACT, QUICK)
    for number in range(200):  # so long that the beginning no longer counts
        smoother.step(says("neutral"), number / 25)

    _, pooled = smoother.step(says("happiness"), 199 / 25 + 0.4)

    weight = 1 - math.exp(-1)
    logs = (1 - weight) * np.log(says("neutral")) + weight * np.log(says("happiness"))
    np.testing.assert_allclose(pooled, np.exp(logs) / np.exp(logs).sum())


@pytest.mark.parametrize("fps", [5, 10, 100])
def test_the_frame_rate_does_not_matter(fps: int) -> None:
    answers = []
    for rate in (25, fps):
        smoother = Smoother(CONTRACT, QUICK)
        for number in range(4 * rate):
            smoother.step(says("neutral"), number / rate)
        for number in range(4 * rate, 4 * rate + rate // 5):
            _, pooled = smoother.step(says("happiness"), number / rate)
        answers.append(pooled)

    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


@pytest.mark.parametrize(("usual", "odd"), [(0.7, says("happiness", 0.99)), (0.9, says("neutral", 0.0))])
def test_one_frame_that_is_loud_or_rules_a_class_out_changes_nothing(usual: float, odd: Floats) -> None:
    frames = [says("neutral", usual)] * 10 + [odd] + [says("neutral", usual)] * 10

    assert set(labels(Smoother(CONTRACT), frames)) == {"neutral"}


def test_a_new_expression_is_named_within_half_a_second() -> None:
    frames = [says("neutral")] * 50 + [says("happiness")] * 50

    named = labels(Smoother(CONTRACT), frames)

    assert 50 + 3 < named.index("happiness") < 50 + 13
    assert named[named.index("happiness") :] == ["happiness"] * (100 - named.index("happiness"))


def test_two_expressions_that_are_level_do_not_alternate() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(500):
        share = 0.47 + rng.normal(0, 0.05)
        frames.append(np.array([share, 0.94 - share, 0.06]))
    plain = [LABELS[int(frame.argmax())] for frame in frames]
    calm = labels(Smoother(Contract(LABELS, 32, "int8", uncertain_below=0.3)), frames)

    assert sum(a != b for a, b in pairwise(plain)) > 100
    assert len(set(calm)) == 1


def test_a_score_about_the_threshold_does_not_come_and_go() -> None:
    rng = np.random.default_rng(0)
    named = labels(Smoother(CONTRACT), [says("neutral", 0.5 + rng.normal(0, 0.05)) for _ in range(500)])

    assert len(set(named)) == 1


def test_uncertain_ends_only_when_it_is_clear() -> None:
    smoother = Smoother(CONTRACT, SmoothingSettings(dwell=0.0))
    unclear = labels(smoother, [says("neutral", 0.4)] * 50)
    hardly = labels(smoother, [says("neutral", 0.53)] * 50, begin=2)
    clearly = labels(smoother, [says("neutral", 0.6)] * 50, begin=4)

    assert set(unclear) == set(hardly) == {"uncertain"}
    assert clearly[-1] == "neutral"


def test_a_label_stands_for_a_moment() -> None:
    frames = [says(LABELS[number // 3 % 3], 0.98) for number in range(100)]

    named = labels(Smoother(CONTRACT, SmoothingSettings(seconds=0.01, dwell=0.4)), frames)

    changes = [number for number in range(1, 100) if named[number] != named[number - 1]]
    assert changes
    assert min(np.diff(changes)) >= 0.4 * 25


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_thresholds_that_nothing_or_everything_reaches_are_no_trouble(threshold: float) -> None:
    smoother = Smoother(Contract(LABELS, 32, "int8", uncertain_below=threshold))

    expected = "neutral" if threshold == 0 else "uncertain"
    assert set(labels(smoother, [says("neutral", 0.9)] * 20)) == {expected}


def test_behind_a_gap_the_past_counts_for_nothing() -> None:
    smoother = Smoother(CONTRACT)
    labels(smoother, [says("neutral", 0.95)] * 50)

    label, pooled = smoother.step(says("happiness", 0.7), 12.0)

    assert label == "happiness"
    np.testing.assert_allclose(pooled, says("happiness", 0.7), atol=1e-4)


@pytest.mark.parametrize("moment", [-3600.0, 0.0, 1.96])
def test_a_clock_that_jumps_back_or_stands_still_counts_as_a_usual_step(moment: float) -> None:
    back, steady = Smoother(CONTRACT), Smoother(CONTRACT)
    for smoother in (back, steady):
        labels(smoother, [says("neutral")] * 50, fps=30)

    _, pooled = back.step(says("happiness"), min(moment, 49 / 30))
    _, expected = steady.step(says("happiness"), 50 / 30)

    np.testing.assert_allclose(pooled, expected)
    assert labels(back, [says("happiness")] * 50, begin=moment)[-1] == "happiness"


def test_a_clock_that_never_moves_does_not_freeze_the_label() -> None:
    smoother = Smoother(CONTRACT)
    named = [smoother.step(frame, 0.0)[0] for frame in [says("neutral")] * 30 + [says("sadness")] * 30]

    assert (named[29], named[-1]) == ("neutral", "sadness")


def test_faces_have_their_own_past() -> None:
    one, other = Smoother(CONTRACT), Smoother(CONTRACT)
    labels(one, [says("neutral")] * 50)

    assert other.step(says("happiness"), 2.0)[0] == "happiness"


@pytest.mark.parametrize(
    "settings", [{"seconds": 0}, {"seconds": float("nan")}, {"lead": 2}, {"dwell": -1}, {"band": -0.1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="seconds above 0"):
        SmoothingSettings(**settings)


def test_no_label_appears_below_the_threshold_and_none_stays_far_below_it() -> None:
    settings, rng = SmoothingSettings(), np.random.default_rng(0)
    for _ in range(20):
        smoother, before, held = Smoother(CONTRACT, settings), "", 0.0
        for number in range(300):
            probabilities = rng.dirichlet(np.full(len(LABELS), 0.7))
            label, pooled = smoother.step(probabilities, number / 25)
            held = 0.0 if label != before else held + 1 / 25
            score = pooled[LABELS.index(label)] if label in LABELS else 1.0
            if label != before:
                assert score >= CONTRACT.uncertain_below
            elif held > settings.dwell:
                assert score >= CONTRACT.uncertain_below - settings.band
            before = label
