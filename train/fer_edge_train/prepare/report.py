"""What `prepare` made: faces per class and split, leaks, and everything it left out; for people and for programs."""

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
from fer_edge_train.data.split import torn_groups
from fer_edge_train.data.table import Skipped
from fer_edge_train.prepare.kept_faces import KeptFaces

SHOWN = 5
"""Lines of a kind that people see on the terminal; the report lists all."""
FEW_JUDGED = 20
"""Fewer held-out faces of a class leave its recall unknown by 20 points either way, and more."""
FEW_LEARNT = 50
"""Fewer training faces of a class hardly teach it: FER+'s rarest has 170, and is the one that networks miss."""
SIDES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
"""Edges of the histogram of face sizes, in pixels; the last bin holds all that is larger."""

Numbers = npt.NDArray[np.floating[Any]]


class Histogram(NamedTuple):
    """How many faces lie between two neighbouring edges; the last bin holds what is beyond, too."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class Report:
    """One run of `prepare`."""

    out: str | None
    """Folder or prepared set that was written; None where nothing was."""
    source: dict[str, Any]
    """Data set, digest, licence and settings, as in a prepared set."""
    faces: dict[str, dict[str, int]]
    """Split -> class -> faces; splits without a face are left out."""
    total: int
    """Faces written."""
    dropped: int
    """Faces below --min-box-confidence."""
    skipped: dict[str, int]
    """Rows left out: unusable, repeated, contradictory."""
    skipped_rows: list[Skipped]
    """Where and why."""
    torn_groups: int
    """Groups that the data set's own splits have on several sides."""
    few: list[str]
    """Classes with too few faces to be learnt or judged, and what that means."""
    leaks: list[Leak]
    """What stands on both sides of a split."""
    pairs: list[list[dict[str, str | int]]]
    """Names and splits of the pairs that each leak lists."""
    histograms: dict[str, Histogram]
    """Of the faces' sides in source pixels, their brightness, and the data set's confidence, where these are known."""
    notes: list[str]
    """What else a person should know."""

    def as_json(self) -> dict[str, Any]:
        """Turn the report into what `report.json` and `--json` hold."""
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
    def held(self) -> dict[str, int]:
        """Faces of each split."""
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
    """Sum up a run of `prepare`.

    Args:
        out: What was written.
        source: Data set, digest, licence and settings.
        classes: Class names in output order.
        kept: The faces that were written.
        skipped: What was left out.
        dropped: Faces below --min-box-confidence.
        notes: What else a person should know.
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
        torn_groups=torn_groups(kept.groups, kept.split),
        few=few_lines(faces),
        leaks=leaks,
        pairs=[_named(leak, kept) for leak in leaks],
        histograms=_histograms(kept),
        notes=notes,
    )


def counts_by_split(splits: list[str], labels: list[str], classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Count the faces of each class in each split that has any.

    >>> counts_by_split(["training", "training"], ["sad", "sad"], ("glad", "sad"))
    {'training': {'glad': 0, 'sad': 2}}
    """
    counts = Counter(zip(splits, labels, strict=True))
    return {split: {name: counts[split, name] for name in classes} for split in SPLITS if split in set(splits)}


def count_kinds(skipped: list[Skipped]) -> dict[str, int]:
    """Count the skipped rows of each kind."""
    return {kind: sum(row.kind == kind for row in skipped) for kind in ("unusable", "repeated", "contradictory")}


def judged_split(faces: dict[str, dict[str, int]]) -> str | None:
    """Name the split that a network is judged on: testing, else validation, else none."""
    return next((split for split in reversed(SPLITS[1:]) if split in faces), None)


def uncertainty(n: int) -> float:
    """Points by which the recall of a class with `n` held-out faces cannot be told, either way, where half are found.

    >>> round(uncertainty(1)), round(uncertainty(20)), round(uncertainty(1000))
    (45, 20, 3)
    """
    low, high = proportion_interval(n / 2, n)
    return 50 * (high - low)


def few_lines(faces: dict[str, dict[str, int]]) -> list[str]:
    """Say of each class that has too few faces what that means; classes without a face are no news.

    >>> few_lines({"training": {"contempt": 6, "neutral": 600}, "testing": {"contempt": 1, "neutral": 200}})[0][:45]
    'contempt has 7 faces: with 1 for testing, its'
    """
    judged, lines = judged_split(faces), []
    for name in next(iter(faces.values()), {}):
        total, learnt = sum(counts[name] for counts in faces.values()), faces.get("training", {}).get(name, 0)
        n = faces[judged][name] if judged else 0
        meanings = []
        if judged and 0 < n < FEW_JUDGED:
            least = proportion_interval(n, n)[0]
            meanings.append(
                f"with {n} for {judged}, its recall cannot be told to within ±{uncertainty(n):.0f} points "
                f"({n} of {n} found may still mean {least:.0%})"
            )
        if "training" in faces and total and learnt < FEW_LEARNT:
            meanings.append(f"with {learnt} for training, it can hardly be learnt")
        if meanings:
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
    """Print the report for a person, on stderr."""
    grid = Grid(title=f"{report.total:,} faces of {report.source['name']!s} ({report.source['format']})")
    grid.add_column("class")
    for split in report.faces:
        grid.add_column(split, justify="right")
    for name in next(iter(report.faces.values())):
        grid.add_row(name, *(f"{counts[name]:,}" for counts in report.faces.values()))
    grid.add_section()
    grid.add_row("all", *(f"{n:,}" for n in report.held.values()))
    console.print(grid)
    if report.dropped:
        limit = report.source["settings"]["min_confidence"]
        console.print(f"dropped: {report.dropped:,} faces below --min-box-confidence {limit:g}")
    if report.skipped_rows:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.skipped.items() if count)
        console.print(f"skipped: {kinds}; the first of them:")
        for row in sorted(report.skipped_rows, key=lambda row: row.kind == "repeated")[:SHOWN]:  # harmless ones last
            console.print(f"  {row.origin}: {row.reason}")
    for line in warnings_of(report):
        warn(line)
    if report.out:
        console.print(f"wrote {report.out}")


def warnings_of(report: Report) -> list[str]:
    """Say, in a line each, what a person has to know before a night of training."""
    told = {"photo", "person"} & {leak.kind for leak in report.leaks}
    lines = [torn_line(report.torn_groups)] if report.torn_groups and not told else []
    lines += leak_lines(report.leaks, report.held)
    if report.leaks:
        lines += remedies(report.leaks, report.source)
    return [*lines, *report.few, *report.notes]


def torn_line(groups: int) -> str:
    """Say that a data set's own splits tear groups apart."""
    return f"the data set's own splits have {groups:,} groups (photos or persons) on several sides; scores may flatter"
