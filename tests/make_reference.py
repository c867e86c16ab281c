"""Write docs/reference.md, with all flags of all commands, from the commands: python tests/make_reference.py"""

import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from fer_edge.cli import app
from fer_edge.files import write_text
from fer_edge.options import Option, metavar

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
MEANINGS = {
    "--config": "a file with settings; flags override it",
    "--colour": "input of the network: grey, or colour",
    "--data": "data set folder, or a prepared set (.npz)",
    "--detector": "variant of the face detector; none: each picture is a face crop",
    "--detector-model": "face detector file; default: the bundled one",
    "--epochs": "number of epochs",
    "--format": "layout of a data set; default: detected",
    "--imgsz": "input size of the network, and side of a face crop, in pixels",
    "--jobs": "threads that read pictures",
    "--json": "print one JSON document on stdout; `run`: one line per frame",
    "--min-box-confidence": "drop faces with a lower box confidence (ExpW)",
    "--model": "model to run, evaluate or benchmark",
    "--name": "name of the run folder in `--project`",
    "--out": "output file or folder",
    "--project": "folder of run folders",
    "--protocol": "FER+: faces with a majority label, or all",
    "--seed": "random seed",
    "--source": "input: image, folder, video, camera or address",
    "--test-split": "share of testing faces",
    "--person-pattern": "where the person is in a picture's path: a regular expression with a group",
    "--group": "keep faces of a photo, or of a person, in one split",
    "--threads": "threads of detector and classifier",
}
"""Meaning of the flags that several commands share."""


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and command, including subcommands."""
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")


def page() -> str:
    """Return the page."""
    found = dict(commands(typer.main.get_command(app)))
    parts = [
        "# Reference\n",
        "Generated from the commands by `python tests/make_reference.py`; do not edit.\n",
        "Keys in `fer-edge train --config FILE.yaml` and fields of the settings in Python have the names of the flags, "
        "with `_` for `-`; those of a group such as *Augmentation* are nested below `augmentation:`. Flags override "
        "the file, and the file overrides the defaults.\n",
        "## Common flags\n",
        "| flag | means | in |\n|---|---|---|",
    ]
    owners: dict[str, list[str]] = {}
    for name, command in found.items():
        for option in command.params:
            if option.opts[0].startswith("-") and option.name != "help":
                owners.setdefault(max(option.opts, key=len), []).append(f"`{name}`")
    parts += [
        f"| `{flag}` | {MEANINGS[flag]} | {', '.join(names)} |" for flag, names in sorted(owners.items()) if names[1:]
    ]
    for name, command in found.items():
        summary = " ".join((command.help or "").split("\n\n")[0].split())
        parts += [f"\n## {name}\n", f"{summary}\n", *_table(command)]
    return "\n".join(parts) + "\n"


def _table(command: Any) -> Iterator[str]:
    yield "| | value | default | |\n|---|---|---|---|"
    parameters = inspect.signature(command.callback).parameters
    for option in sorted(command.params, key=lambda option: option.opts[0].startswith("-")):  # arguments first
        if option.name not in parameters:  # --help
            continue
        default, annotation = parameters[option.name].default, parameters[option.name].annotation
        kind, info = get_args(annotation)[:2]
        default = "on" if default is True else default
        shown = "" if any(default is none for none in (None, False, inspect.Parameter.empty)) else f"`{default}`"
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        panel = f"*{info.rich_help_panel}.* " if info.rich_help_panel else ""
        yield f"| {names} | {_value(kind, info)} | {shown} | {panel}{info.help} |"


def _value(kind: Any, info: Any) -> str:
    """Return the values that a flag takes; empty for a switch."""
    while get_origin(kind) is not Literal and get_args(kind):  # list[Path] | None
        kind = next(each for each in get_args(kind) if each is not type(None))
    if kind is bool:
        return ""
    low, high = (-math.inf if info.min is None else info.min), (math.inf if info.max is None else info.max)
    text = info.metavar or metavar(kind, Option(low, high))
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    write_text(PAGE, page())
