"""`fer-edge run`: its flags are the fields of its settings. Nothing heavy is imported before it runs."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fer_edge.commands.flags_file import read_flags_file
from fer_edge.errors import UsageError
from fer_edge.options import takes, typed, was_typed
from fer_edge.settings import RunSettings

app = typer.Typer()


@app.command()
@takes(RunSettings)
def run(
    ctx: typer.Context,
    place: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="As --source.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Read flags from a TOML file (source = "0"); flags typed override it.'),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line per frame on stdout.")] = False,
) -> None:
    """Recognize the facial expressions in an image, folder, video or camera stream.

    In --json, "id" is the same for the same face from frame to frame (of a picture, its number in there), and "stable"
    says that the label is not "uncertain". Ctrl-C or SIGTERM ends it, with everything written.

    Example: fer-edge run holiday.jpg --save annotated

    Example: fer-edge run --source 0 --preview --csv faces.csv
    """
    settings = read_flags_file(config, RunSettings()) if config else RunSettings()
    settings = typed(settings, ctx)
    if place is not None:
        if was_typed("source", ctx):
            raise UsageError(f"give one source: {place}, or --source {settings.source}")
        settings = replace(settings, source=place)
    from fer_edge.app.run import run as run_source

    if not run_source(settings, json=json):
        raise typer.Exit(1)
