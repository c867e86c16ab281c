"""`export_report.html`: the proof to look at, in one file with its pictures inside; no script, no network."""

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
"""Of a face that is shown, in pixels."""


def as_page(report: ExportReport, judged: FaceSet) -> bytes:
    """Write the report of an expression model as a page.

    Args:
        report: What the export found out.
        judged: The faces that both models were compared on.
    """
    gate, recipe, comparison, calibration = report.gate, report.recipe, report.comparison, report.calibration
    read_first = [*gate.failures, *gate.findings, *(calibration.doubts if calibration else ())]
    sections = [
        section("Read this first", bullets(read_first), "note") if read_first else "",
        section("What it cost", _comparison(report)),
        section("Where it hurts", _layers(report)) if report.layers else "",
        section("What was tried", table(*ladder_rows(report))) if len(report.ladder) > 1 else "",
        section("How it was calibrated", _calibration(calibration)) if calibration else "",
        section(f"Where {recipe} and float32 disagree most", _faces(report.disagreements, judged, recipe)),
        section("What was made", _made(report)),
    ]
    figures = [
        ("passed" if gate.passed else "FAILED", "the gate"),
        (f"{100 * comparison.drop:.2f}", f"points of accuracy lost, at most {100 * gate.max_drop:g} allowed"),
        (f"{comparison.agreement:.1%}", "same answer as float32"),
        (f"{report.files[recipe].bytes / 1000:,.0f} KB", f"{recipe} model"),
        (f"{report.files['float32'].bytes / 1000:,.0f} KB", "float32 model"),
    ]
    return report_page(
        f"Export of {report.network.name} to {recipe}",
        headline(report),
        tiles(figures),
        sections,
        f"fer-edge {__version__}, made with {versions(report)}",
    )


def _comparison(report: ExportReport) -> str:
    head, rows = comparison_rows(report)
    note = "The interval of a change is that of matched pairs (Agresti and Min 2005): both models saw the same faces."
    return f"<p>{escape(verdict(report))}.</p>{table(head, rows)}<p class='soft'>{note}</p>"


def _layers(report: ExportReport) -> str:
    picture = draw_layers(report.layers)
    image = f"<img class='plot' src='{data_address(picture, 'image/png')}' alt='Error of each layer'>"
    told = f"<p>{escape(report.worst_layer or '')}</p>{bullets(report.advice)}"
    how = (
        "For each layer its own error alone, what it gets wrong of inputs that are rounded already, is put into the "
        "float network; how far that moves the answers, over how far they spread from face to face, is its bar."
    )
    return f"{told}{image}<p class='soft'>{how}</p>"


def _calibration(calibration: CalibrationReport) -> str:
    tried = calibration.choice.tried if calibration.choice else ()
    cells = [[str(row.faces), row.rule, f"{row.kl_divergence:.2g}"] for row in tried]
    rows = table(["training faces", "rule", "mean KL divergence from float32"], cells) if cells else ""
    return bullets(calibration_lines(calibration)) + rows


def _faces(rows: Sequence[Disagreement], judged: FaceSet, recipe: str) -> str:
    shown = []
    for row in rows:
        face = cv2.resize(judged.faces[row.row], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        answers = (("float32", row.float32), (recipe, row.quantised))
        said = [f"{name}: {answer.label} {answer.score:.0%}" for name, answer in answers]
        told = "<br>".join(escape(line) for line in (row.picture, f"label: {row.truth}", *said))
        address = as_jpeg(bgr_of(face.astype("uint8")))
        shown.append(f"<img src='{address}' alt='{escape(row.truth)}'><div>{told}</div>")
    order = "By the divergence of their probabilities, the largest first. Faces of your data: mind whom you show them."
    return f"<p class='soft'>{order}</p><div class='faces'>{''.join(shown)}</div>"


def _made(report: ExportReport) -> str:
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
