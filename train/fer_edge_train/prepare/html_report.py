"""`report.html`: a data set report as one self-contained file, without scripts or external resources."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np

from fer_edge import __version__
from fer_edge.files import write_bytes
from fer_edge.html.page import bullets, data_address, report_page, section, table, tiles
from fer_edge.imaging.images import Pixels, bgr_of, encode_picture
from fer_edge_train.data.leaks import KINDS, NEAR_BITS, TITLES
from fer_edge_train.data.table import Skipped
from fer_edge_train.prepare.kept_faces import KeptFaces
from fer_edge_train.prepare.leak_sheet import PER_KIND, DrawnPair, leak_sheet
from fer_edge_train.prepare.report import (
    FEW_EVALUATED,
    FEW_TRAINING,
    Histogram,
    Report,
    evaluation_split,
    uncertainty,
    warnings_of,
)

SAMPLES = 12
"""Sample faces per class."""
SAMPLE_SIDE = 72
"""Side of a sample, in pixels."""
EXAMPLES = 3
"""Example rows per reason for skipping."""
REASONS = 40
"""Reasons for skipping that are listed, most frequent first."""
PAIRS = 25
"""Pairs listed per kind of leak."""
WIDTH, HEIGHT, TALLEST = 260, 110, 90
"""Of a histogram and its tallest bar, in SVG units."""

FaceOf = Callable[[int], Pixels]
"""Returns the face of a row of `KeptFaces` as (side, side) uint8 grey, or (side, side, 3) uint8 RGB."""

AXES = {
    "side": "Longer side of the face box in pixels",
    "brightness": "Mean brightness of a face, 0 to 255",
    "confidence": "Box confidence given by the data set",
}


def write_page(path: Path, report: Report, kept: KeptFaces, face_of: FaceOf, sheet: Path | None = None) -> None:
    """Write the page to `path` (.html).

    Args:
        path: Output file.
        report: The report.
        kept: The faces of the report.
        face_of: Returns the face of a row.
        sheet: Additional output file (.png) for the contact sheet of leaks; None: only in the page.

    Raises:
        FerEdgeError: A file cannot be written.
    """
    leaks = _leak_sheet(report, kept, face_of)
    if sheet and leaks:
        write_bytes(sheet, leaks)
    name = str(report.source["name"])
    sections = [
        section("Warnings", bullets(warnings_of(report)), "note") if warnings_of(report) else "",
        section("Faces per class and split", _classes(report)),
        section("Leaks", _leaks(report, leaks)),
        section("Samples", _samples(report, kept, face_of)),
        section("Sizes, brightness, confidence", _histograms(report)),
        section("Skipped", _skipped(report)),
    ]
    footer = f"fer-edge {__version__}. Digest of the data: {report.source.get('digest', 'unknown')}"
    write_bytes(path, report_page(f"Data set {name}", _subtitle(report), _tiles(report), sections, footer))


def kind_of_reason(reason: str) -> str:
    """Replace names and numbers in a reason by placeholders, so that equal reasons can be counted.

    >>> kind_of_reason("my data/images/a 1.jpg: the file is empty")
    'the file is empty'
    >>> kind_of_reason("images/a.jpg is listed already, with the same label, in line 7")
    '… is listed already, with the same label, in line #'
    """
    reason = re.sub(r"^.*\.\w{2,5}: ", "", reason)
    reason = re.sub(r"^\S+(?= is listed| has contra|, box)", "…", reason)
    reason = re.sub(r"'[^']*'|\([^)]*\)", "…", reason)
    return re.sub(r"(?<!UTF-)(\d[\d.,]*\d|\d)", "#", reason)


def _subtitle(report: Report) -> str:
    settings = report.source.get("settings", {})
    group = settings.get("group", "photo")
    own = report.source.get("split") == "own"
    how = (
        "the data set's own splits" if own else f"split by fer-edge, {group} by {group}, seed {settings.get('seed', 0)}"
    )
    return f"{report.source['format']}; {how}; licence: {report.source.get('licence', 'unknown')}"


def _tiles(report: Report) -> str:
    classes = sum(any(counts[name] for counts in report.faces.values()) for name in _names(report))
    held = sum(count for split, count in report.split_sizes.items() if split != "training")
    figures = [(f"{report.total:,}", "faces"), (str(classes), "classes with faces"), (f"{held:,}", "held out")]
    figures += (
        [(f"{max(leak.total for leak in report.leaks):,}", "or more held-out faces leak")] if report.leaks else []
    )
    figures += [(f"{len(report.skipped_rows) + report.dropped:,}", "rows skipped")]
    return tiles(figures)


def _names(report: Report) -> list[str]:
    return list(next(iter(report.faces.values()), {}))


def _classes(report: Report) -> str:
    """Table of faces per class and split, with bars and the uncertainty of the recall."""
    evaluated = evaluation_split(report.faces)
    totals = {name: sum(counts[name] for counts in report.faces.values()) for name in _names(report)}
    most = max(totals.values(), default=0) or 1
    head = ["class", "", *report.faces, "all", *([f"recall, {evaluated}"] if evaluated else [])]
    rows = []
    for name, total in totals.items():
        parts = [(split, counts[name]) for split, counts in report.faces.items()]
        bar = "".join(f"<i class='{split}' style='width:{100 * n / most:.2f}%'></i>" for split, n in parts if n)
        n = report.faces[evaluated][name] if evaluated else 0
        margin = f"±{uncertainty(n):.0f} points" if n else "unknown"
        few = (evaluated and n < FEW_EVALUATED) or report.faces.get("training", {}).get(
            name, FEW_TRAINING
        ) < FEW_TRAINING
        cells = [f"{count:,}" for _, count in parts] + [f"{total:,}"] + ([margin] if evaluated else [])
        figures = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(
            f"<tr class='{'few' * bool(few)}'><td>{escape(name)}</td>"
            f"<td><div class='bar'>{bar}</div></td>{figures}</tr>"
        )
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    key = "".join(f"<i class='{split}'></i>{split}" for split in report.faces)
    meaning = (
        f"Recall: half width of its 95 % confidence interval on the {evaluated} faces, at a recall of 50 %. "
        f"Marked: fewer than {FEW_EVALUATED} faces for {evaluated} or {FEW_TRAINING} for training."
        if evaluated
        else "No face is held out: a network cannot be evaluated."
    )
    return (
        f"<div class='wide'><table><tr>{heading}</tr>{''.join(rows)}</table></div>"
        f"<p class='soft key'>{key}</p><p class='soft'>{escape(meaning)}</p>"
    )


def _leak_sheet(report: Report, kept: KeptFaces, face_of: FaceOf) -> bytes | None:
    """Draw the first pairs of each kind."""
    kinds = {}
    for leak in report.leaks:
        pairs = [
            DrawnPair(
                face_of(pair.earlier),
                face_of(pair.later),
                (
                    f"{kept.split[pair.earlier]}:",
                    str(kept.names[pair.earlier]),
                    f"{kept.split[pair.later]}:",
                    str(kept.names[pair.later]),
                    f"{pair.bits} of 256 bits differ",
                ),
            )
            for pair in leak.listed[:PER_KIND]
        ]
        kinds[f"{TITLES[leak.kind]}: {len(pairs)} of {leak.pairs:,} pairs"] = pairs
    return leak_sheet(kinds) if kinds else None


def _leaks(report: Report, sheet: bytes | None) -> str:
    limit = f"Nearly equal: at most {NEAR_BITS} of the 256 bits of two faces' perceptual hashes (dhash) differ."
    if not sheet:
        none = "No duplicates, near-duplicates, photos or persons in several splits."
        return f"<p>{none}</p><p class='soft'>{limit}</p>"
    rows = [
        [KINDS[leak.kind], f"{leak.pairs:,}", *(f"{leak.faces.get(split, 0):,}" for split in ("validation", "testing"))]
        for leak in report.leaks
    ]
    counts = table(["related face in an earlier split", "pairs", "validation faces", "testing faces"], rows)
    image = f"<img class='plot' src='{data_address(sheet, 'image/png')}' alt='Pairs of faces from different splits'>"
    named = "".join(
        f"<h3>{escape(TITLES[leak.kind])}</h3>"
        + _pairs(
            [f"{p['earlier_split']}: {p['earlier']}", f"{p['later_split']}: {p['later']}", str(p["bits"])]
            for p in listed
        )
        for leak, listed in ((leak, listed[:PAIRS]) for leak, listed in zip(report.leaks, report.pairs, strict=True))
    )
    details = f"<details><summary>The first pairs by name</summary>{named}</details>"
    return f"{counts}<p class='soft'>{limit}</p>{image}{details}"


def _pairs(rows: Iterable[list[str]]) -> str:
    lines = "".join(
        f"<tr>{''.join(f'<td class=name>{escape(cell)}</td>' for cell in row[:-1])}<td>{escape(row[-1])}</td></tr>"
        for row in rows
    )
    return f"<table><tr><th class=name>earlier</th><th class=name>later</th><th>bits</th></tr>{lines}</table>"


def _samples(report: Report, kept: KeptFaces, face_of: FaceOf) -> str:
    """Sample faces of each class, drawn at random with a fixed seed."""
    rng = np.random.default_rng(0)
    sheets = []
    for name in _names(report):
        rows = rng.permutation(np.flatnonzero(kept.labels == name))[:SAMPLES]
        if len(rows):
            faces = [
                cv2.resize(face_of(int(row)), (SAMPLE_SIDE, SAMPLE_SIDE), interpolation=cv2.INTER_AREA) for row in rows
            ]
            address = data_address(encode_picture(bgr_of(np.hstack(faces).astype(np.uint8)), ".jpg"), "image/jpeg")
            sheets.append(
                f"<h3>{escape(name)}</h3><img class='sheet' src='{address}' alt='{len(rows)} faces of {escape(name)}'>"
            )
    return "".join(sheets)


def _histograms(report: Report) -> str:
    drawn = (_histogram(report.histograms[name], text) for name, text in AXES.items() if name in report.histograms)
    return f"<div class='histograms'>{''.join(drawn)}</div>"


def _histogram(histogram: Histogram, caption: str) -> str:
    """Draw a histogram whose bins are equally wide, whatever their edges."""
    most, step = max([*histogram.counts, 1]), WIDTH / len(histogram.counts)
    bars = "".join(
        f"<rect x='{i * step:.1f}' y='{HEIGHT - TALLEST * n / most:.1f}' width='{step - 1:.1f}' "
        f"height='{TALLEST * n / most:.1f}'><title>{low:g} to {high:g}: {n:,}</title></rect>"
        for i, (n, low, high) in enumerate(zip(histogram.counts, histogram.edges, histogram.edges[1:], strict=False))
    )
    every = max(1, len(histogram.edges) // 7)
    labels = "".join(
        f"<text x='{i * step:.1f}' y='{HEIGHT + 12}' text-anchor='{'start' if i == 0 else 'middle'}'>{edge:g}</text>"
        for i, edge in enumerate(histogram.edges[:-1])
        if i % every == 0
    )
    top = f"<text x='{WIDTH}' y='10' text-anchor='end'>highest: {most:,} faces</text>"
    svg = (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT + 16}' role='img' aria-label='{escape(caption)}'>{bars}{labels}{top}</svg>"
    )
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _skipped(report: Report) -> str:
    """List the skipped rows by reason, contradictory ones first."""
    parts = []
    if report.dropped:
        limit = report.source["settings"]["min_confidence"]
        parts.append(f"<p>{report.dropped:,} faces below --min-box-confidence {limit:g}.</p>")
    for kind in ("contradictory", "unusable", "repeated"):
        rows = [row for row in report.skipped_rows if row.kind == kind]
        if rows:
            parts.append(f"<h3>{kind}: {len(rows):,}</h3>{_reasons(rows)}")
    if report.skipped_rows:
        parts.append("<p class='soft'>Full list: report.json.</p>")
    return "".join(parts) or "<p>None.</p>"


def _reasons(rows: list[Skipped]) -> str:
    kinds = [kind_of_reason(row.reason) for row in rows]
    examples: dict[str, list[Skipped]] = {}
    for kind, row in zip(kinds, rows, strict=True):
        examples.setdefault(kind, []).append(row)
    lines = "".join(
        f"<li>{escape(kind)}: <b>{count:,}</b>"
        f"{bullets(f'{row.origin}: {row.reason}' for row in examples[kind][:EXAMPLES])}</li>"
        for kind, count in Counter(kinds).most_common(REASONS)
    )
    return f"<ul>{lines}</ul>"
