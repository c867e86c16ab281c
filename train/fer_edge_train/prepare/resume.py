"""Checkpoints of `prepare`: finished parts are kept in `OUT.part`, so that a killed run can be resumed.

A part holds the results of `PART` pictures, written atomically: `12.npz`, with a record (JSON), the fingerprints and,
for a prepared set, the faces. Parts are numbered in table order, so the finished ones are always the first.
"""

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fer_edge.console import console
from fer_edge.errors import DAMAGE, DataError, FerEdgeError
from fer_edge.files import cannot_write, make_folder, must_be_free, replacing, sha256, write_text
from fer_edge.imaging.images import Pixels
from fer_edge.versions import RUNTIME, installed
from fer_edge_train.data.crops import PART
from fer_edge_train.data.fingerprints import Fingerprints
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.table import Skipped, Table
from fer_edge_train.runs.folder import LOCK, run_lock

PARTS = 2
"""Format version of a part."""
KEY = "key"
"""File with the key of the input and settings; without it the parts are invalid."""
NO_FACES = np.zeros((0, 0, 0), np.uint8)


class Part(NamedTuple):
    """Results of `PART` pictures."""

    rows: list[int]
    """Rows of the table whose faces were cropped."""
    records: list[Any]
    """Record of each of these faces; JSON-serialisable."""
    skipped: list[Skipped]
    """The skipped rows, and why."""
    fingerprints: Fingerprints
    """Fingerprints of the faces."""
    faces: Pixels = NO_FACES
    """(n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB; (0, 0, 0) if the faces are written as files."""


class Checkpoint:
    """The finished parts of one `prepare`."""

    def __init__(self, folder: Path, out: Path, pictures: int) -> None:
        self.folder = folder
        """`OUT.part`."""
        self.built = folder / f"out{out.suffix}"
        """Where the result is built."""
        self.parts = 0
        """Number of finished parts."""
        self._out, self._pictures = out, pictures

    def finished(self) -> Iterator[Part]:
        """Yield the parts of an earlier `prepare`, up to the first that is missing or damaged."""
        while self._path().exists():
            try:
                with np.load(self._path(), allow_pickle=False) as arrays:
                    fingerprints = Fingerprints(*(arrays[name] for name in Fingerprints._fields))
                    rows, records, skipped = json.loads(arrays["record"].tobytes())
                    part = Part(rows, records, [Skipped(*row) for row in skipped], fingerprints, arrays["faces"])
            except DAMAGE:
                break
            self.parts += 1
            yield part
        if self.parts:
            console.print(f"found {self.progress}")

    def add(self, part: Part) -> None:
        """Save the next part.

        Raises:
            FerEdgeError: It cannot be written.
        """
        record = np.frombuffer(json.dumps([part.rows, part.records, part.skipped]).encode(), np.uint8)
        with replacing(self._path()) as temporary, temporary.open("wb") as stream:
            np.savez(stream, record=record, faces=part.faces, **part.fingerprints._asdict())
        self.parts += 1

    def publish(self) -> None:
        """Move the result to `OUT`; this invalidates the parts.

        Raises:
            FerEdgeError: `OUT` was created meanwhile.
        """
        must_be_free(self._out)
        (self.folder / KEY).unlink()
        self.built.replace(self._out)

    @property
    def progress(self) -> str:
        """Progress as text."""
        return f"{min(self.parts * PART, self._pictures):,} of {self._pictures:,} photos done in {self.folder}"

    def _path(self) -> Path:
        """Path of the next part."""
        return self.folder / f"{self.parts}.npz"


@contextmanager
def checkpointing(out: Path, key: str, pictures: int) -> Iterator[Checkpoint]:
    """Lock `OUT.part` while the block prepares `out`; it is removed on success.

    It is kept if the block is stopped with a finished part. Parts of other data or settings are discarded.

    Args:
        out: Output path.
        key: Result of `job_key`; parts with another key are not used.
        pictures: Total number of pictures.

    Raises:
        FerEdgeError: `out` exists, cannot be written, or another `prepare` is writing it.
    """
    must_be_free(out)
    path = out.resolve()
    folder = path.with_name(f"{path.name}.part")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise FerEdgeError(f"{folder} exists and is not of prepare; move it away, or give another --out")
    make_folder(folder)
    try:
        with run_lock(folder, f"another fer-edge prepare is writing {out}; wait for it, or give another --out"):
            must_be_free(out)  # another process may just have finished
            _clear_unless(folder, key)
            checkpoint = Checkpoint(folder, path, pictures)
            try:
                yield checkpoint
            except BaseException as error:
                if checkpoint.parts and not isinstance(error, DataError):
                    rest = f"to resume, run the same command again; to discard: rm -r {shlex.quote(str(folder))}"
                    console.print(f"{checkpoint.progress}; {rest}")
                else:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise cannot_write(out, error) from error


def _clear_unless(folder: Path, key: str) -> None:
    """Empty the folder unless it has `key`, and write `key`."""
    path = folder / KEY
    if path.exists():
        if path.read_text(errors="replace") == key:
            return
        console.print(f"{folder} is of other data or settings; starting again")
        path.unlink()  # first: a kill half-way must not leave what looks complete
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
    write_text(path, key)


def job_key(table: Table, settings: DataSettings, **options: object) -> str:
    """Hash everything that affects the result, without reading pictures: hex digest.

    That is the table, the settings, size and time of every file, package versions, and `options`.
    """
    rows = pd.util.hash_pandas_object(table.rows, index=False).to_numpy().tobytes()
    files = table.label_files if table.embedded else table.rows["picture"].unique().tolist()
    states = np.array([_state(f"{table.root}/{name}") for name in files], np.int64).tobytes()
    how = [
        str(table.root.resolve()),
        table.format,
        table.framing,
        table.classes,
        settings.as_source(),
        options,
        PART,
        PARTS,
    ]
    return sha256(json.dumps([how, installed(RUNTIME), sha256(rows), sha256(states)], default=str).encode())


def _state(path: str) -> tuple[int, int]:
    """Size and modification time of a file; zeros if missing."""
    try:
        found = os.stat(path)  # noqa: PTH116  Path doubles the time for 100,000 files
    except (OSError, ValueError):  # a NUL character in a name
        return 0, 0
    return found.st_size, found.st_mtime_ns
