"""The report of an export: for people in the terminal, and as Markdown beside the models."""

from typing import Any

from rich.markdown import Markdown
from rich.table import Table

from fer_edge_export import detector

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "calibration_error": "calibration error",
}
"""Figures of `fer_edge.metrics.summary` that the report shows, with their names for people."""


def as_table(report: dict[str, Any]) -> Table | Markdown:
    """Lay the report out for the terminal."""
    if report.get("task") == "faces":
        return Markdown(detector.as_markdown(report))
    table = Table(title=headline(report), title_justify="left", caption=verdict(report), caption_justify="left")
    for name in ("", "n", "float32", "int8", "change"):
        table.add_column(name, justify="left" if not name else "right")
    figures, classes = _rows(report)
    for row in figures:
        table.add_row(*row)
    table.add_section()
    for row in classes:
        table.add_row(*row)
    return table


def as_markdown(report: dict[str, Any]) -> str:
    """Write the report as Markdown."""
    figures, classes = _rows(report)
    calibration, network = report["calibration"], report["network"]
    lines = [
        f"# Export of {report['network']['name']}",
        "",
        f"{headline(report)}. {verdict(report)}",
        "",
        "| | n | float32 | int8 | change |",
        "|---|---:|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in [*figures, *classes]),
        "",
        f"- Network: {network['name']}, {network['parameters']:,} parameters, {network['macs']:,} multiply-accumulates",
        f"- Weights: {report['weights']} of `{report['run']}`",
        f"- Calibrated with {calibration['faces']} training faces, seed {calibration['seed']}: "
        + ", ".join(f"{name} {n}" for name, n in calibration["per_class"].items()),
        f"- Temperature {report['temperature']:g}, uncertain below {report['uncertain_below']:g} (the default)",
        *(f"- `{file['name']}`: {file['bytes']:,} bytes, {recipe}" for recipe, file in report["files"].items()),
        "- Made with " + ", ".join(f"{package} {number}" for package, number in report["made_with"].items()),
    ]
    return "\n".join(lines) + "\n"


def headline(report: dict[str, Any]) -> str:
    """Say on which faces both models were judged."""
    heldout = report["heldout"]
    return f"{heldout['split']} faces, protocol: {heldout['protocol']}, n={report['comparison']['n']}"


def verdict(report: dict[str, Any]) -> str:
    """Say in one line what int8 cost and whether that is allowed."""
    comparison, gate = report["comparison"], report["gate"]
    passed = "passed" if gate["passed"] else "FAILED"
    return (
        f"int8 drop {comparison['drop']:.4f} ({passed}; allowed {gate['max_drop']:g}), "
        f"agreement {comparison['agreement']:.1%}"
    )


def _rows(report: dict[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Cells of the figures and of the classes' recalls: name, n, float32, int8, change."""
    comparison = report["comparison"]
    figures = []
    for key, name in FIGURES.items():
        before, after = comparison["float32"][key], comparison["int8"][key]
        figures.append([name, str(comparison["n"]), f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"])
    classes = []
    for name, row in comparison["per_class"].items():
        numbers = (_number(row["float32"]), _number(row["int8"]), _number(row["change"], "+"))
        classes.append([f"recall {name}", str(row["n"]), *numbers])
    return figures, classes


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"
