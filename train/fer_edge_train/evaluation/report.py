"""Report of an evaluation: a table in the terminal, and a page with pictures beside `metrics.json`."""

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from fer_edge import __version__
from fer_edge.console import console
from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import proportion_interval
from fer_edge.files import write_bytes, write_json
from fer_edge.html.glossary import glossary
from fer_edge.html.page import data_address, details, face_grid, report_page, section, table, tiles
from fer_edge_train.runs.plots import draw_confusion

TERMS = (
    "accuracy", "95 % interval", "baseline", "balanced accuracy", "recall", "macro-F1", "calibration error",
)  # fmt: skip
"""Terms of the page that the glossary explains."""


def write_evaluation(folder: Path, figures: dict[str, Any], faces: FaceSet) -> None:
    """Write metrics.json, confusion_matrix.png and report.html to `folder`.

    Args:
        folder: The evaluation folder.
        figures: Metrics of `fer_edge_train.evaluation.evaluate.evaluate`, with `data`, `date` and `command`.
        faces: The faces that they are of.
    """
    write_json(folder / "metrics.json", figures)
    title = f"{Path(figures['model']).name} on {figures['data']}, {figures['split']}"
    matrix = folder / "confusion_matrix.png"
    draw_confusion(matrix, np.array(figures["confusion"]), figures["classes"], title)
    write_bytes(folder / "report.html", _page(title, figures, faces, matrix))


def show(figures: dict[str, Any], folder: Path) -> None:
    """Print the metrics and the folder they were written to."""
    head, rows = _recalls(figures)
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    console.print(f"{_headline(figures)}: {_verdict(figures)}")
    for line in _caveats(figures):
        console.print(line)
    console.print(f"wrote {folder}; the report with pictures: {folder / 'report.html'}")


def _page(title: str, figures: dict[str, Any], faces: FaceSet, matrix: Path) -> bytes:
    head, rows = _recalls(figures)
    caveats = "".join(f"<p>{line}</p>" for line in _caveats(figures))
    picture = f"<img class='plot narrow' src='{data_address(matrix.read_bytes(), 'image/png')}' alt='Confusion matrix'>"
    sections = [
        section(
            "Accuracy",
            f"<p>{escape(_verdict(figures))}</p>{caveats}{table(head, rows)}"
            "<p class='soft'>Intervals: Wilson 1927. <a href='#terms'>What these terms mean</a></p>",
        ),
        section("Confusion matrix", picture),
        section("Most confident mistakes", _mistakes(figures, faces)) if figures["mistakes"] else "",
        section("Origin", details(_origin(figures))),
        section("Terms", glossary(TERMS)),
    ]
    baseline = figures["baseline"]
    above = figures["accuracy_interval"][0] > baseline["accuracy"]
    key_figures = [
        (f"{figures['accuracy']:.2%}", f"accuracy, {_interval(figures['accuracy_interval'])}"),
        (f"{figures['balanced_accuracy']:.2%}", "balanced accuracy"),
        (f"{baseline['accuracy']:.2%}", f"baseline: always {baseline['label']}", "passed" if above else "failed"),
        (f"{figures['n']:,}", "faces"),
    ]
    return report_page(title, _headline(figures), tiles(key_figures), sections, f"fer-edge {__version__}")


def _headline(figures: dict[str, Any]) -> str:
    return f"{figures['split']}, {figures['n']:,} faces ({figures['protocol']})"


def _verdict(figures: dict[str, Any]) -> str:
    baseline = figures["baseline"]
    return (
        f"accuracy {figures['accuracy']:.2%} (95 % interval {_interval(figures['accuracy_interval'])}; always "
        f"{baseline['label']}: {baseline['accuracy']:.2%}), balanced {figures['balanced_accuracy']:.2%}, "
        f"macro-F1 {figures['macro_f1']:.2%}, calibration error {figures['calibration_error']:.2%}"
    )


def _caveats(figures: dict[str, Any]) -> list[str]:
    lines = []
    if figures["trained_on"] is not None:
        lines.append(
            f"of these {figures['n']:,} faces, {figures['trained_on']:,} were used for training "
            f"and {figures['chosen_on']:,} for choosing the best epoch"
        )
    if "others" in figures:
        others = figures["others"]
        lines.append(
            f"on the {others['n']:,} faces not used for training: accuracy {others['accuracy']:.2%}, "
            f"balanced {others['balanced_accuracy']:.2%}"
        )
    return lines


def _recalls(figures: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the recall per class."""
    rows = []
    for name, row in figures["per_class"].items():
        n = row["n"]
        interval = proportion_interval(row["recall"] * n, n) if n else None
        rows.append(
            [name, f"{n:,}", f"{row['recall']:.1%}", _interval(interval)] if interval else [name, "0", "-", "-"]
        )
    return ["class", "faces", "recall", "95 % interval"], rows


def _interval(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}%"


def _mistakes(figures: dict[str, Any], faces: FaceSet) -> str:
    captions = (
        (
            faces.faces[one["row"]],
            (f"label: {one['label']}", f"predicted: {one['prediction']} {one['score']:.0%}", one["picture"]),
        )
        for one in figures["mistakes"]
    )
    note = "Wrong labels stand here too. Faces of your data: share this file with care."
    return f"<p class='soft'>{note}</p>{face_grid(captions)}"


def _origin(figures: dict[str, Any]) -> list[tuple[str, str]]:
    names = {"Date": "date", "Data set": "data", "Model": "model", "Command": "command"}
    return [(name, figures[key]) for name, key in names.items()]
