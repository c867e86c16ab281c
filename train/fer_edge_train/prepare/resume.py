"""What `prepare` has finished lies in `OUT.part` until all is, so that one that was killed goes on from there.

A part is what came of `PART` pictures, whole or not there: `12.npz`, with a record (JSON), what is remembered of the
faces and, for a prepared set, the faces. Parts are numbered in the order of the table, so those that are there are
always the first ones.
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
from fer_edge_train.runs.folder import LOCK, alone_in

PARTS = 2
"""Version of what lies in a part."""
KEY = "key"
"""File that says what the parts were made from; where it is missing, they are worth nothing."""
NO_FACES = np.zeros((0, 0, 0), np.uint8)


class Part(NamedTuple):
    """What came of `PART` pictures."""

    rows: list[int]
    """Rows of the table whose faces could be cut out."""
    records: list[Any]
    """What was written down of each of these faces; anything that JSON holds."""
    skipped: list[Skipped]
    """The rows that are left out, and why."""
    fingerprints: Fingerprints
    """What is remembered of the faces."""
    faces: Pixels = NO_FACES
    """(n, size, size) uint8 grey, or (n, size, size, 3) uint8 RGB; (0, 0, 0) where the faces are files of their own."""


class Checkpoint:
    """The finished parts of one `prepare`."""

    def __init__(self, folder: Path, out: Path, pictures: int) -> None:
        self.folder = folder
        """`OUT.part`."""
        self.built = folder / f"out{out.suffix}"
        """Where the result is put together."""
        self.parts = 0
        """How many are finished."""
        self._out, self._pictures = out, pictures

    def finished(self) -> Iterator[Part]:
        """Yield the parts that an earlier `prepare` left, up to the first that is missing or damaged."""
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
        """Keep the next part.

        Raises:
            FerEdgeError: It cannot be written.
        """
        record = np.frombuffer(json.dumps([part.rows, part.records, part.skipped]).encode(), np.uint8)
        with replacing(self._path()) as temporary, temporary.open("wb") as stream:
            np.savez(stream, record=record, faces=part.faces, **part.fingerprints._asdict())
        self.parts += 1

    def publish(self) -> None:
        """Move the result to `OUT`; the parts are then worth nothing.

        Raises:
            FerEdgeError: Something came to lie there meanwhile.
        """
        must_be_free(self._out)
        (self.folder / KEY).unlink()
        self.built.replace(self._out)

    @property
    def progress(self) -> str:
        """How far it is, for people."""
        return f"{min(self.parts * PART, self._pictures):,} of {self._pictures:,} photos done in {self.folder}"

    def _path(self) -> Path:
        """Where the next part lies."""
        return self.folder / f"{self.parts}.npz"


@contextmanager
def checkpointing(out: Path, key: str, pictures: int) -> Iterator[Checkpoint]:
    """Hold `OUT.part` while the block prepares `out`; it vanishes when the block ends well.

    It stays where the block was stopped and has finished a part. One that was left by a `prepare` of other data or
    settings is removed.

    Args:
        out: What to make.
        key: What `fingerprint` gave; parts with another one are not used.
        pictures: How many there are in all.

    Raises:
        FerEdgeError: `out` is there already, cannot be written, or another `prepare` is writing it.
    """
    must_be_free(out)
    path = out.resolve()
    folder = path.with_name(f"{path.name}.part")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise FerEdgeError(f"{folder} is there already, and no prepare left it; move it away, or give another --out")
    make_folder(folder)
    try:
        with alone_in(folder, f"another fer-edge prepare writes {out}; wait for it, or give another --out"):
            must_be_free(out)  # the other may just have finished
            _clear_unless(folder, key)
            checkpoint = Checkpoint(folder, path, pictures)
            try:
                yield checkpoint
            except BaseException as error:
                if checkpoint.parts and not isinstance(error, DataError):
                    rest = f"to go on, type the same command again; or remove it: rm -r {shlex.quote(str(folder))}"
                    console.print(f"{checkpoint.progress}; {rest}")
                else:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise cannot_write(out, error) from error


def _clear_unless(folder: Path, key: str) -> None:
    """Empty the folder of a `prepare` unless it was made by `key`, and write that down."""
    path = folder / KEY
    if path.exists():
        if path.read_text(errors="replace") == key:
            return
        console.print(f"{folder} was left by a prepare of other data or settings; it starts anew")
        path.unlink()  # first: a kill half-way must not leave something that looks whole
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name != LOCK:
            left.unlink()
    write_text(path, key)


def fingerprint(table: Table, settings: DataSettings, **options: object) -> str:
    """Tell apart whatever leads to other results, without reading a picture: hex digest.

    That is the table, how it was read, the size and time of every file, the versions of what reads and crops, and
    `options`.
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
    """Size and time of change of a file; zeros where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  a Path for each of 100,000 files takes as long again
    except (OSError, ValueError):  # a NUL character in a name
        return 0, 0
    return found.st_size, found.st_mtime_ns
