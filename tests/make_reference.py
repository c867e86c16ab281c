"""Write docs/reference.md, every flag of every command, from the commands themselves: python tests/make_reference.py"""

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
    "--colour": "what the network looks at: grey, or colour",
    "--data": "data set folder, or a prepared set (.npz)",
    "--detector": "form of the face detector; none: a picture is a face",
    "--detector-model": "a face detector's file, in place of the bundled one",
    "--epochs": "passes over the training faces",
    "--format": "layout of a data set; default: by what is in it",
    "--imgsz": "side of a face, and of the network's input, in pixels",
    "--jobs": "pictures that are read at once",
    "--json": "one JSON document on stdout; of `run`, a line per frame",
    "--min-box-confidence": "drop faces with a lower box confidence (ExpW)",
    "--model": "the model that is run, judged or measured",
    "--name": "name of a run folder in `--project`",
    "--out": "the one file or folder that the command makes",
    "--project": "folder of run folders",
    "--protocol": "FER+: faces with a majority, or all",
    "--seed": "random seed",
    "--source": "where frames come from: picture, folder, video, camera, address",
    "--test-split": "share of testing faces",
    "--person-pattern": "where the person is in a picture's path: a regular expression with a group",
    "--group": "keep faces of a photo, or of a person, in one split",
    "--threads": "threads of detector and classifier",
}
"""Flags that several commands have mean the same in all of them."""


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and command, those within others, too."""
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")


def page() -> str:
    """The whole page."""
    found = dict(commands(typer.main.get_command(app)))
    parts = [
        "# Reference\n",
        "Made by `python tests/make_reference.py` from the commands; do not edit it.\n",
        "Keys of `fer-edge train --config FILE.yaml`, and fields of settings in Python, are named as the flags, with "
        "`_` for `-`; those of a part such as *Augmentation* stand below `augmentation:`. A flag stands above the "
        "file, the file above the default.\n",
        "## The same everywhere\n",
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
        kind, told = get_args(annotation)[:2]
        default = "on" if default is True else default
        shown = "" if any(default is none for none in (None, False, inspect.Parameter.empty)) else f"`{default}`"
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        panel = f"*{told.rich_help_panel}.* " if told.rich_help_panel else ""
        yield f"| {names} | {_value(kind, told)} | {shown} | {panel}{told.help} |"


def _value(kind: Any, told: Any) -> str:
    """What may stand behind a flag; nothing behind a switch."""
    while get_origin(kind) is not Literal and get_args(kind):  # list[Path] | None
        kind = next(each for each in get_args(kind) if each is not type(None))
    if kind is bool:
        return ""
    least, most = (-math.inf if told.min is None else told.min), (math.inf if told.max is None else told.max)
    text = told.metavar or metavar(kind, Option(least, most))
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    write_text(PAGE, page())
