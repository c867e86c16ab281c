"""The commands of this package; nothing heavy is imported before one of them runs."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_edge.errors import UsageError

app = typer.Typer()


@app.command(name="export")
def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of fer-edge train, or a .keras file.")],
    data: Annotated[
        Path | None, typer.Option(help="Prepared set (.npz) to calibrate and judge with, in place of the run's own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the files.", show_default="RUN/export")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Full int8, which is what export always makes.")] = True,
    calib_samples: Annotated[int, typer.Option(min=1, help="Training faces that set the int8 ranges.")] = 500,
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Accuracy int8 may lose; more exits with 3.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Chooses the calibration faces.")] = 0,
    use_weights: Annotated[Literal["best", "last"], typer.Option(help="Weights of the run.")] = "best",
    protocol: Annotated[
        Literal["majority", "all"], typer.Option(help="Held-out faces that count, where people voted (FER+).")
    ] = "majority",
    imgsz: Annotated[
        str | None, typer.Option(metavar="WxH", help="Input of a face detector, such as 640x480; default: as trained.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Write float32 and int8 .tflite models of a run, and prove on held-out faces what int8 cost.

    Example: fer-edge export runs/train/edge --max-drop 0.005
    """
    from fer_edge.console import console, print_json
    from fer_edge_export.export import export
    from fer_edge_export.gate import check
    from fer_edge_export.report import as_table
    from fer_edge_export.settings import ExportSettings

    settings = ExportSettings(data, calib_samples, max_drop, seed, use_weights, protocol, _size(imgsz))
    folder, report = export(run, settings, out)
    console.print(as_table(report))
    console.print(f"wrote {folder}; try it: fer-edge selftest {shlex.quote(str(folder / 'model_int8.tflite'))}")
    if json:
        print_json(report)
    check(report, folder)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and len(text) < 12):
        raise UsageError(f"--imgsz {text}: give width and height, such as 320x240")
    return int(width), int(height)
