"""A benchmark's report as text."""

from typing import Any

from rich.table import Table

from fer_edge_bench.figures import STAGES

COLUMNS = ("p50", "p90", "p99", "max")
FASTER_RATIO = 0.9
"""If the other detector takes less than this share of the detector's time, it is recommended."""


def as_table(report: dict[str, Any]) -> Table:
    """Return a table with one row per stage, in milliseconds per frame."""
    table = Table(title=headline(report), title_justify="left", caption=machine_line(report), caption_justify="left")
    for name in ("ms per frame", "n", *COLUMNS):
        table.add_column(name, justify="left" if name == "ms per frame" else "right")
    names = {stage: stage for stage in STAGES}
    names["classify"] = f"classify ({report['model']['recipe']})"
    if "classify_float" in report["ms"]:
        names["classify_float"] = "classify (float32)"
    if "detect_other" in report["ms"]:
        names["detect_other"] = f"detect ({report['other_detector']})"
    for stage, name in names.items():
        row = report["ms"][stage]
        table.add_row(name, str(row["n"]), *(f"{row[key]:.2f}" if key in row else "-" for key in COLUMNS))
    return table


def headline(report: dict[str, Any]) -> str:
    """Return what was measured."""
    return (
        f"{report['model']['name']} on {report['source']}, detector {report['detector']}, "
        f"{report['threads']} thread(s), {report['faces_per_frame']:g} faces per frame"
    )


def machine_line(report: dict[str, Any]) -> str:
    """Return the machine and the peak memory."""
    machine = report["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['board'] or machine['cpu']}, {machine['cores']} cores, governor {machine['governor'] or 'unknown'}, "
        f"Python {machine['python']}, {packages}; peak memory {report['memory_mb']:g} MB"
    )


def ratio_lines(report: dict[str, Any]) -> list[str]:
    """Return how float32 compares with int8 on the same faces, and the other detector on the same frames."""
    lines = []
    if ratio := _measured_ratio(report, "float_over_int8"):
        own = report["model"]["recipe"]
        lines.append(f"float32 took {ratio['p50']:.2f} times as long as {own} on the same faces {_spread(ratio)}")
    if ratio := _measured_ratio(report, "other_detector_over_own"):
        own, other = report["detector"], report["other_detector"]
        advice = f"; faster here: --detector {other.split('_')[-1]}" if ratio["p50"] < FASTER_RATIO else ""
        lines.append(
            f"{other} took {ratio['p50']:.2f} times as long as {own} on the same frames {_spread(ratio)}{advice}"
        )
    return lines


def _measured_ratio(report: dict[str, Any], name: str) -> dict[str, float]:
    ratio: dict[str, float] = report.get(name) or {}
    return ratio if ratio.get("n") else {}


def _spread(ratio: dict[str, float]) -> str:
    return f"(middle 80 % of {ratio['n']} pairs: {ratio['p10']:.2f} to {ratio['p90']:.2f})"
