"""Lay a benchmark's report out for people."""

from typing import Any

from rich.table import Table

from fer_edge_bench.figures import STAGES

SHOWN = ("p50", "p90", "p99", "max")
FASTER = 0.9
"""Times the detector's time below which its other form is worth asking for."""


def as_table(report: dict[str, Any]) -> Table:
    """One row per stage: milliseconds per frame."""
    table = Table(title=headline(report), title_justify="left", caption=machine_line(report), caption_justify="left")
    for name in ("ms per frame", "n", *SHOWN):
        table.add_column(name, justify="left" if name == "ms per frame" else "right")
    names = {stage: stage for stage in STAGES}
    names["classify"] = f"classify ({report['model']['recipe']})"
    if "classify_float" in report["ms"]:
        names["classify_float"] = "classify (float32)"
    if "detect_other" in report["ms"]:
        names["detect_other"] = f"detect ({report['other_detector']})"
    for stage, name in names.items():
        row = report["ms"][stage]
        table.add_row(name, str(row["n"]), *(f"{row[key]:.2f}" if key in row else "-" for key in SHOWN))
    return table


def headline(report: dict[str, Any]) -> str:
    """Say what was measured."""
    return (
        f"{report['model']['name']} on {report['source']}, detector {report['detector']}, "
        f"{report['threads']} thread(s), {report['faces_per_frame']:g} faces per frame"
    )


def machine_line(report: dict[str, Any]) -> str:
    """Say on what it was measured, and what memory it took."""
    machine = report["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['board'] or machine['cpu']}, {machine['cores']} cores, governor {machine['governor'] or 'unknown'}, "
        f"Python {machine['python']}, {packages}; peak memory {report['memory_mb']:g} MB"
    )


def ratio_lines(report: dict[str, Any]) -> list[str]:
    """Say how float32 compares with int8 on the same faces, and the other form of the detector on the same frames."""
    lines = []
    if ratio := _judged(report, "float_over_int8"):
        own = report["model"]["recipe"]
        lines.append(f"float32 took {ratio['p50']:.2f} times as long as {own} on the same faces {_spread(ratio)}")
    if ratio := _judged(report, "other_detector_over_own"):
        own, other = report["detector"], report["other_detector"]
        advice = f"; faster here: --detector {other.split('_')[-1]}" if ratio["p50"] < FASTER else ""
        lines.append(
            f"{other} took {ratio['p50']:.2f} times as long as {own} on the same frames {_spread(ratio)}{advice}"
        )
    return lines


def _judged(report: dict[str, Any], name: str) -> dict[str, float]:
    ratio: dict[str, float] = report.get(name) or {}
    return ratio if ratio.get("n") else {}


def _spread(ratio: dict[str, float]) -> str:
    return f"(middle 80 % of {ratio['n']} pairs: {ratio['p10']:.2f} to {ratio['p90']:.2f})"
