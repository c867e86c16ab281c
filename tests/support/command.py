"""What the fixture `fer_edge` gives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import typer

from fer_edge.commands import run


class Finished(NamedTuple):
    """A command that has ended: its exit code and all that was written, by C and C++ as well."""

    code: int
    stdout: str
    stderr: str


FerEdge = Callable[..., Finished]

RUN: Any = typer.main.get_command(run.app)
"""`fer-edge run`, as Click has it."""
