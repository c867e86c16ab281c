"""The `export` command; heavy imports happen only when it runs."""

import importlib
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fer_edge.errors import UsageError, needs
from fer_edge.native_logs import quiet
from fer_edge.options import JsonOption, takes, typed
from fer_edge_export.settings import ExportSettings

app = typer.Typer()


@app.command(name="export")
@takes(ExportSettings)
def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of fer-edge train, or a .keras file.")],
    ctx: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Output folder.", show_default="RUN/export")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Same as --recipe int8, the default.")] = False,
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Try int8, int8 with other faces, dynamic, float16 until one passes."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Export a run to float32 and quantised .tflite models; measures the accuracy drop on held-out faces.

    Example: fer-edge export runs/train/edge --max-drop 0.005

    If int8 loses too much: fer-edge export runs/train/edge --auto

    Third-party: fer-edge export theirs.keras --data faces.npz --labels angry,fear,happy,neutral,sad --pixels 0..255
    """
    from fer_edge.console import command_line, console, print_json

    settings = typed(ExportSettings(), ctx)
    if (int8 or auto) and settings.recipe != "int8":
        raise UsageError(
            f"--recipe {settings.recipe} and {'--auto' if auto else '--int8'} exclude each other; give one"
        )
    if settings.qat_epochs and settings.recipe != "int8":
        raise UsageError(f"--qat-epochs fine-tunes for int8, not for --recipe {settings.recipe}; leave one out")
    if settings.calib_rule == "percentile" and settings.recipe not in ("int8", None):
        raise UsageError(f"--calib-rule chooses the ranges of int8, not of --recipe {settings.recipe}; leave one out")
    settings = replace(settings, recipe=None) if auto else settings
    with needs("train"), quiet():
        importlib.import_module("keras").ops.zeros(1)  # finds the devices
        from fer_edge_export.accuracy.gate import check
        from fer_edge_export.export import export
        from fer_edge_export.report.text import as_table
        from fer_edge_export.results import as_json
    folder, report = export(run, settings, out, command_line())
    console.print(as_table(report))
    model = folder / report.files[report.recipe].name
    console.print(f"wrote {folder}; try it: fer-edge selftest {shlex.quote(str(model))}")
    if json:
        print_json(as_json(report, report.recipe))
    check(report, folder)
