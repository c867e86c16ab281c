"""The command `demo`; nothing heavy is imported before it runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.options import JsonOption

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for everything it makes.  [default: runs/demo, demo2 ...]")
    ] = None,
    photo: Annotated[
        list[Path] | None, typer.Option(help="A picture for the bundled model; may be given several times.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the drawn faces.")] = 10,
    faces: Annotated[int, typer.Option(min=10, help="Drawn faces of each expression.")] = 150,
    json: JsonOption = False,
) -> None:
    """Show the whole loop in a few minutes, on faces that it draws itself, and leave a report to look at.

    Example: fer-edge demo --photo me.jpg
    """
    from fer_edge.console import print_json
    from fer_edge.demo.loop import demo as show
    from fer_edge.demo.loop import free_folder
    from fer_edge.demo.steps import DemoSettings

    settings = DemoSettings(out or free_folder(Path("runs/demo")), tuple(photo or ()), epochs, faces)
    answer = show(settings)
    if json:
        print_json(answer)
