"""The runtime's commands: flags only. Nothing heavy is imported before one of them runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer()

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ModelArgument = Annotated[
    Path | None, typer.Argument(metavar="[MODEL]", help="A .tflite of fer-edge export.  [default: the bundled one]")
]


@app.command()
def run(
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="A .tflite of fer-edge export.  [default: the bundled one]")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", "-s", help="Picture, folder of pictures, video file, or number of a camera.")
    ] = "0",
    detector: Annotated[
        Literal["auto", "yunet", "haar", "none"],
        typer.Option(help="auto: YuNet, else Haar. none: each picture is a face crop already."),
    ] = "auto",
    detector_model: Annotated[
        Path | None, typer.Option(help="YuNet's file.  [default: $FER_EDGE_HOME, the user's cache, or a download]")
    ] = None,
    conf: Annotated[
        float, typer.Option(min=0, max=1, help="YuNet's score from which on something counts as a face.")
    ] = 0.6,
    vid_stride: Annotated[int, typer.Option(min=1, help="Take every n-th frame of a video or camera.")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of the detector and the classifier.")] = 1,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write annotated pictures, or an .mp4, into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line per frame on stdout.")] = False,
) -> None:
    """Find the faces of a picture, folder, video or camera and name their expressions.

    In --json, "id" numbers the faces within their frame, and "stable" says that the label is not "uncertain".

    Example: fer-edge run --source holiday.jpg --save annotated
    """
    from fer_edge.run import RunSettings
    from fer_edge.run import run as run_source

    settings = RunSettings(model, source, detector, detector_model, conf, vid_stride, threads, save)
    run_source(settings, json=json)


@app.command()
def info(model: ModelArgument = None, json: JsonOption = False) -> None:
    """Show what a model file promises: labels, input, network, data, accuracy.

    Example: fer-edge info runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.classify import BUNDLED
    from fer_edge.console import console, print_json
    from fer_edge.contract import read_model
    from fer_edge.info import as_json, as_table

    found = read_model(model or BUNDLED)
    if json:
        print_json(as_json(found))
    else:
        console.print(as_table(found))


@app.command()
def selftest(model: ModelArgument = None, json: JsonOption = False) -> None:
    """Repeat on this machine what the workstation got for the drawn faces in a model file; exit 1 if it differs.

    Example: fer-edge selftest runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.classify import BUNDLED
    from fer_edge.console import console, print_json
    from fer_edge.contract import read_model
    from fer_edge.selftest import as_json, as_text, check
    from fer_edge.selftest import selftest as repeat

    found = read_model(model or BUNDLED)
    stages = repeat(found)
    for stage in stages:
        console.print(as_text(stage))
    if json:
        print_json(as_json(found, stages))
    check(found, stages)
