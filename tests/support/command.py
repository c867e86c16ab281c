"""Types of the fixture `fer_edge`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import typer

from fer_edge.commands import run


class Finished(NamedTuple):
    """A finished command: exit code, and all output, that of C and C++ code included."""

    code: int
    stdout: str
    stderr: str


FerEdge = Callable[..., Finished]

RUN: Any = typer.main.get_command(run.app)
"""The Click command of `fer-edge run`."""
