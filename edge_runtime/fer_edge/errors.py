"""Exceptions and exit codes.

FerEdgeError                exit code 1
├── DataError               a data set, a picture or a prepared set
├── ModelError              a model file
├── UsageError       (2)    a value on the command line
├── GateError        (3)    the accuracy gate failed
├── SourceError      (4)    no camera or source
└── BenchmarkError   (5)    a benchmark assertion failed, or the run is invalid

Only `fer_edge.cli` turns them into a line and an exit code. A message says what failed, where, and what to type next.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager


class FerEdgeError(Exception):
    """Base class; the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1


class DataError(FerEdgeError):
    """A data set, image or prepared set is missing, damaged or invalid."""


class ModelError(FerEdgeError):
    """A file is not a model that this runtime can run."""


class UsageError(FerEdgeError):
    """An argument is invalid."""

    exit_code = 2


class GateError(FerEdgeError):
    """Quantisation lost more accuracy than allowed."""

    exit_code = 3


class SourceError(FerEdgeError):
    """A camera, image or video is missing."""

    exit_code = 4


class BenchmarkError(FerEdgeError):
    """A benchmark's assertion failed, or the run is invalid."""

    exit_code = 5


DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    MemoryError,
)
"""Exceptions of zip, JSON, numpy and Keras for damaged files; each occurred in tests with changed bytes."""


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line of at most 200 characters, or its name if it is empty.

    >>> one_line(MemoryError())
    'MemoryError'
    """
    return " ".join(str(error).split())[:200] or type(error).__name__


OTHER_BACKENDS = ("torch", "openvino")
"""Backends of Keras that fer-edge has no extra for."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing optional package into an error with the pip command that installs it.

    Args:
        extra: Name of the optional dependency group in pyproject.toml.
    """
    try:
        yield
    except (ModuleNotFoundError, ValueError) as error:
        if "backend" in str(error) or (isinstance(error, ModuleNotFoundError) and error.name in OTHER_BACKENDS):
            raise FerEdgeError(
                f"Keras cannot use its backend ({error}); take tensorflow or jax: type export KERAS_BACKEND=tensorflow"
            ) from error
        if isinstance(error, ValueError):
            raise
        raise FerEdgeError(
            f"{error.name} is not installed; type, in your clone of fer-edge: pip install '.[{extra}]'"
        ) from error
