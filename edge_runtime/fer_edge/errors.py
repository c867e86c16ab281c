"""Everything fer-edge refuses to do.

FerEdgeError                exit code 1
├── DataError               a data set, a picture or a prepared set
├── ModelError              a model file
├── UsageError       (2)    a value on the command line
├── GateError        (3)    the accuracy gate failed
├── SourceError      (4)    no camera or source
└── BenchmarkError   (5)    a benchmark assertion failed, or the run is invalid

Only `fer_edge.cli` turns one into a line and an exit code. A message says what was wrong, where, and what to type next.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager


class FerEdgeError(Exception):
    """Anything fer-edge refuses to do; the command line prints it in one line and exits with `exit_code`."""

    exit_code = 1


class DataError(FerEdgeError):
    """The data set, picture or prepared set cannot be used."""


class ModelError(FerEdgeError):
    """The file is not a model this runtime can run."""


class UsageError(FerEdgeError):
    """A value on the command line makes no sense."""

    exit_code = 2


class GateError(FerEdgeError):
    """Quantisation cost more accuracy than allowed."""

    exit_code = 3


class SourceError(FerEdgeError):
    """There is no such camera, picture or video."""

    exit_code = 4


class BenchmarkError(FerEdgeError):
    """A benchmark's assertion failed, or the run cannot be trusted."""

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
"""What zip, JSON, numpy and Keras raise on a file that is damaged: each was seen when bytes of one were changed."""


def one_line(error: BaseException) -> str:
    """What an exception says, in one line of at most 200 characters; its name where it says nothing.

    >>> one_line(MemoryError())
    'MemoryError'
    """
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing heavy package into the pip line that installs it.

    Args:
        extra: Name of the optional dependency group in pyproject.toml.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise FerEdgeError(
            f"{error.name} is not installed; type, in your clone of fer-edge: pip install '.[{extra}]'"
        ) from error
