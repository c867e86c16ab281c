"""What `prepare` made: faces per class and split, and everything it left out; for people and for programs."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table as Grid

from fer_edge.console import console, warn
from fer_edge.faceset import SPLITS
from fer_edge_train.table import Skipped

SHOWN = 5
"""Skipped rows that people see; the report lists all."""


@dataclass(frozen=True)
class Report:
    """One run of `prepare`."""

    out: str
    """Folder or prepared set that was written."""
    source: dict[str, Any]
    """Data set, digest, licence and settings, as in a prepared set."""
    faces: dict[str, dict[str, int]]
    """Split -> class -> faces; splits without a face are left out."""
    total: int
    """Faces written."""
    dropped: int
    """Faces below --min-confidence."""
    skipped: dict[str, int]
    """Rows left out: unusable, repeated, contradictory."""
    skipped_rows: list[Skipped]
    """Where and why."""
    torn_groups: int
    """Groups that the data set's own splits have on several sides."""
    notes: list[str]
    """What else a person should know."""

    def as_json(self) -> dict[str, Any]:
        """Turn the report into what `report.json` and `--json` hold."""
        return {**asdict(self), "skipped_rows": [row._asdict() for row in self.skipped_rows]}


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


def show(report: Report) -> None:
    """Print the report for a person, on stderr."""
    grid = Grid(title=f"{report.total:,} faces of {report.source['name']!s} ({report.source['format']})")
    grid.add_column("class")
    for split in report.faces:
        grid.add_column(split, justify="right")
    for name in next(iter(report.faces.values())):
        grid.add_row(name, *(f"{counts[name]:,}" for counts in report.faces.values()))
    grid.add_section()
    grid.add_row("all", *(f"{sum(counts.values()):,}" for counts in report.faces.values()))
    console.print(grid)
    if report.dropped:
        limit = report.source["settings"]["min_confidence"]
        console.print(f"dropped: {report.dropped:,} faces below --min-confidence {limit:g}")
    if report.skipped_rows:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.skipped.items() if count)
        console.print(f"skipped: {kinds}; the first of them:")
        for row in sorted(report.skipped_rows, key=lambda row: row.kind == "repeated")[:SHOWN]:  # harmless ones last
            console.print(f"  {row.origin}: {row.reason}")
    if report.torn_groups:
        warn(torn_line(report.torn_groups))
    for note in report.notes:
        warn(note)
    console.print(f"wrote {Path(report.out)!s}")


def torn_line(groups: int) -> str:
    """Say that a data set's own splits tear groups apart."""
    return f"the data set's own splits have {groups:,} groups (photos or persons) on several sides; scores may flatter"
