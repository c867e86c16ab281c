"""The command `runs`; heavy packages are imported only when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.console import print_json
from fer_edge.errors import UsageError, needs
from fer_edge.options import JsonOption

app = typer.Typer()

ProjectOption = Annotated[Path, typer.Option(help="Folder of the runs.")]


@app.callback(invoke_without_command=True)
def runs(ctx: typer.Context, project: ProjectOption = Path("runs/train"), json: JsonOption = False) -> None:
    """List runs, the newest first: data, network, epochs, best accuracy, time, state.

    Example: fer-edge runs --project runs/train

    Compare two: fer-edge runs compare runs/train/exp runs/train/exp2
    """
    if ctx.invoked_subcommand:
        return
    with needs("train"):
        from fer_edge_train.runs.listing import read_runs
        from fer_edge_train.runs.report import show_runs
    found, refused = read_runs(project)
    show_runs(found, refused, project)
    if json:
        print_json({"runs": [run.as_json() for run in found], "refused": refused})


@app.command()
def compare(
    run: Annotated[list[Path], typer.Argument(help="Run folders, or names of runs in --project.")],
    out: Annotated[Path, typer.Option(help="Plot of the learning curves (.png) to write.")] = Path("compare.png"),
    project: ProjectOption = Path("runs/train"),
    json: JsonOption = False,
) -> None:
    """Plot the learning curves of several runs, and list the differences in settings and metrics.

    Example: fer-edge runs compare runs/train/exp runs/train/exp2 --out curves.png
    """
    if out.suffix != ".png":
        raise UsageError(f"--out {out}: name a .png file")
    with needs("train"):
        from fer_edge_train.runs.listing import differences, figures, find_runs, short_names
        from fer_edge_train.runs.report import draw, show_comparison
    found = find_runs([str(name) for name in run], project)
    draw(out, found)
    show_comparison(found, out)
    if json:
        document = {"runs": short_names(found), "differences": differences(found), "figures": figures(found)}
        print_json({**document, "picture": str(out)})
