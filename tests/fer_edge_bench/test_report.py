from typing import Any

import pytest

from fer_edge_bench.report import ratio_lines

RATIO = {"n": 50, "p10": 1.1, "p50": 1.32, "p90": 1.5}


def report(**ratios: Any) -> dict[str, Any]:
    return {"detector": "yunet_int8", "other_detector": "yunet_float16", **ratios}


def test_ratios_that_were_not_measured_are_not_reported() -> None:
    assert ratio_lines(report()) == []
    assert ratio_lines(report(float_over_int8={"n": 0}, other_detector_over_own={"n": 0})) == []


def test_the_other_detector_is_compared_with_the_one_in_use() -> None:
    (line,) = ratio_lines(report(other_detector_over_own=RATIO))

    assert line == (
        "yunet_float16 took 1.32 times as long as yunet_int8 on the same frames (middle 80 % of 50 pairs: 1.10 to 1.50)"
    )


@pytest.mark.parametrize(("ratio", "recommended"), [(0.7, True), (0.89, True), (0.9, False), (1.2, False)])
def test_a_clearly_faster_detector_is_recommended_with_its_flag(ratio: float, recommended: bool) -> None:
    (line,) = ratio_lines(report(other_detector_over_own=RATIO | {"p50": ratio}))

    assert line.endswith("; faster here: --detector float16") is recommended


def test_float_ratio_is_reported_first() -> None:
    lines = ratio_lines(report(model={"recipe": "float16"}, float_over_int8=RATIO, other_detector_over_own=RATIO))

    assert lines[0].startswith("float32 took 1.32 times as long as float16 on the same faces")
    assert len(lines) == 2
