"""`fer-edge run`: its flags are the fields of its settings. Nothing heavy is imported before it runs."""

from typing import Annotated

import typer

from fer_edge.options import takes, typed
from fer_edge.settings import RunSettings

app = typer.Typer()


@app.command()
@takes(RunSettings)
def run(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line per frame on stdout.")] = False,
) -> None:
    """Recognize the facial expressions in an image, folder, video or camera stream.

    In --json, "id" is the same for the same face from frame to frame (of a picture, its number in there), and "stable"
    says that the label is not "uncertain". Ctrl-C or SIGTERM ends it, with everything written.

    Example: fer-edge run --source holiday.jpg --save annotated

    Example: fer-edge run --source 0 --preview --csv faces.csv
    """
    from fer_edge.app.run import run as run_source

    if not run_source(typed(RunSettings(), ctx), json=json):
        raise typer.Exit(1)
