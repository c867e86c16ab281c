"""`export_report.html`: the report as one HTML file with embedded images; no script, no network."""

from collections.abc import Sequence
from html import escape

import cv2

from fer_edge import __version__
from fer_edge.data.faceset import FaceSet
from fer_edge.html.page import as_jpeg, bullets, command_line, data_address, report_page, section, table, tiles
from fer_edge.imaging.images import bgr_of
from fer_edge_export.layer_errors.plot import draw_layers
from fer_edge_export.report.text import (
    calibration_lines,
    comparison_rows,
    headline,
    ladder_rows,
    network_line,
    verdict,
    versions,
)
from fer_edge_export.results import CalibrationReport, Disagreement, ExportReport

SIDE = 88
"""Displayed size of a face, in pixels."""


def as_page(report: ExportReport, evaluation: FaceSet) -> bytes:
    """Format the report as HTML.

    Args:
        report: The report.
        evaluation: The evaluation faces.
    """
    gate, recipe, comparison, calibration = report.gate, report.recipe, report.comparison, report.calibration
    warnings = [*gate.failures, *gate.findings, *(calibration.doubts if calibration else ())]
    sections = [
        section("Warnings", bullets(warnings), "note") if warnings else "",
        section("Accuracy", _comparison(report)),
        section("Layer errors", _layers(report)) if report.layers else "",
        section("Attempts", table(*ladder_rows(report))) if len(report.ladder) > 1 else "",
        section("Calibration", _calibration(calibration)) if calibration else "",
        section(f"Largest disagreements of {recipe} and float32", _faces(report.disagreements, evaluation, recipe)),
        section("Files", _files(report)),
    ]
    key_figures = [
        ("passed" if gate.passed else "FAILED", "accuracy gate"),
        (f"{100 * comparison.drop:.2f}", f"points accuracy drop, {100 * gate.max_drop:g} allowed"),
        (f"{comparison.agreement:.1%}", "agreement with float32"),
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
    note = "Intervals of changes are for matched pairs (Agresti and Min 2005): both models got the same faces."
    return f"<p>{escape(verdict(report))}.</p>{table(head, rows)}<p class='soft'>{note}</p>"


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
    images = []
    for row in rows:
        face = cv2.resize(evaluation.faces[row.row], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        predictions = (("float32", row.float32), (recipe, row.quantised))
        lines = [f"{name}: {prediction.label} {prediction.score:.0%}" for name, prediction in predictions]
        caption = "<br>".join(escape(line) for line in (row.picture, f"label: {row.truth}", *lines))
        address = as_jpeg(bgr_of(face.astype("uint8")))
        images.append(f"<img src='{address}' alt='{escape(row.truth)}'><div>{caption}</div>")
    order = "By the divergence of their probabilities, largest first. Faces of your data: share this file with care."
    return f"<p class='soft'>{order}</p><div class='faces'>{''.join(images)}</div>"


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
