"""The report of an export: for people in the terminal, and as Markdown beside the models."""

from typing import Any

from rich.table import Table

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "calibration_error_before": "calibration error without temperature",
    "calibration_error": "calibration error",
}
"""Figures of `fer_edge.data.metrics.summary` that the report shows, with their names for people."""


def as_table(report: dict[str, Any]) -> Table:
    """Lay the report out for the terminal."""
    layers = [report["worst_layer"]] if report["worst_layer"] else []
    caption = "\n".join([verdict(report), *report["gate"]["findings"], *layers, *report["advice"]])
    table = Table(title=headline(report), title_justify="left", caption=caption, caption_justify="left")
    head, rows = comparison_rows(report)
    for name in head:
        table.add_column(name, justify="left" if not name else "right")
    for row in rows:
        table.add_row(*row, end_section=row[0] == list(FIGURES.values())[-1])
    return table


def as_markdown(report: dict[str, Any]) -> str:
    """Write the report as Markdown."""
    network = report["network"]
    lines = [
        f"# Export of {report['network']['name']}",
        "",
        f"{headline(report)}. {verdict(report)}",
        "",
        *_markdown_table(*comparison_rows(report)),
        "",
        *(f"- **{failure}**" for failure in report["gate"]["failures"]),
        *(f"- {finding}" for finding in report["gate"]["findings"]),
        *(f"- {line}" for line in [report["worst_layer"], *report["advice"]] if line),
        *(["", *_markdown_table(*ladder_rows(report)), ""] if len(report["ladder"]) > 1 else []),
        f"- Network: {network['name']}, {network['parameters']:,} parameters, {network['macs']:,} multiply-accumulates",
        f"- Weights: {report['weights']} of `{report['run']}`",
        *(f"- {line}" for line in calibration_lines(report["calibration"])),
        f"- Temperature {report['temperature']:g}, uncertain below {report['uncertain_below']:g} (the default)",
        *(f"- `{file['name']}`: {file['bytes']:,} bytes, {recipe}" for recipe, file in report["files"].items()),
        "- Made with " + ", ".join(f"{package} {number}" for package, number in report["made_with"].items()),
    ]
    return "\n".join(lines) + "\n"


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


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


def ladder_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of what was tried, in order."""
    rows = []
    for rung in report["ladder"]:
        figures = [f"{rung['accuracy']:.4f}", f"{rung['drop']:.4f}", f"{rung['drop_interval'][1]:.4f}"]
        outcome = "passed" if rung["passed"] else "; ".join(rung["failures"])
        rows.append([rung["tried"], f"{rung['bytes']:,}", *figures, f"{rung['agreement']:.1%}", outcome])
    return ["tried", "bytes", "accuracy", "drop", "at most", "agreement", "gate"], rows


def calibration_lines(calibration: dict[str, Any] | None) -> list[str]:
    """Say what set the ranges, how that was chosen, how much hangs on it, and what is wrong with it."""
    if calibration is None:
        return ["Not calibrated: the recipe needs no ranges"]
    per_class = ", ".join(f"{name} {n}" for name, n in calibration["per_class"].items())
    how = f"{calibration['faces']} training faces, {calibration['rule']}, seed {calibration['seed']}"
    lines = [f"Calibrated with {how}: {per_class}"]
    if choice := calibration["choice"]:
        tried = "; ".join(f"{row['faces']} {row['rule']} {row['kl_divergence']:.2g}" for row in choice["tried"])
        lines.append(
            f"Chosen by the mean KL divergence from float32 on {choice['n']:,} {choice['split']} faces: {tried}"
        )
    if other := calibration["other_faces"]:
        lines.append(
            f"Calibrated with {other['faces']} other training faces instead: accuracy {other['accuracy']:.4f}, same "
            f"answer {other['same_answer']:.1%}"
        )
    if learning := calibration.get("learning"):
        curve = learning["kl_divergence"]
        better = f"epoch {learning['best_epoch']} was kept" if learning["best_epoch"] else "no epoch was better"
        lines.append(
            f"Then fine-tuned with {learning['faces']:,} training faces, {learning['epochs']} epochs, learning rate "
            f"{learning['learning_rate']:g}: mean KL divergence from float32 on {learning['held_back']} others "
            f"{curve[0]:.2g} before, {min(curve):.2g} after; {better}"
        )
    return [*lines, *calibration["doubts"]]


def comparison_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the figures, then of the classes' recalls."""
    comparison, recipe = report["comparison"], report["recipe"]
    rows = []
    for key, name in FIGURES.items():
        before, after = comparison["float32"][key], comparison[recipe][key]
        low, high = (-end for end in reversed(comparison["drop_interval"]))
        interval = f"{low:+.4f} to {high:+.4f}" if key == "accuracy" else ""
        numbers = (f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
        rows.append([name, str(comparison["n"]), *numbers, interval])
    for name, row in comparison["per_class"].items():
        numbers = (_number(row["float32"]), _number(row[recipe]), _number(row["change"], "+"))
        interval = "{:+.3f} to {:+.3f}".format(*row["interval"]) if row["interval"] else "-"
        rows.append([f"recall {name}", str(row["n"]), *numbers, interval])
    return ["", "n", "float32", recipe, "change", "95 % interval"], rows


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"
