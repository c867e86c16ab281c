"""The report of an export: a table in the terminal, and Markdown beside the models."""

from rich.table import Table

from fer_edge_export.results import CalibrationReport, ExportReport, Figures


def as_table(report: ExportReport) -> Table:
    """Format the report as a table for the terminal."""
    layers = [report.worst_layer] if report.worst_layer else []
    caption = "\n".join([verdict(report), statistics(report), *report.gate.findings, *layers, *report.advice])
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
        f"{headline(report)}.",
        "",
        f"{verdict(report)} {statistics(report)}",
        "",
        *(f"- {name}: {value}" for name, value in origin(report)),
        "",
        *_markdown_table(*comparison_rows(report)),
        "",
        *(f"- **{failure}**" for failure in report.gate.failures),
        *(f"- try: {remedy}" for remedy in report.remedies),
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


def origin(report: ExportReport) -> list[tuple[str, str]]:
    """Names and values that say where the report comes from."""
    made = report.origin
    pairs = [("Date", made.date), ("Data set", made.data), ("Run", report.run), ("Command", made.command or "")]
    return [(name, value) for name, value in pairs if value]


def verdict(report: ExportReport) -> str:
    """Accuracy of both models and of the baseline, drop and gate, in plain words."""
    comparison, gate, baseline = report.comparison, report.gate, report.baseline
    return (
        f"Accuracy {comparison.quantised.accuracy:.2%} in {report.recipe}, {comparison.float32.accuracy:.2%} in "
        f"float32: a drop of {100 * comparison.drop:.2f} points, {100 * gate.max_drop:g} allowed: "
        f"{'passed' if gate.passed else 'FAILED'}. Baseline, always {baseline.label}: {baseline.accuracy:.2%}."
    )


def statistics(report: ExportReport) -> str:
    """How certain the verdict is, in one line."""
    comparison = report.comparison
    low, high = (100 * end for end in comparison.drop_interval)
    return (
        f"95 % interval of the drop {low:.2f} to {high:.2f} points, same prediction for {comparison.agreement:.1%}, "
        f"{comparison.lost} lost and {comparison.gained} gained (McNemar p {comparison.mcnemar_p:.2g}), "
        f"mean KL divergence {comparison.kl_divergence:.2g}"
    )


def ladder_rows(report: ExportReport) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the attempts, in order."""
    rows = []
    for row in report.ladder:
        metrics = [f"{row.accuracy:.2%}", f"{100 * row.drop:.2f}", f"{100 * row.drop_interval[1]:.2f}"]
        outcome = "passed" if row.passed else "; ".join(row.failures)
        rows.append([row.tried, f"{row.bytes:,}", *metrics, f"{row.agreement:.1%}", outcome])
    return ["attempt", "bytes", "accuracy", "drop, points", "at most", "same prediction", "gate"], rows


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
            f"Calibrated with {other.faces} other training faces instead: accuracy {other.accuracy:.2%}, "
            f"same prediction for {other.same_answer:.1%}"
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
        interval = f"{100 * low:+.2f} to {100 * high:+.2f}" if name == "accuracy" else ""
        rows.append([name, str(comparison.n), _percent(before), _percent(after), _points(after - before), interval])
    for name, row in comparison.per_class.items():
        interval = "{:+.1f} to {:+.1f}".format(*(100 * end for end in row.interval)) if row.interval else "-"
        numbers = _percent(row.float32), _percent(row.quantised), _points(row.change)
        rows.append([f"recall {name}", str(row.n), *numbers, interval])
    return ["", "faces", "float32", report.recipe, "change, points", "95 % interval"], rows


def _metrics(figures: Figures) -> dict[str, float]:
    return {
        "accuracy": figures.accuracy,
        "balanced accuracy": figures.balanced_accuracy,
        "macro-F1": figures.macro_f1,
        "calibration error without temperature": figures.calibration_error_before,
        "calibration error": figures.calibration_error,
    }


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _points(change: float | None) -> str:
    return "-" if change is None else f"{100 * change:+.2f}"
