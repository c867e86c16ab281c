"""The report of `prepare`: faces per class and split, leaks and skipped rows, for the terminal and as JSON."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.table import Table as Grid

from fer_edge.console import console, warn
from fer_edge.data.faceset import SPLITS
from fer_edge.data.metrics import proportion_interval
from fer_edge_train.data.leaks import NEAR_BITS, Leak, find_leaks, leak_lines, persons_of, remedies
from fer_edge_train.data.split import groups_in_several_splits
from fer_edge_train.data.table import Skipped
from fer_edge_train.prepare.kept_faces import KeptFaces

SHOWN = 5
"""Skipped rows listed on the terminal; the report lists all."""
FEW_EVALUATED = 20
"""With fewer held-out faces of a class, its recall is uncertain by 20 points or more either way."""
FEW_TRAINING = 50
"""Fewer training faces of a class are hardly enough: FER+'s rarest has 170, and networks mostly miss it."""
SIDES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
"""Bin edges of the face sizes in pixels; the last bin includes all larger ones."""

Numbers = npt.NDArray[np.floating[Any]]


class Histogram(NamedTuple):
    """Faces per bin; the last bin includes larger values."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class Report:
    """One run of `prepare`."""

    out: str | None
    """Folder or prepared set that was written; None if none."""
    source: dict[str, Any]
    """Data set, digest, licence and settings, as in a prepared set."""
    faces: dict[str, dict[str, int]]
    """Split -> class -> faces, without empty splits."""
    total: int
    """Number of faces."""
    dropped: int
    """Faces below --min-box-confidence."""
    skipped: dict[str, int]
    """Number of skipped rows: unusable, repeated, contradictory."""
    skipped_rows: list[Skipped]
    """The skipped rows and why."""
    torn_groups: int
    """Groups in several of the data set's own splits."""
    few: list[str]
    """Warnings on classes with too few faces for training or evaluation."""
    leaks: list[Leak]
    """Related faces in different splits."""
    pairs: list[list[dict[str, str | int]]]
    """Names and splits of the listed pairs of each leak."""
    histograms: dict[str, Histogram]
    """Of the faces' sides in source pixels, brightness, and box confidence, as far as known."""
    notes: list[str]
    """Further warnings."""

    def as_json(self) -> dict[str, Any]:
        """Convert to the form of `report.json` and `--json`."""
        leaks: dict[str, Any] = {
            leak.kind: {"pairs": leak.pairs, "faces": leak.faces, "listed": listed}
            for leak, listed in zip(self.leaks, self.pairs, strict=True)
        }
        document = {
            **asdict(self),
            "skipped_rows": [row._asdict() for row in self.skipped_rows],
            "histograms": {name: histogram._asdict() for name, histogram in self.histograms.items()},
            "leaks": {"near_bits": NEAR_BITS, **leaks},
        }
        del document["pairs"]
        return document

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of faces in each split."""
        return {split: sum(counts.values()) for split, counts in self.faces.items()}


def make_report(
    out: Path | None,
    source: dict[str, Any],
    classes: tuple[str, ...],
    kept: KeptFaces,
    *,
    skipped: list[Skipped],
    dropped: int,
    notes: list[str],
) -> Report:
    """Make the report of a run of `prepare`.

    Args:
        out: Output path.
        source: Data set, digest, licence and settings.
        classes: Class names in output order.
        kept: The kept faces.
        skipped: The skipped rows.
        dropped: Faces below --min-box-confidence.
        notes: Further warnings.
    """
    faces = counts_by_split(kept.split.tolist(), kept.labels.tolist(), classes)
    leaks = find_leaks(kept.hashes, kept.split, kept.photos, persons_of(kept.names, kept.groups, source))
    return Report(
        out=None if out is None else str(out),
        source=source,
        faces=faces,
        total=len(kept.labels),
        dropped=dropped,
        skipped=count_kinds(skipped),
        skipped_rows=skipped,
        torn_groups=groups_in_several_splits(kept.groups, kept.split),
        few=small_class_lines(faces),
        leaks=leaks,
        pairs=[_named(leak, kept) for leak in leaks],
        histograms=_histograms(kept),
        notes=notes,
    )


def counts_by_split(splits: list[str], labels: list[str], classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Count the faces of each class in each non-empty split.

    >>> counts_by_split(["training", "training"], ["sad", "sad"], ("glad", "sad"))
    {'training': {'glad': 0, 'sad': 2}}
    """
    counts = Counter(zip(splits, labels, strict=True))
    return {split: {name: counts[split, name] for name in classes} for split in SPLITS if split in set(splits)}


def count_kinds(skipped: list[Skipped]) -> dict[str, int]:
    """Count the skipped rows of each kind."""
    return {kind: sum(row.kind == kind for row in skipped) for kind in ("unusable", "repeated", "contradictory")}


def evaluation_split(faces: dict[str, dict[str, int]]) -> str | None:
    """The split for evaluation: testing, else validation, else None."""
    return next((split for split in reversed(SPLITS[1:]) if split in faces), None)


def uncertainty(n: int) -> float:
    """Half width, in points, of the 95 % interval of a recall of 50 % on `n` held-out faces.

    >>> round(uncertainty(1)), round(uncertainty(20)), round(uncertainty(1000))
    (45, 20, 3)
    """
    low, high = proportion_interval(n / 2, n)
    return 50 * (high - low)


def small_classes(faces: dict[str, dict[str, int]]) -> list[str]:
    """Names of the classes with too few faces for training or evaluation, except empty classes."""
    evaluated = evaluation_split(faces)
    few = []
    for name in next(iter(faces.values()), {}):
        total, trained = sum(counts[name] for counts in faces.values()), faces.get("training", {}).get(name)
        n = faces[evaluated][name] if evaluated else 0
        if total and (0 < n < FEW_EVALUATED or (trained is not None and trained < FEW_TRAINING)):
            few.append(name)
    return few


def small_class_lines(faces: dict[str, dict[str, int]]) -> list[str]:
    """Warn of classes with too few faces, one line each, except empty classes.

    >>> small_class_lines({"training": {"contempt": 6, "happy": 600}, "testing": {"contempt": 1, "happy": 200}})[0][:45]
    'contempt has 7 faces: with 1 for testing, its'
    """
    evaluated, lines = evaluation_split(faces), []
    for name in small_classes(faces):
        total, trained = sum(counts[name] for counts in faces.values()), faces.get("training", {}).get(name, 0)
        n = faces[evaluated][name] if evaluated else 0
        meanings = []
        if evaluated and 0 < n < FEW_EVALUATED:
            least = proportion_interval(n, n)[0]
            meanings.append(
                f"with {n} for {evaluated}, its recall is uncertain by ±{uncertainty(n):.0f} points "
                f"({n} of {n} correct may still mean {least:.0%})"
            )
        if "training" in faces and trained < FEW_TRAINING:
            meanings.append(f"{trained} for training are hardly enough")
        lines.append(f"{name} has {total} face{'s' * (total != 1)}: {'; '.join(meanings)}")
    return lines


def _named(leak: Leak, kept: KeptFaces) -> list[dict[str, str | int]]:
    return [
        {
            "earlier": str(kept.names[pair.earlier]),
            "earlier_split": str(kept.split[pair.earlier]),
            "later": str(kept.names[pair.later]),
            "later_split": str(kept.split[pair.later]),
            "bits": pair.bits,
        }
        for pair in leak.listed
    ]


def _histograms(kept: KeptFaces) -> dict[str, Histogram]:
    confidence = kept.confidence[~np.isnan(kept.confidence)]
    histograms = {"brightness": _histogram(kept.brightness, np.arange(0, 257, 16))}
    if len(kept.sides):
        histograms["side"] = _histogram(kept.sides, np.array(SIDES))
    if len(confidence):
        highest = 10 * np.ceil(confidence.max() / 10)
        histograms["confidence"] = _histogram(confidence, np.arange(0, highest + 1, 10))
    return histograms


def _histogram(values: Numbers, edges: npt.NDArray[Any]) -> Histogram:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return Histogram([float(edge) for edge in edges], counts.tolist())


def show(report: Report) -> None:
    """Print the report on stderr."""
    grid = Grid(title=f"{report.total:,} faces of {report.source['name']!s} ({report.source['format']})")
    grid.add_column("class")
    for split in report.faces:
        grid.add_column(split, justify="right")
    evaluated = evaluation_split(report.faces)
    if evaluated:
        grid.add_column("recall ±, points", justify="right")
    few = small_classes(report.faces)
    for name in next(iter(report.faces.values())):
        n = report.faces[evaluated][name] if evaluated else 0
        cells = [f"{counts[name]:,}" for counts in report.faces.values()]
        grid.add_row(name, *cells, f"{uncertainty(n):.0f}" if n else "", style="yellow" if name in few else None)
    grid.add_section()
    grid.add_row("all", *(f"{n:,}" for n in report.split_sizes.values()))
    console.print(grid)
    if report.dropped:
        limit = report.source["settings"]["min_confidence"]
        console.print(f"dropped: {report.dropped:,} faces below --min-box-confidence {limit:g}")
    if report.skipped_rows:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.skipped.items() if count)
        console.print(f"skipped: {kinds}; the first of them:")
        for row in sorted(report.skipped_rows, key=lambda row: row.kind == "repeated")[:SHOWN]:  # harmless last
            console.print(f"  {row.origin}: {row.reason}")
    for line in warnings_of(report):
        warn(line)
    if report.out:
        console.print(f"wrote {report.out}")


def warnings_of(report: Report) -> list[str]:
    """List all warnings of the report, one line each."""
    reported = {"photo", "person"} & {leak.kind for leak in report.leaks}
    lines = [split_groups_line(report.torn_groups)] if report.torn_groups and not reported else []
    lines += leak_lines(report.leaks, report.split_sizes)
    if report.leaks:
        lines += remedies(report.leaks, report.source)
    few = report.few
    if len(few) > 1:
        limits = f"fewer than {FEW_EVALUATED} held-out faces, or {FEW_TRAINING} for training"
        few = [f"few faces of {', '.join(small_classes(report.faces))} ({limits}): uncertain recall, see the table"]
    return [*lines, *few, *report.notes]


def split_groups_line(groups: int) -> str:
    """Warn of groups in several splits."""
    return f"{groups:,} groups (photos or persons) are in several of the data set's own splits; metrics may be too high"
