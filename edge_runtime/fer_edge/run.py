"""`fer-edge run`: source -> faces -> expressions -> sinks."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import typer

from fer_edge.classify import BUNDLED
from fer_edge.console import console, print_json
from fer_edge.contract import read_model
from fer_edge.detect import Choice, make_detector
from fer_edge.draw import annotated, legend
from fer_edge.recognizer import Recognizer
from fer_edge.sinks import Saver, as_json, as_text
from fer_edge.sources import open_source


@dataclass(frozen=True)
class RunSettings:
    """What `fer-edge run` may be told."""

    model: Path | None = None
    """None for the model that comes with fer-edge."""
    source: str = "0"
    detector: Choice = "auto"
    detector_model: Path | None = None
    """None for the detector that comes with fer-edge."""
    conf: float | None = None
    """Score, 0 to 1, from which on something counts as a face; None for the detector's own."""
    vid_stride: int = 1
    """Every n-th frame of a video or camera."""
    threads: int = 1
    """For detector, classifier and OpenCV."""
    save: Path | None = None
    """Folder for annotated pictures or video."""


def run(settings: RunSettings, *, json: bool = False) -> None:
    """Go through a source, and print a line per frame on stdout: for people, or JSON.

    Raises:
        FerEdgeError: Model, detector or source cannot be had, or nothing can be written.
    """
    cv2.setNumThreads(settings.threads)
    frames = open_source(settings.source, settings.vid_stride)
    model = read_model(settings.model or BUNDLED)
    detector = make_detector(settings.detector, settings.detector_model, settings.conf, settings.threads)
    recognizer = Recognizer(model, detector, settings.threads)
    if settings.save and (told := legend(model.contract.labels)):
        console.print(f"OpenCV draws ASCII letters only; in what is saved, {told}")
    with ExitStack() as stack:
        saver = stack.enter_context(Saver(settings.save)) if settings.save else None
        for frame in frames:
            result = recognizer.stages(frame.bgr)
            if json:
                print_json(as_json(frame, result), indent=None)
            else:
                typer.echo(as_text(frame, result))
            if saver:
                saver.write(frame, annotated(frame.bgr, result.faces), settings.vid_stride)
    if saver:
        count = len(saver.written)
        console.print(f"wrote {count} {'file' if count == 1 else 'files'} to {settings.save}")
