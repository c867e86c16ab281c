import pytest

from fer_edge.errors import UsageError
from fer_edge_bench.figures import paired_ratio, parse_assertion, spread

REPORT = {"ms": {"total": {"p50": 10.0, "p90": 49.9}}, "memory_mb": 120.0}


def test_percentiles_of_unsorted_timings() -> None:
    assert spread([100.0, *map(float, range(9, 0, -1))]) == {
        "n": 10,
        "p50": 5.5,
        "p90": 18.1,
        "p99": 91.81,
        "max": 100.0,
        "mean": 14.5,
    }


def test_no_timings_give_no_statistics() -> None:
    assert spread([]) == {"n": 0}
    assert paired_ratio([], []) == {"n": 0}


def test_ratio_is_taken_pair_by_pair_before_the_median() -> None:
    # Medians of the columns would give 4 / 2 = 2.
    assert paired_ratio([4.0, 2.0, 40.0], [1.0, 2.0, 20.0]) == {"n": 3, "p10": 1.2, "p50": 2.0, "p90": 3.6}
    assert paired_ratio([9.0, 1.0, 5.0], [1.0, 5.0, 9.0])["p50"] == 0.556


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("total.p90<50", True),
        ("total.p90 <= 49.9", True),
        ("total.p90<49.9", False),
        ("total.p50>9", True),
        ("total.p50>=10.1", False),
        ("memory_mb<200", True),
        ("classify_float.p50<1", False),  # not measured, so it fails
    ],
)
def test_assertions_are_evaluated_on_the_report(text: str, passed: bool) -> None:
    assert parse_assertion(text).evaluate(REPORT)["passed"] is passed


def test_evaluated_assertion_contains_the_value() -> None:
    assert parse_assertion("total.p90<40").evaluate(REPORT) == {
        "assertion": "total.p90<40",
        "value": 49.9,
        "passed": False,
    }


@pytest.mark.parametrize("text", ["", "total.p90", "total.p90=50", "total.p90<fast", "<50", "total.p90<-1"])
def test_invalid_assertion_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a condition; example: --assert 'total\.p90<50'"):
        parse_assertion(text)


@pytest.mark.parametrize("text", ["total.p42<1", "decode.p90<1", "total<1", "memory<1"])
def test_assertion_on_an_unknown_metric_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="unknown metric"):
        parse_assertion(text)
