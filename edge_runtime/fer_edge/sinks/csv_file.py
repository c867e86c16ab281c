"""CSV sink: one row per face and frame."""

import csv
import io
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.files import cannot_write, make_folder
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Result

COLUMNS = (
    *("time", "source", "frame", "t", "id", "x", "y", "w", "h", "label", "score", "stable", "detection_score"),
    *("age_ms", "dropped"),
)
"""Columns before the probabilities, named as in a JSON line; `time` is the machine's clock, in UTC."""


class CsvSink(Sink):
    """Appends complete rows to a CSV file, also when the disk becomes full."""

    def __init__(
        self, path: Path, labels: tuple[str, ...], now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    ) -> None:
        """Open or create `path`.

        Args:
            path: The file; its folder is created.
            labels: Classes in output order.
            now: The machine's clock.

        Raises:
            FerEdgeError: It cannot be written, or has other columns; it is left unchanged.
        """
        self._path, self._labels, self._now = path, labels, now
        make_folder(path.parent)
        try:
            # Unbuffered, so that a partial row can be removed when the disk is full.
            self._file = path.open("a+b", buffering=0)
            try:
                self._check_header()
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, result: Result) -> None:
        """Add a row for each face.

        Raises:
            FerEdgeError: They cannot be written; the file keeps complete rows.
        """
        if not result.faces:
            return
        frame, now = result.frame, self._now().isoformat(timespec="milliseconds")
        rows = []
        for number, face in enumerate(result.faces):
            details = (face.label, round(face.score, 4), int(face.certain), round(face.detection_score, 4))
            rows.append(
                [
                    *(now, frame.name, frame.index, round(frame.t, 3), number if face.id is None else face.id),
                    *(*face.box, *details, round(result.age_ms, 2), result.dropped),
                    *(round(face.probabilities[label], 4) for label in self._labels),
                ]
            )
        self._append(_as_csv(rows))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_header(self) -> None:
        """Write the header, or check the existing one."""
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise FerEdgeError(
                f"cannot write {self._path}: not a regular file; to write to a pipe, type: fer-edge run --json"
            )
        header = _as_csv([[*COLUMNS, *(f"probs.{label}" for label in self._labels)]])
        size = self._file.seek(0, os.SEEK_END)
        if not size:
            self._append(header)
            return
        self._file.seek(0)
        if self._file.read(len(header)) != header:
            raise FerEdgeError(
                f"--csv {self._path}: it has other columns, or another model's classes; choose a new file"
            )
        self._file.seek(-1, os.SEEK_END)
        if self._file.read(1) != b"\n":  # an earlier run was cut off within a row
            self._append(b"\n")

    def _append(self, content: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        rest = content
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(size)
            raise cannot_write(self._path, error) from error


def _as_csv(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")
