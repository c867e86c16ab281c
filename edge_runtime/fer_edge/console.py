"""Output: messages on stderr, one JSON document on stdout."""

import json
import shlex
import sys
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Console for all messages, on stderr; [brackets] in paths are not markup."""


def warn(message: str) -> None:
    """Print a warning."""
    console.print(Text.assemble(("warning: ", "yellow"), message))


def print_json(document: Any, *, indent: int | None = 1) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=indent, allow_nan=False) + "\n")
    sys.stdout.flush()


def command_line() -> str:
    """Return the command of this process as typed, to repeat it."""
    return shlex.join(["fer-edge", *sys.argv[1:]])


def date_now() -> str:
    """Return the local time with its offset, ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def progress() -> Progress:
    """Return a progress bar with description, count and remaining time, shown on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
