"""The runtime's commands: flags only. Nothing heavy is imported before one of them runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_edge.preview import PORT

app = typer.Typer()

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ModelArgument = Annotated[
    Path | None, typer.Argument(metavar="[MODEL]", help="A .tflite of fer-edge export; default: the bundled one.")
]

FRAMES, FACES, OUTPUTS = "Frames", "Faces", "Outputs"
"""Panels of `run --help`."""


@app.command()
def run(
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="A .tflite of fer-edge export; default: the bundled one.")
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            "-s",
            envvar="FER_EDGE_SOURCE",
            help="Picture, folder, 'pattern*.jpg', video file, number of a camera, picam, rtsp:// or http:// address, "
            "- (standard input) or fake (drawn faces).",
        ),
    ] = "0",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line per frame on stdout.")] = False,
    threads: Annotated[
        str, typer.Option(metavar="N|auto", help="Threads of the detector and the classifier; auto: as many as help.")
    ] = "1",
    size: Annotated[
        str | None, typer.Option(metavar="WxH", rich_help_panel=FRAMES, help="Ask a camera for it, such as 640x480.")
    ] = None,
    fps: Annotated[float | None, typer.Option(rich_help_panel=FRAMES, help="Ask a camera for this frame rate.")] = None,
    rotate: Annotated[Literal[0, 90, 180, 270], typer.Option(rich_help_panel=FRAMES, help="Degrees clockwise.")] = 0,
    mirror: Annotated[bool, typer.Option("--mirror", rich_help_panel=FRAMES, help="Swap left and right.")] = False,
    vid_stride: Annotated[
        int, typer.Option(min=1, rich_help_panel=FRAMES, help="Take every n-th frame of a video or camera.")
    ] = 1,
    loop: Annotated[
        bool, typer.Option("--loop", rich_help_panel=FRAMES, help="Begin again at the end of a file.")
    ] = False,
    realtime: Annotated[
        bool, typer.Option("--realtime", rich_help_panel=FRAMES, help="Play a file as if it were a camera.")
    ] = False,
    detector: Annotated[
        Literal["auto", "int8", "float16", "none"],
        typer.Option(
            rich_help_panel=FACES,
            help="auto: YuNet, in the form that this processor computes fastest; int8, float16: in that form; none: "
            "each picture is a face crop already.",
        ),
    ] = "auto",
    detector_model: Annotated[
        Path | None,
        typer.Option(rich_help_panel=FACES, help="A face detector's .tflite; default: the bundled one."),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            rich_help_panel=FACES,
            help="Score from which on something is a face; default: the detector's own.",
        ),
    ] = None,
    detect_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=FACES,
            help="Look for faces every n-th frame, follow them in between; default: 3, with --blur 1.",
        ),
    ] = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=FACES, help="Look for faces as often, and in frames as large, as this mean time allows."
        ),
    ] = None,
    max_faces: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=FACES, help="Look at the largest ones only.")
    ] = None,
    min_face: Annotated[
        float, typer.Option(min=0, rich_help_panel=FACES, help="Longer side of the smallest face, in pixels.")
    ] = 0,
    no_smooth: Annotated[
        bool, typer.Option("--no-smooth", rich_help_panel=FACES, help="Name each frame's expression by itself.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=OUTPUTS,
            help="Write annotated pictures, or an .mp4, into this folder; of a camera, one every five minutes.",
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=OUTPUTS, help="Add a row per face and frame to this table."),
    ] = None,
    on_change: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            envvar="FER_EDGE_ON_CHANGE",
            rich_help_panel=OUTPUTS,
            help="Run it, without a shell, when an expression changes in a video; it finds what changed in "
            "FER_EDGE_ID, _BEFORE, _AFTER, _SCORE and _T.",
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            envvar="FER_EDGE_MQTT",
            rich_help_panel=OUTPUTS,
            help="Publish to this broker, and through it to Home Assistant: mqtt://host, mqtt://user@host:port, or "
            "mqtts:// for TLS. The password may stand in FER_EDGE_MQTT_PASSWORD.",
        ),
    ] = None,
    mqtt_topic: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", rich_help_panel=OUTPUTS, help="Publish below it; default: fer-edge/HOSTNAME."),
    ] = None,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            rich_help_panel=OUTPUTS,
            help="Serve the live page; a film then comes at its own pace, and the page stays at its end.",
        ),
    ] = False,
    preview_port: Annotated[int, typer.Option(rich_help_panel=OUTPUTS, help="Port of the live page.")] = PORT,
    preview_host: Annotated[
        str, typer.Option(rich_help_panel=OUTPUTS, help="Its address; any but a loopback one asks for a token.")
    ] = "127.0.0.1",
    preview_token: Annotated[
        str | None,
        typer.Option(
            envvar="FER_EDGE_PREVIEW_TOKEN",
            rich_help_panel=OUTPUTS,
            help="What its viewers have to bring; one is made where it is needed.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", rich_help_panel=OUTPUTS, help="Open the live page in this machine's browser.")
    ] = False,
    blur: Annotated[
        bool, typer.Option("--blur", rich_help_panel=OUTPUTS, help="Hide faces in all that is shown or saved.")
    ] = False,
) -> None:
    """Find the faces of a picture, folder, video or camera and name their expressions.

    In --json, "id" is the same for the same face from frame to frame (of a picture, its number in there), and "stable"
    says that the label is not "uncertain". Ctrl-C or SIGTERM ends it, with everything written.

    Example: fer-edge run --source holiday.jpg --save annotated

    Example: fer-edge run --source 0 --preview --csv faces.csv
    """
    from fer_edge.app.run import PreviewSettings, RunSettings
    from fer_edge.app.run import run as run_source
    from fer_edge.device.processor import parsed_threads
    from fer_edge.sources import View
    from fer_edge.sources.frame import parsed_size
    from fer_edge.tracking.pipeline import FollowSettings
    from fer_edge.tracking.smoothing import CALM

    settings = RunSettings(
        model=model,
        source=source,
        view=View(parsed_size(size) if size else None, fps, rotate, mirror, vid_stride, loop, realtime),
        detector=detector,
        detector_model=detector_model,
        conf=conf,
        threads=parsed_threads(threads),
        follow=FollowSettings(detect_every, budget_ms, max_faces, min_face),
        smooth=None if no_smooth else CALM,
        blur=blur,
        save=save,
        csv=csv,
        on_change=on_change,
        mqtt=mqtt,
        mqtt_topic=mqtt_topic,
        preview=PreviewSettings(preview_host, preview_port, preview_token, show) if preview or show else None,
    )
    if not run_source(settings, json=json):
        raise typer.Exit(1)


@app.command()
def info(model: ModelArgument = None, json: JsonOption = False) -> None:
    """Show what a model file promises: input, network, data, figures. Without MODEL, all bundled ones.

    Example: fer-edge info runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.console import console, print_json
    from fer_edge.inspection.any_model import read_any
    from fer_edge.inspection.info import as_json, as_table

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

    Without MODEL, all bundled ones.

    Example: fer-edge selftest runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.console import console, print_json
    from fer_edge.inspection.any_model import read_any, repeat_golden
    from fer_edge.inspection.selftest import as_json, as_text, check

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
    from fer_edge.detection.detector import BUNDLED_DETECTORS
    from fer_edge.recognition.classifier import BUNDLED

    return [given] if given else [BUNDLED, *BUNDLED_DETECTORS.values()]
