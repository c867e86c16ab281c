"""`report.html`: the demo's results in one self-contained file."""

import string
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from fer_edge import __version__
from fer_edge.demo.pictures import annotated_frames, face_sheet
from fer_edge.demo.results import read_lines, summarise_video
from fer_edge.demo.steps import DemoSettings, Ran
from fer_edge.errors import DataError
from fer_edge.files import read_json, write_text
from fer_edge.html.page import as_jpeg, command_line, data_address, style, table, tiles
from fer_edge.imaging.images import Pixels, shrink_to_width
from fer_edge.labels import EXPRESSIONS

AGAIN = "start the demo again: fer-edge demo"
TEMPLATE = Path(__file__).with_name("report.html")
NEXT = (
    "fer-edge prepare --data photos --out master_data",
    "fer-edge train --data master_data --network edge --name mine",
    "fer-edge export runs/train/mine",
    "fer-edge run --model runs/train/mine/export/model_int8.tflite --source 0",
)
FIGURES = (("accuracy", "accuracy"), ("balanced_accuracy", "balanced accuracy"), ("macro_f1", "macro-F1"))


def write_report(settings: DemoSettings, ran: list[Ran], seconds: float) -> Path:
    """Write `report.html` to the demo's folder, from the files that the commands wrote there.

    Args:
        settings: Settings of the demo.
        ran: The commands.
        seconds: Total time, including the drawing.

    Raises:
        DataError: One of those files is missing or damaged.
    """
    prepared = read_json(settings.out / "prepare.json", AGAIN)
    page = string.Template(TEMPLATE.read_text()).substitute(
        style=style(),
        minutes=duration(seconds),
        drawn=f"{prepared['total']:,}",
        tiles=_tiles(settings, seconds),
        hero=_frames(annotated_frames(settings.out / "annotated", 6)[::2]),
        drawings_note=_drawings_note(settings),
        sections="\n".join(_section(number, done, settings) for number, done in enumerate(ran, start=1)),
        next_commands="\n".join(map(command_line, NEXT)),
        footer=_footer(settings),
    )
    path = settings.out / "report.html"
    write_text(path, page)
    return path


def duration(seconds: float) -> str:
    """Format a duration.

    >>> duration(0.42), duration(42.4), duration(187)
    ('0.4 s', '42 s', '3:07 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return f"{minutes}:{rest:02} min"
    return f"{rest} s" if seconds >= 10 else f"{seconds:.1f} s"


def _tiles(settings: DemoSettings, seconds: float) -> str:
    export, benchmark = _export(settings), read_json(settings.out / "benchmark.json", AGAIN)
    comparison, ms = export["comparison"], benchmark["ms"]
    kilobytes = {recipe: f"{file['bytes'] / 1000:,.0f} KB" for recipe, file in export["files"].items()}
    figures = [
        (f"{comparison['int8']['accuracy']:.1%}", f"accuracy on {comparison['n']} held-out drawings, int8"),
        (f"{100 * comparison['drop']:.1f} pt", "accuracy drop of int8"),
        (kilobytes["int8"], f"model, float: {kilobytes['float32']}"),
        (_ms(ms["classify"]), "to classify the faces of one frame, median"),
        (duration(seconds), "total time"),
    ]
    return tiles(figures)


def _section(number: int, done: Ran, settings: DemoSettings) -> str:
    step = done.step
    body: Callable[[DemoSettings], str] | None = BODIES.get(step.name)
    content = body(settings) if body else _photo(settings.out / step.name, settings.out / f"{step.name}.jsonl")
    return (
        f"<section><header><span class='number'>{number}</span><h2>{escape(step.title)}</h2>"
        f"<span class='time'>{duration(done.seconds)}</span></header><p>{escape(step.why)}</p>"
        f"{command_line(step.command)}{content}</section>"
    )


def _prepared(settings: DemoSettings) -> str:
    faces = read_json(settings.out / "prepare.json", AGAIN)["faces"]
    rows = [[split, *(f"{n:,}" for n in counts.values())] for split, counts in faces.items()]
    sheet = as_jpeg(face_sheet(settings.out / "drawn"))
    picture = f"<img src='{sheet}' alt='Drawn faces, one expression per row: {', '.join(EXPRESSIONS)}'>"
    return picture + f"<p class='soft'>Row by row: {', '.join(EXPRESSIONS)}.</p>" + table(["", *EXPRESSIONS], rows)


def _trained(settings: DemoSettings) -> str:
    metrics, config = read_json(settings.run / "metrics.json", AGAIN), read_json(settings.run / "config.json", AGAIN)
    text = (
        f"{config['network']['parameters']:,} parameters. The best of {metrics['epochs']} epochs was "
        f"number {metrics['best_epoch']}, with {metrics['validation']['accuracy']:.1%} of "
        f"{metrics['validation']['n']} validation faces correct."
    )
    return f"<p>{text}</p>{_plot(settings.run / 'history.png', 'Loss and accuracy over the epochs')}"


def _evaluated(settings: DemoSettings) -> str:
    figures = read_json(settings.out / "evaluate.json", AGAIN)
    plot = _plot(settings.out / "evaluate" / "drawn" / "confusion_matrix.png", "Confusion matrix", "narrow")
    text = f"{figures['accuracy']:.1%} of {figures['n']} faces; macro-F1 {figures['macro_f1']:.3f}."
    return f"<p>{text}</p>{plot}"


def _exported(settings: DemoSettings) -> str:
    report = _export(settings)
    comparison = report["comparison"]
    before, after = comparison["float32"], comparison["int8"]
    rows = [
        [name, f"{before[key]:.1%}", f"{after[key]:.1%}", f"{100 * (after[key] - before[key]):+.1f} pt"]
        for key, name in FIGURES
    ]
    rows += [
        [f"recall {name}", _share(row["float32"]), _share(row["int8"]), _points(row["change"])]
        for name, row in comparison["per_class"].items()
    ]
    passed = "passed" if report["gate"]["passed"] else "failed"
    text = (
        f"The gate {passed}: accuracy dropped by {100 * comparison['drop']:.1f} points, the limit is "
        f"{100 * report['gate']['max_drop']:g}. Both models predict the same class for {comparison['agreement']:.1%} "
        f"of {comparison['n']} faces. Calibrated with {report['calibration']['faces']} training faces."
    )
    return f"<p>{text}</p>{table(['', 'float32', 'int8', 'change'], rows)}"


def _self_tested(settings: DemoSettings) -> str:
    selftest = read_json(settings.out / "selftest.json", AGAIN)
    rows = [
        [stage["name"], f"{stage['worst']:.4g}", f"{stage['allowed']:.4g}", "passed" if stage["passed"] else "failed"]
        for stage in selftest["stages"]
    ]
    text = f"{selftest['frames']} faces; the largest difference from the reference output:"
    return f"<p>{text}</p>{table(['stage', 'difference', 'allowed', ''], rows)}"


def _benchmarked(settings: DemoSettings) -> str:
    report = read_json(settings.out / "benchmark.json", AGAIN)
    names = {"classify": f"classify ({report['model']['recipe']})", "classify_float": "classify (float32)"}
    percentiles = ("p50", "p90", "p99")
    rows = [
        [names.get(stage, stage), str(row["n"]), *(f"{row[key]:.2f}" for key in percentiles)]
        for stage, row in report["ms"].items()
        if row["n"]
    ]
    machine = report["machine"]
    text = (
        f"{machine['board'] or machine['cpu']}, {machine['cores']} cores, {report['threads']} thread(s); "
        f"peak memory {report['memory_mb']:g} MB. Other processes on this machine increase these times."
    )
    return table(["ms per frame", "n", *percentiles], rows) + f"<p class='soft'>{escape(text)}</p>"


def _video(settings: DemoSettings) -> str:
    video = summarise_video(read_lines(settings.out / "clip.jsonl"), read_lines(settings.out / "clip_drawn.jsonl"))
    text = (
        f"{video.frames} frames show {video.drawn} faces. The bundled detector, trained on photos, found "
        f"{video.found}; of these, the model classified {video.right} correctly, and {video.uncertain} as uncertain. "
        "During a transition between two expressions, a face shows neither."
    )
    return f"<p>{escape(text)}</p>{_frames(annotated_frames(settings.out / 'annotated', 6))}"


def _photo(folder: Path, answers: Path) -> str:
    lines = read_lines(answers)
    faces = [face for line in lines for face in line["faces"]]
    if not faces:
        return "<p>No face detected.</p>"
    rows = [[face["label"], f"{face['score']:.0%}"] for face in faces]
    picture = as_jpeg(shrink_to_width(annotated_frames(folder, 1)[0], 960))
    return f"<img src='{picture}' alt='The photo with its faces marked'>{table(['expression', 'score'], rows)}"


def _drawings_note(settings: DemoSettings) -> str:
    photos = "" if settings.photos else " To see it, give the demo your own photo: --photo FILE."
    return (
        "The faces are made of curves that move by the Facial Action Coding System: a brow that rises, a corner of the "
        "mouth that drops. A network that classifies them has learnt nothing about people: its accuracy only shows "
        f"that the tools work. The bundled model was trained on photos.{photos}"
    )


def _footer(settings: DemoSettings) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in _export(settings)["made_with"].items())
    return escape(f"fer-edge {__version__}; {versions}. All files: {settings.out}")


def _export(settings: DemoSettings) -> dict[str, Any]:
    report: dict[str, Any] = read_json(settings.run / "export" / "export_report.json", AGAIN)
    return report


def _frames(frames: Iterable[Pixels]) -> str:
    pictures = "".join(
        f"<img src='{as_jpeg(frame)}' alt='A frame of the video with its faces marked'>" for frame in frames
    )
    return f"<div class='frames'>{pictures}</div>"


def _plot(path: Path, alt: str, kind: str = "") -> str:
    try:
        address = data_address(path.read_bytes(), "image/png")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {AGAIN}") from error
    return f"<img class='plot {kind}' src='{address}' alt='{escape(alt)}'>"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} pt"


def _ms(row: dict[str, float]) -> str:
    return f"{row['p50']:.1f} ms" if "p50" in row else "-"


BODIES: dict[str, Callable[[DemoSettings], str]] = {
    "prepare": _prepared,
    "train": _trained,
    "evaluate": _evaluated,
    "export": _exported,
    "selftest": _self_tested,
    "benchmark": _benchmarked,
    "run": _video,
}
"""Content of each command's section."""
