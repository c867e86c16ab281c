"""From timings to figures, and from figures to a verdict."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.errors import UsageError

STAGES = ("capture", "detect", "crop", "classify", "total")
STATISTICS = ("p50", "p90", "p99", "max", "mean")
OTHERS = ("classify_float", "detect_other")
"""What is timed beside the stages, on the same faces and frames."""
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
EXAMPLE = "--assert 'total.p90<50'"


def spread(values_ms: list[float]) -> dict[str, float | int]:
    """Percentiles of `values_ms`, in milliseconds, linear between two neighbours; only n where there is no value.

    >>> spread([3.0, 1.0, 2.0])
    {'n': 3, 'p50': 2.0, 'p90': 2.8, 'p99': 2.98, 'max': 3.0, 'mean': 2.0}
    """
    if not values_ms:
        return {"n": 0}
    p50, p90, p99 = np.percentile(values_ms, (50, 90, 99))
    numbers = (p50, p90, p99, max(values_ms), sum(values_ms) / len(values_ms))
    return {"n": len(values_ms), **{name: round(float(n), 4) for name, n in zip(STATISTICS, numbers, strict=True)}}


def paired_ratio(other_ms: list[float], own_ms: list[float]) -> dict[str, float | int]:
    """How many times longer one thing took than another in the same moment: median and the middle 80 % of the pairs.

    Args:
        other_ms: One timing per face or frame, in milliseconds.
        own_ms: Those of the same ones.
    """
    if not other_ms:
        return {"n": 0}
    p10, p50, p90 = np.percentile(np.divide(other_ms, own_ms), (10, 50, 90))
    return {"n": len(other_ms), "p10": round(float(p10), 3), "p50": round(float(p50), 3), "p90": round(float(p90), 3)}


@dataclass(frozen=True)
class Assertion:
    """A condition on one figure, such as `total.p90<50`."""

    text: str
    figure: tuple[str, ...]
    """Way to the figure in the report: ms, a stage and a statistic; or memory_mb."""
    comparison: str
    limit: float

    def judge(self, report: dict[str, Any]) -> dict[str, Any]:
        """Say whether `report` fulfils it; a figure that was not measured does not."""
        value: Any = report
        for key in self.figure:
            value = (value or {}).get(key)
        passed = value is not None and COMPARISONS[self.comparison](value, self.limit)
        return {"assertion": self.text, "value": value, "passed": passed}


def parse_assertion(text: str) -> Assertion:
    """Read STAGE.STATISTIC<MILLISECONDS, where a stage may be one of `OTHERS`, or memory_mb<MEGABYTES.

    >>> parse_assertion("total.p90 < 50").figure
    ('ms', 'total', 'p90')

    Raises:
        UsageError: The condition cannot be read, or names a figure that does not exist.
    """
    found = re.fullmatch(r"\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*", text)
    if not found:
        raise UsageError(f"--assert {text!r} cannot be read; an example: {EXAMPLE}")
    name, comparison, limit = found.groups()
    if name == "memory_mb":
        return Assertion(text, ("memory_mb",), comparison, float(limit))
    stage, _, statistic = name.partition(".")
    stages = (*STAGES, *OTHERS)
    if stage not in stages or statistic not in STATISTICS:
        raise UsageError(
            f"--assert {text!r}: no figure {name!r}; there are memory_mb and STAGE.STATISTIC "
            f"with the stages {', '.join(stages)} and the statistics {', '.join(STATISTICS)}"
        )
    return Assertion(text, ("ms", stage, statistic), comparison, float(limit))
