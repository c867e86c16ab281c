"""The report of an export: a table in the terminal, and Markdown beside the models."""

from rich.table import Table

from fer_edge_export.results import CalibrationReport, ExportReport, Figures


def as_table(report: ExportReport) -> Table:
    """Format the report as a table for the terminal."""
    layers = [report.worst_layer] if report.worst_layer else []
    caption = "\n".join([verdict(report), *report.gate.findings, *layers, *report.advice])
    table = Table(title=headline(report), title_justify="left", caption=caption, caption_justify="left")
    head, rows = comparison_rows(report)
    for name in head:
        table.add_column(name, justify="left" if not name else "right")
    metrics = len(rows) - len(report.comparison.per_class)
    for number, row in enumerate(rows, start=1):
        table.add_row(*row, end_section=number == metrics)
    return table


def as_markdown(report: ExportReport) -> str:
    """Format the report as Markdown."""
    lines = [
        f"# Export of {report.network.name}",
        "",
        f"{headline(report)}. {verdict(report)}",
        "",
        *_markdown_table(*comparison_rows(report)),
        "",
        *(f"- **{failure}**" for failure in report.gate.failures),
        *(f"- {finding}" for finding in report.gate.findings),
        *(f"- {line}" for line in [report.worst_layer, *report.advice] if line),
        *(["", *_markdown_table(*ladder_rows(report)), ""] if len(report.ladder) > 1 else []),
        f"- {network_line(report)}",
        f"- Weights: {report.weights} of `{report.run}`",
        *(f"- {line}" for line in calibration_lines(report.calibration)),
        f"- Temperature {report.temperature:g}, uncertain below {report.uncertain_below:g} (the default)",
        *(f"- `{file.name}`: {file.bytes:,} bytes, {recipe}" for recipe, file in report.files.items()),
        f"- Made with {versions(report)}",
    ]
    return "\n".join(lines) + "\n"


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def headline(report: ExportReport) -> str:
    """The evaluation faces, in one line."""
    return f"{report.heldout.split} faces, protocol: {report.heldout.protocol}, n={report.comparison.n}"


def network_line(report: ExportReport) -> str:
    """Name and size of the network, in one line."""
    network = report.network
    return f"Network: {network.name}, {network.parameters:,} parameters, {network.macs:,} multiply-accumulates"


def versions(report: ExportReport) -> str:
    """Package versions of the export."""
    return ", ".join(f"{package} {number}" for package, number in report.made_with.items())


def verdict(report: ExportReport) -> str:
    """Accuracy drop, gate and agreement, in one line."""
    comparison, gate = report.comparison, report.gate
    passed = "passed" if gate.passed else "FAILED"
    low, high = comparison.drop_interval
    return (
        f"{report.recipe} drop {comparison.drop:.4f} (95 % interval {low:.4f} to {high:.4f}; {passed}; allowed "
        f"{gate.max_drop:g}), agreement {comparison.agreement:.1%}, {comparison.lost} lost and "
        f"{comparison.gained} gained (McNemar p {comparison.mcnemar_p:.2g}), "
        f"mean KL divergence {comparison.kl_divergence:.2g}"
    )


def ladder_rows(report: ExportReport) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the attempts, in order."""
    rows = []
    for row in report.ladder:
        metrics = [f"{row.accuracy:.4f}", f"{row.drop:.4f}", f"{row.drop_interval[1]:.4f}"]
        outcome = "passed" if row.passed else "; ".join(row.failures)
        rows.append([row.tried, f"{row.bytes:,}", *metrics, f"{row.agreement:.1%}", outcome])
    return ["attempt", "bytes", "accuracy", "drop", "at most", "agreement", "gate"], rows


def calibration_lines(calibration: CalibrationReport | None) -> list[str]:
    """Calibration faces, their selection, stability and warnings, and fine-tuning; one line each."""
    if calibration is None:
        return ["Not calibrated: the recipe needs no calibration"]
    per_class = ", ".join(f"{name} {n}" for name, n in calibration.per_class.items())
    how = f"{calibration.faces} training faces, {calibration.rule}, seed {calibration.seed}"
    lines = [f"Calibrated with {how}: {per_class}"]
    if choice := calibration.choice:
        tried = "; ".join(f"{row.faces} {row.rule} {row.kl_divergence:.2g}" for row in choice.tried)
        lines.append(f"Selected by the mean KL divergence from float32 on {choice.n:,} {choice.split} faces: {tried}")
    if other := calibration.other_faces:
        lines.append(
            f"Calibrated with {other.faces} other training faces instead: accuracy {other.accuracy:.4f}, agreement "
            f"{other.same_answer:.1%}"
        )
    if learning := calibration.learning:
        curve = learning.kl_divergence
        better = f"epoch {learning.best_epoch} was kept" if learning.best_epoch else "no epoch was better"
        lines.append(
            f"Then fine-tuned with {learning.faces:,} training faces, {learning.epochs} epochs, learning rate "
            f"{learning.learning_rate:g}: mean KL divergence from float32 on {learning.held_back} held-out ones "
            f"{curve[0]:.2g} before, {min(curve):.2g} after; {better}"
        )
    return [*lines, *calibration.doubts]


def comparison_rows(report: ExportReport) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the metrics, then of the recall per class."""
    comparison = report.comparison
    low, high = (-end for end in reversed(comparison.drop_interval))
    rows = []
    quantised = _metrics(comparison.quantised)
    for name, before in _metrics(comparison.float32).items():
        after = quantised[name]
        interval = f"{low:+.4f} to {high:+.4f}" if name == "accuracy" else ""
        rows.append([name, str(comparison.n), _number(before), _number(after), _number(after - before, "+"), interval])
    for name, row in comparison.per_class.items():
        interval = "{:+.3f} to {:+.3f}".format(*row.interval) if row.interval else "-"
        numbers = _number(row.float32), _number(row.quantised), _number(row.change, "+")
        rows.append([f"recall {name}", str(row.n), *numbers, interval])
    return ["", "n", "float32", report.recipe, "change", "95 % interval"], rows


def _metrics(figures: Figures) -> dict[str, float]:
    return {
        "accuracy": figures.accuracy,
        "balanced accuracy": figures.balanced_accuracy,
        "macro-F1": figures.macro_f1,
        "calibration error without temperature": figures.calibration_error_before,
        "calibration error": figures.calibration_error,
    }


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"
