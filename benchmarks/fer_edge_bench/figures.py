"""Latency statistics, and assertions on them."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.errors import UsageError

STAGES = ("capture", "detect", "crop", "classify", "total")
STATISTICS = ("p50", "p90", "p99", "max", "mean")
EXTRA_STAGES = ("classify_float", "detect_other")
"""Timed for comparison on the same faces and frames; not part of the total."""
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
EXAMPLE = "--assert 'total.p90<50'"


def spread(values_ms: list[float]) -> dict[str, float | int]:
    """Percentiles of `values_ms`, in milliseconds, linearly interpolated; only n if there are no values.

    >>> spread([3.0, 1.0, 2.0])
    {'n': 3, 'p50': 2.0, 'p90': 2.8, 'p99': 2.98, 'max': 3.0, 'mean': 2.0}
    """
    if not values_ms:
        return {"n": 0}
    p50, p90, p99 = np.percentile(values_ms, (50, 90, 99))
    numbers = (p50, p90, p99, max(values_ms), sum(values_ms) / len(values_ms))
    return {"n": len(values_ms), **{name: round(float(n), 4) for name, n in zip(STATISTICS, numbers, strict=True)}}


def paired_ratio(other_ms: list[float], own_ms: list[float]) -> dict[str, float | int]:
    """Ratio of paired timings, other to own: median, 10th and 90th percentile.

    Args:
        other_ms: One latency per face or frame, in milliseconds.
        own_ms: Latencies of the same faces or frames.
    """
    if not other_ms:
        return {"n": 0}
    p10, p50, p90 = np.percentile(np.divide(other_ms, own_ms), (10, 50, 90))
    return {"n": len(other_ms), "p10": round(float(p10), 3), "p50": round(float(p50), 3), "p90": round(float(p90), 3)}


@dataclass(frozen=True)
class Assertion:
    """A condition on one metric, such as `total.p90<50`."""

    text: str
    keys: tuple[str, ...]
    """Keys that lead to the metric in the report: ms, a stage and a statistic; or memory_mb."""
    comparison: str
    limit: float

    def evaluate(self, report: dict[str, Any]) -> dict[str, Any]:
        """Evaluate it on `report`; it fails if the metric was not measured."""
        value: Any = report
        for key in self.keys:
            value = (value or {}).get(key)
        passed = value is not None and COMPARISONS[self.comparison](value, self.limit)
        return {"assertion": self.text, "value": value, "passed": passed}


def parse_assertion(text: str) -> Assertion:
    """Parse STAGE.STATISTIC<MILLISECONDS or memory_mb<MEGABYTES; `EXTRA_STAGES` are allowed, too.

    >>> parse_assertion("total.p90 < 50").keys
    ('ms', 'total', 'p90')

    Raises:
        UsageError: Syntax error, or unknown metric.
    """
    found = re.fullmatch(r"\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*", text)
    if not found:
        raise UsageError(f"--assert {text!r} is not a condition; example: {EXAMPLE}")
    name, comparison, limit = found.groups()
    if name == "memory_mb":
        return Assertion(text, ("memory_mb",), comparison, float(limit))
    stage, _, statistic = name.partition(".")
    stages = (*STAGES, *EXTRA_STAGES)
    if stage not in stages or statistic not in STATISTICS:
        raise UsageError(
            f"--assert {text!r}: unknown metric {name!r}; use memory_mb or STAGE.STATISTIC "
            f"with the stages {', '.join(stages)} and the statistics {', '.join(STATISTICS)}"
        )
    return Assertion(text, ("ms", stage, statistic), comparison, float(limit))
