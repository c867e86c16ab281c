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
    recipe: Annotated[
        Literal["int8", "int16x8", "float16", "dynamic", "float32"],
        typer.Option(help="What to make of the network; dynamic: int8 weights, float activations."),
    ] = "int8",
    int8: Annotated[bool, typer.Option("--int8", help="As --recipe int8, which is the default.")] = False,
    auto: Annotated[
        bool, typer.Option("--auto", help="Try int8, int8 with other faces, dynamic, float16, until the gate holds.")
    ] = False,
    calib_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Training faces that set the int8 ranges.", show_default="chosen"),
    ] = None,
    calib_rule: Annotated[
        Literal["minmax", "percentile"] | None,
        typer.Option(help="Ranges take in all values, or leave out 1 in 10,000.", show_default="chosen"),
    ] = None,
    qat_epochs: Annotated[
        int, typer.Option(min=0, help="Epochs of fine-tuning weights and ranges with int8's rounding in between.")
    ] = 0,
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Accuracy that may be lost; more exits with 3.")] = 0.01,
    gate: Annotated[
        Literal["point", "bound"],
        typer.Option(help="Judge the drop as measured, or the upper end of its 95 % interval."),
    ] = "point",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Chooses the calibration faces.")] = 0,
    use_weights: Annotated[Literal["best", "last"], typer.Option(help="Weights of the run.")] = "best",
    protocol: Annotated[
        Literal["majority", "all"], typer.Option(help="Held-out faces that count, where people voted (FER+).")
    ] = "majority",
    labels: Annotated[
        str | None, typer.Option(help="Classes of a .keras file of others, in output order: angry,happy,neutral.")
    ] = None,
    pixels: Annotated[
        Literal["0..1", "0..255", "-1..1", "torch", "caffe"] | None,
        typer.Option(help="Pixels that it was trained on; torch, caffe: as keras.applications prepares them."),
    ] = None,
    colour: Annotated[
        Literal["grey", "rgb", "bgr"] | None,
        typer.Option(help="Colour that it was trained on.", show_default="by its channels: grey, or rgb"),
    ] = None,
    crop_scale: Annotated[
        float, typer.Option(min=0.1, max=10, help="Side of the crops that it was trained on, over the face box's.")
    ] = 1.0,
    c_array: Annotated[
        bool, typer.Option("--c-array", help="Write a C header for TensorFlow Lite Micro, too (int8).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Write a float32 and a quantised .tflite model of a run, and prove on held-out faces what quantisation cost.

    Example: fer-edge export runs/train/edge --max-drop 0.005

    Where int8 loses too much: fer-edge export runs/train/edge --auto

    Of others: fer-edge export theirs.keras --data faces.npz --labels angry,fear,happy,neutral,sad --pixels 0..255
    """
    from fer_edge.console import console, print_json
    from fer_edge_export.accuracy.gate import check
    from fer_edge_export.export import export
    from fer_edge_export.networks.foreign import parse_labels
    from fer_edge_export.report.text import as_table
    from fer_edge_export.settings import ExportSettings, Stated

    if (int8 or auto) and recipe != "int8":
        raise UsageError(f"--recipe {recipe} and {'--auto' if auto else '--int8'} ask for two things; give one")
    if qat_epochs and recipe != "int8":
        raise UsageError(f"--qat-epochs fine-tunes for int8, not for --recipe {recipe}; leave one out")
    settings = ExportSettings(
        data=data,
        calib_samples=calib_samples,
        calib_rule=calib_rule,
        qat_epochs=qat_epochs,
        recipe=None if auto else recipe,
        max_drop=max_drop,
        gate=gate,
        seed=seed,
        use_weights=use_weights,
        protocol=protocol,
        c_array=c_array,
        stated=Stated(parse_labels(labels) if labels is not None else None, pixels, colour, crop_scale),
    )
    folder, report = export(run, settings, out)
    console.print(as_table(report))
    model = folder / f"model_{report['recipe']}.tflite"
    console.print(f"wrote {folder}; try it: fer-edge selftest {shlex.quote(str(model))}")
    if json:
        print_json(report)
    check(report, folder)
