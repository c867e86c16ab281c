"""`export_report.html`: the report as one HTML file with embedded images; no script, no network."""

from collections.abc import Sequence
from html import escape

from fer_edge import __version__
from fer_edge.data.faceset import FaceSet
from fer_edge.html.glossary import glossary
from fer_edge.html.page import (
    bullets,
    command_line,
    data_address,
    details,
    face_grid,
    report_page,
    section,
    table,
    tiles,
)
from fer_edge_export.layer_errors.plot import draw_layers
from fer_edge_export.report.text import (
    calibration_lines,
    comparison_rows,
    headline,
    ladder_rows,
    network_line,
    origin,
    statistics,
    verdict,
    versions,
)
from fer_edge_export.results import CalibrationReport, Disagreement, ExportReport

TERMS = (
    "accuracy", "points", "95 % interval", "baseline", "balanced accuracy", "recall", "macro-F1", "calibration error",
    "temperature", "McNemar p", "KL divergence",
)  # fmt: skip
"""Terms of this page that the glossary explains."""


def as_page(report: ExportReport, evaluation: FaceSet) -> bytes:
    """Format the report as HTML.

    Args:
        report: The report.
        evaluation: The evaluation faces.
    """
    gate, recipe, comparison, calibration = report.gate, report.recipe, report.comparison, report.calibration
    warnings = [*gate.failures, *gate.findings, *(calibration.doubts if calibration else ())]
    sections = [
        section("Try", bullets(report.remedies), "note") if report.remedies else "",
        section("Warnings", bullets(warnings), "note") if warnings else "",
        section("Accuracy", _comparison(report)),
        section("Layer errors", _layers(report)) if report.layers else "",
        section("Attempts", _attempts(report)) if len(report.ladder) > 1 else "",
        section("Calibration", _calibration(calibration)) if calibration else "",
        section(f"Largest disagreements of {recipe} and float32", _faces(report.disagreements, evaluation, recipe)),
        section("Origin", details(origin(report))),
        section("Files", _files(report)),
        section("Terms", glossary(TERMS)),
    ]
    key_figures = [
        ("passed", "accuracy gate", "passed") if gate.passed else ("FAILED", "accuracy gate", "failed"),
        (f"{comparison.quantised.accuracy:.2%}", f"accuracy in {recipe}"),
        (f"{comparison.float32.accuracy:.2%}", "accuracy in float32"),
        (f"{100 * comparison.drop:.2f}", f"points lost, {100 * gate.max_drop:g} allowed"),
        (f"{report.baseline.accuracy:.2%}", f"baseline: always {report.baseline.label}"),
        (f"{report.files[recipe].bytes / 1000:,.0f} KB", f"{recipe} model"),
        (f"{report.files['float32'].bytes / 1000:,.0f} KB", "float32 model"),
    ]
    return report_page(
        f"Export of {report.network.name} to {recipe}",
        headline(report),
        tiles(key_figures),
        sections,
        f"fer-edge {__version__}, made with {versions(report)}",
    )


def _comparison(report: ExportReport) -> str:
    head, rows = comparison_rows(report)
    note = f"{statistics(report)}. Intervals of changes are for matched pairs (Agresti and Min 2005)."
    return (
        f"<p>{escape(verdict(report))}</p>{table(head, rows)}"
        f"<p class='soft'>{escape(note)} <a href='#terms'>What these terms mean</a></p>"
    )


def _attempts(report: ExportReport) -> str:
    return "<p>Recipes tried in turn until one passes; the last one was exported.</p>" + table(*ladder_rows(report))


def _layers(report: ExportReport) -> str:
    picture = draw_layers(report.layers)
    image = f"<img class='plot' src='{data_address(picture, 'image/png')}' alt='Error of each layer'>"
    advice = f"<p>{escape(report.worst_layer or '')}</p>{bullets(report.advice)}"
    how = (
        "For each layer, its own error on already rounded inputs is added to the float network; the bar is the change "
        "of the outputs, relative to their spread over the faces."
    )
    return f"{advice}{image}<p class='soft'>{how}</p>"


def _calibration(calibration: CalibrationReport) -> str:
    tried = calibration.choice.tried if calibration.choice else ()
    cells = [[str(row.faces), row.rule, f"{row.kl_divergence:.2g}"] for row in tried]
    rows = table(["training faces", "rule", "mean KL divergence from float32"], cells) if cells else ""
    return bullets(calibration_lines(calibration)) + rows


def _faces(rows: Sequence[Disagreement], evaluation: FaceSet, recipe: str) -> str:
    changed = sum(row.float32.label != row.quantised.label for row in rows)
    order = (
        f"{changed} of these {len(rows)} predictions changed, and stand first; then by KL divergence, largest first. "
        "Faces of your data: share this file with care."
    )
    grid = face_grid((evaluation.faces[row.row], _caption(row, recipe)) for row in rows)
    return f"<p class='soft'>{order}</p>{grid}"


def _caption(row: Disagreement, recipe: str) -> list[str]:
    predictions = (("float32", row.float32), (recipe, row.quantised))
    lines = [f"{name}: {prediction.label} {prediction.score:.0%}" for name, prediction in predictions]
    return [f"label: {row.truth}", *lines, row.picture]


def _files(report: ExportReport) -> str:
    lines = [
        network_line(report),
        f"Weights: {report.weights} of {report.run}",
        *([] if report.calibration else calibration_lines(None)),
        f"Temperature {report.temperature:g}, uncertain below {report.uncertain_below:g}",
    ]
    files = [[file.name, f"{file.bytes:,}", file.sha256] for file in report.files.values()]
    return (
        bullets(lines)
        + table(["file", "bytes", "sha256"], files)
        + command_line(f"fer-edge selftest {report.files[report.recipe].name}")
    )
