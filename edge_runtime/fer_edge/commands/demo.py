"""The command `demo`; nothing heavy is imported before it runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.options import JsonOption

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Output folder.  [default: runs/demo, demo2 ...]")] = None,
    photo: Annotated[list[Path] | None, typer.Option(help="An image for the bundled model; may be repeated.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Training epochs.")] = 10,
    faces: Annotated[int, typer.Option(min=10, help="Drawn faces per expression.")] = 150,
    json: JsonOption = False,
) -> None:
    """Train, export and run a model in a few minutes, on drawn faces, and write a report.

    Example: fer-edge demo --photo me.jpg
    """
    from fer_edge.console import print_json
    from fer_edge.demo.loop import demo as run_demo
    from fer_edge.demo.loop import free_folder
    from fer_edge.demo.steps import DemoSettings

    settings = DemoSettings(out or free_folder(Path("runs/demo")), tuple(photo or ()), epochs, faces)
    summary = run_demo(settings)
    if json:
        print_json(summary)
