"""What the fixture `fer_edge` gives."""

from collections.abc import Callable
from typing import NamedTuple


class Finished(NamedTuple):
    """A command that has ended: its exit code and all that was written, by C and C++ as well."""

    code: int
    stdout: str
    stderr: str


FerEdge = Callable[..., Finished]
