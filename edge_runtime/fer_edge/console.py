"""Output: text for people on stderr, one JSON document for programs on stdout."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Everything meant for a person goes through here, to stderr; a path with [brackets] is shown as it is."""


def warn(message: str) -> None:
    """Log a person what may spoil the result; the command goes on."""
    console.print(Text.assemble(("warning: ", "yellow"), message))


def print_json(document: Any, *, indent: int | None = 1) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=indent, allow_nan=False) + "\n")
    sys.stdout.flush()


def progress() -> Progress:
    """Make a progress bar: what, how much, how many, how long still. Drawn on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
