"""Atomic writes: files are written to a temporary name, then renamed."""

import errno
import hashlib
import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer_edge.errors import DataError, FerEdgeError

TEMPORARY = ".writing-"
"""Prefix of temporary names."""


@contextmanager
def replacing(path: Path, suffix: str | None = None) -> Iterator[Path]:
    """Yield a temporary file beside `path` that takes its place when the block ends well, and vanishes when not.

    Its name keeps the suffix, or gets another, because Keras, OpenCV and matplotlib choose the format by it.

    Raises:
        FerEdgeError: The folder cannot be written to, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path.with_suffix(suffix) if suffix else path)
        temporary.touch(exist_ok=False)  # mkstemp's mode 0600 would hide the result from the rest of the team
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that is renamed to it when the block succeeds, and deleted otherwise.

    Raises:
        FerEdgeError: `path` exists and is not empty, or cannot be written.
    """
    must_be_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        temporary.mkdir()
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        temporary.replace(path)  # onto an empty folder, POSIX allows it
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def expanded(path: Path) -> Path:
    """Replace a leading ~ or ~user by the home folder, where there is such a user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def must_be_free(path: Path) -> None:
    """Check that `path` does not exist, or is an empty folder.

    Raises:
        FerEdgeError: It is a file or a non-empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FerEdgeError(f"{path} already exists; choose another, or remove it: rm -r {shlex.quote(str(path))}")


def remove_temporaries(folder: Path) -> None:
    """Remove temporary files of killed processes from `folder`; no process may be writing there."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def must_be_writable(folder: Path) -> None:
    """Raise an error if `folder`, which need not exist yet, cannot be written to; creates nothing.

    Raises:
        FerEdgeError: It, or the nearest folder that exists, is a file or not writable.
    """
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise cannot_write(folder, NotADirectoryError(errno.ENOTDIR, f"{nearest} is not a folder"))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise cannot_write(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def make_folder(path: Path) -> None:
    """Create the folder `path` and its parents, if missing.

    Raises:
        FerEdgeError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: The file.
        remedy: What to type if it is missing.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; {remedy}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged: not a JSON object")
    return document


def write_json(path: Path, document: Any) -> None:
    """Write `document` to `path` as JSON, atomically."""
    write_text(path, json.dumps(document, indent=1) + "\n")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, atomically."""
    write_bytes(path, content.encode())


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` in hex."""
    return hashlib.sha256(content).hexdigest()


def _temporary(path: Path) -> Path:
    """Choose an unused name beside `path`."""
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}")


def cannot_write(path: Path, error: OSError) -> FerEdgeError:
    """Return the error for a `path` that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FerEdgeError(f"cannot write {path}: {_disk_of(path)}; free space, or choose another folder")
    reason = f"{error.filename} is not a folder" if isinstance(error, FileExistsError) else error.strerror or error
    return FerEdgeError(f"cannot write {path}: {reason}; choose another folder, or fix its permissions")


def _disk_of(path: Path) -> str:
    """Describe a full disk."""
    mount = next(folder for folder in path.absolute().parents if folder.is_mount())
    disk = shutil.disk_usage(mount)
    return f"the disk of {mount} is full ({disk.free / 1e6:,.1f} of {disk.total / 1e6:,.1f} MB free)"
