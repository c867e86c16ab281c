"""The report of an export: for people in the terminal, and as Markdown beside the models."""

from typing import Any

from rich.markdown import Markdown
from rich.table import Table

from fer_edge_export import detector

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "calibration_error_before": "calibration error without temperature",
    "calibration_error": "calibration error",
}
"""Figures of `fer_edge.metrics.summary` that the report shows, with their names for people."""


def as_table(report: dict[str, Any]) -> Table | Markdown:
    """Lay the report out for the terminal."""
    if report.get("task") == "faces":
        return Markdown(detector.as_markdown(report))
    caption = "\n".join([verdict(report), *report["gate"]["findings"]])
    table = Table(title=headline(report), title_justify="left", caption=caption, caption_justify="left")
    for name in ("", "n", "float32", report["recipe"], "change", "95 % interval"):
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
    network = report["network"]
    lines = [
        f"# Export of {report['network']['name']}",
        "",
        f"{headline(report)}. {verdict(report)}",
        "",
        f"| | n | float32 | {report['recipe']} | change | 95 % interval |",
        "|---|---:|---:|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in [*figures, *classes]),
        "",
        *(f"- **{failure}**" for failure in report["gate"]["failures"]),
        *(f"- {finding}" for finding in report["gate"]["findings"]),
        *_ladder(report),
        f"- Network: {network['name']}, {network['parameters']:,} parameters, {network['macs']:,} multiply-accumulates",
        f"- Weights: {report['weights']} of `{report['run']}`",
        *_calibration(report["calibration"]),
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
    """Say in one line what quantisation cost and whether that is allowed."""
    comparison, gate = report["comparison"], report["gate"]
    passed = "passed" if gate["passed"] else "FAILED"
    low, high = comparison["drop_interval"]
    return (
        f"{report['recipe']} drop {comparison['drop']:.4f} (95 % interval {low:.4f} to {high:.4f}; {passed}; allowed "
        f"{gate['max_drop']:g}), agreement {comparison['agreement']:.1%}, {comparison['lost']} lost and "
        f"{comparison['gained']} gained (McNemar p {comparison['mcnemar_p']:.2g}), "
        f"mean KL divergence {comparison['kl_divergence']:.2g}"
    )


def _ladder(report: dict[str, Any]) -> list[str]:
    if len(report["ladder"]) < 2:
        return []
    rows = []
    for rung in report["ladder"]:
        name = rung["recipe"] if rung["seed"] is None else f"{rung['recipe']}, seed {rung['seed']}"
        figures = f"{rung['accuracy']:.4f} | {rung['drop']:.4f} | {rung['drop_interval'][1]:.4f}"
        outcome = "passed" if rung["passed"] else "; ".join(rung["failures"])
        rows.append(f"| {name} | {rung['bytes']:,} | {figures} | {rung['agreement']:.1%} | {outcome} |")
    head = "| tried | bytes | accuracy | drop | at most | agreement | gate |"
    return ["", head, "|---|---:|---:|---:|---:|---:|---|", *rows, ""]


def _calibration(calibration: dict[str, Any] | None) -> list[str]:
    if calibration is None:
        return ["- Not calibrated: the recipe needs no ranges"]
    per_class = ", ".join(f"{name} {n}" for name, n in calibration["per_class"].items())
    line = f"- Calibrated with {calibration['faces']} training faces, seed {calibration['seed']}: {per_class}"
    return [line, *(f"- **{doubt}**" for doubt in calibration["doubts"])]


def _rows(report: dict[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Cells of the figures and of the classes' recalls: name, n, float32, quantised, change and its interval."""
    comparison, recipe = report["comparison"], report["recipe"]
    figures = []
    for key, name in FIGURES.items():
        before, after = comparison["float32"][key], comparison[recipe][key]
        low, high = comparison["drop_interval"]
        interval = f"{-high:+.4f} to {-low:+.4f}" if key == "accuracy" else ""
        figures.append(
            [name, str(comparison["n"]), f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", interval]
        )
    classes = []
    for name, row in comparison["per_class"].items():
        numbers = (_number(row["float32"]), _number(row[recipe]), _number(row["change"], "+"))
        interval = "{:+.3f} to {:+.3f}".format(*row["interval"]) if row["interval"] else "-"
        classes.append([f"recall {name}", str(row["n"]), *numbers, interval])
    return figures, classes


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"
