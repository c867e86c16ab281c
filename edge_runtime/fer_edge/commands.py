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
        Literal["auto", "yunet", "none"],
        typer.Option(help="auto: fer-edge's own. none: each picture is a face crop already."),
    ] = "auto",
    detector_model: Annotated[
        Path | None, typer.Option(help="A detector of fer-edge export, or YuNet's file.  [default: the bundled one]")
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Score from which on something is a face.  [default: the detector's own]"),
    ] = None,
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
    """Show what a model file promises: input, network, data, figures. Without MODEL, both bundled ones.

    Example: fer-edge info runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.any_model import read_any
    from fer_edge.console import console, print_json
    from fer_edge.info import as_json, as_table

    found = [read_any(path) for path in _models(model)]
    if json:
        documents = [as_json(one) for one in found]
        print_json(documents[0] if model else {"models": documents})
    else:
        for one in found:
            console.print(as_table(one))


@app.command()
def selftest(model: ModelArgument = None, json: JsonOption = False) -> None:
    """Repeat on this machine what the workstation got for the drawn faces in a model file; exit 1 if it differs.

    Without MODEL, both bundled ones.

    Example: fer-edge selftest runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.any_model import read_any, repeat_golden
    from fer_edge.console import console, print_json
    from fer_edge.selftest import as_json, as_text, check

    pairs = [(found, repeat_golden(found)) for found in map(read_any, _models(model))]
    for found, stages in pairs:
        console.print(f"{found.path}:")
        for stage in stages:
            console.print(f"  {as_text(stage)}")
    if json:
        documents = [as_json(found, stages) for found, stages in pairs]
        print_json(documents[0] if model else {"models": documents})
    for found, stages in pairs:
        check(found, stages)


def _models(given: Path | None) -> list[Path]:
    """The model that was named, or those that come with fer-edge."""
    from fer_edge.classify import BUNDLED
    from fer_edge.detect import BUNDLED_DETECTOR

    return [given] if given else [BUNDLED, BUNDLED_DETECTOR]
