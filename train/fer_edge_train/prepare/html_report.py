"""`report.html`: a data set to look at, in one file with its pictures inside; no script, no network."""

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
    FEW_JUDGED,
    FEW_LEARNT,
    Histogram,
    Report,
    judged_split,
    uncertainty,
    warnings_of,
)

SAMPLES = 12
"""Faces of each class that are shown."""
SAMPLE_SIDE = 72
"""Side of each, in pixels."""
EXAMPLES = 3
"""Rows left out that stand as examples of their reason."""
REASONS = 40
"""Reasons for leaving rows out that the page lists, most frequent first."""
PAIRS = 25
"""Pairs of each kind of leak that the page names."""
WIDTH, HEIGHT, TALLEST = 260, 110, 90
"""Of a histogram and its tallest bar, in units of the drawing."""

FaceOf = Callable[[int], Pixels]
"""Gives the face of a row of `KeptFaces` as (side, side) uint8 grey, or (side, side, 3) uint8 RGB."""

AXES = {
    "side": "Longer side of the face box, in pixels of its picture",
    "brightness": "Mean grey value of a face, 0 black to 255 white",
    "confidence": "Confidence that the data set states",
}


def write_page(path: Path, report: Report, kept: KeptFaces, face_of: FaceOf, sheet: Path | None = None) -> None:
    """Write the page to `path` (.html).

    Args:
        path: Where to.
        report: What it says.
        kept: The faces that the report is of.
        face_of: Gives the face of a row.
        sheet: Where the picture sheet of leaks goes as a file (.png), too; None: into the page only.

    Raises:
        FerEdgeError: A file cannot be written.
    """
    leaks = _leak_sheet(report, kept, face_of)
    if sheet and leaks:
        write_bytes(sheet, leaks)
    name = str(report.source["name"])
    sections = [
        section("Read this first", bullets(warnings_of(report)), "note") if warnings_of(report) else "",
        section("Faces per class and split", _classes(report)),
        section("Leaks", _leaks(report, leaks)),
        section("Samples", _samples(report, kept, face_of)),
        section("Sizes, brightness, confidence", _histograms(report)),
        section("Left out", _left_out(report)),
    ]
    footer = f"fer-edge {__version__}. Digest of the data: {report.source.get('digest', 'unknown')}"
    write_bytes(path, report_page(f"What is in {name}", _subtitle(report), _tiles(report), sections, footer))


def kind_of_reason(reason: str) -> str:
    """Take names and numbers out of a reason, so that the same fault has the same words in every file.

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
        "split as the data set says"
        if own
        else f"split by fer-edge, {group} by {group}, seed {settings.get('seed', 0)}"
    )
    return f"{report.source['format']}; {how}; licence: {report.source.get('licence', 'unknown')}"


def _tiles(report: Report) -> str:
    classes = sum(any(counts[name] for counts in report.faces.values()) for name in _names(report))
    held = sum(count for split, count in report.held.items() if split != "training")
    figures = [(f"{report.total:,}", "faces"), (str(classes), "classes with a face"), (f"{held:,}", "held out")]
    figures += (
        [(f"{max(leak.total for leak in report.leaks):,}", "held-out faces leak, or more")] if report.leaks else []
    )
    figures += [(f"{len(report.skipped_rows) + report.dropped:,}", "rows left out")]
    return tiles(figures)


def _names(report: Report) -> list[str]:
    return list(next(iter(report.faces.values()), {}))


def _classes(report: Report) -> str:
    """Lay out faces per class and split: bars, figures, and how well the recall can be told."""
    judged = judged_split(report.faces)
    totals = {name: sum(counts[name] for counts in report.faces.values()) for name in _names(report)}
    most = max(totals.values(), default=0) or 1
    head = ["class", "", *report.faces, "all", *([f"recall, {judged}"] if judged else [])]
    rows = []
    for name, total in totals.items():
        parts = [(split, counts[name]) for split, counts in report.faces.items()]
        bar = "".join(f"<i class='{split}' style='width:{100 * n / most:.2f}%'></i>" for split, n in parts if n)
        n = report.faces[judged][name] if judged else 0
        told = f"±{uncertainty(n):.0f} points" if n else "cannot be told"
        few = (judged and n < FEW_JUDGED) or report.faces.get("training", {}).get(name, FEW_LEARNT) < FEW_LEARNT
        cells = [f"{count:,}" for _, count in parts] + [f"{total:,}"] + ([told] if judged else [])
        figures = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(
            f"<tr class='{'few' * bool(few)}'><td>{escape(name)}</td>"
            f"<td><div class='bar'>{bar}</div></td>{figures}</tr>"
        )
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    key = "".join(f"<i class='{split}'></i>{split}" for split in report.faces)
    meaning = (
        f"How far a class's recall on its {judged} faces may be from the truth (95 %, where half of them are found). "
        f"Marked: fewer than {FEW_JUDGED} faces for {judged} or {FEW_LEARNT} for training."
        if judged
        else "No face is held out: nothing tells how well a network does."
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
        none = "No face is equal, or nearly equal, to one in another split, or of the same photo or person."
        return f"<p>{none}</p><p class='soft'>{limit}</p>"
    rows = [
        [KINDS[leak.kind], f"{leak.pairs:,}", *(f"{leak.faces.get(split, 0):,}" for split in ("validation", "testing"))]
        for leak in report.leaks
    ]
    counts = table(["in an earlier split a face has", "pairs", "validation faces", "testing faces"], rows)
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
    """Lay out some faces of each class, drawn by chance, the same each time."""
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


def _left_out(report: Report) -> str:
    """Lay out what was left out, by reason, contradictions first."""
    parts = []
    if report.dropped:
        limit = report.source["settings"]["min_confidence"]
        parts.append(f"<p>{report.dropped:,} faces below --min-box-confidence {limit:g}.</p>")
    for kind in ("contradictory", "unusable", "repeated"):
        rows = [row for row in report.skipped_rows if row.kind == kind]
        if rows:
            parts.append(f"<h3>{kind}: {len(rows):,}</h3>{_reasons(rows)}")
    if report.skipped_rows:
        parts.append("<p class='soft'>report.json lists them all.</p>")
    return "".join(parts) or "<p>Nothing.</p>"


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
