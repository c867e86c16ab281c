"""The whole demo: draw faces, run each command, write the report."""

import importlib.util
import time
from pathlib import Path
from typing import Any

from fer_edge.console import console
from fer_edge.demo.dataset import write_clip, write_faces
from fer_edge.demo.pictures import write_readme_picture
from fer_edge.demo.report import write_report
from fer_edge.demo.steps import DemoSettings, run_step, steps
from fer_edge.errors import FerEdgeError, SourceError, needs
from fer_edge.imaging.images import read_picture

TRAINING_PACKAGES = ("tensorflow", "keras", "pandas", "matplotlib")


def demo(settings: DemoSettings) -> dict[str, Any]:
    """Run the whole workflow in `settings.out`, and write a report there.

    Returns:
        JSON object: the report's path, each command with its seconds, and the total seconds.

    Raises:
        FerEdgeError: A requirement is missing, or a command failed; with the command's exit code.
    """
    check_before(settings)
    start = time.monotonic()
    console.print(f"Drawing {settings.per_class} faces of each expression, and a video", style="bold")
    console.print("These are drawings, not photos of people.")
    write_faces(settings.out / "drawn", settings.per_class)
    write_clip(settings.out / "clip.mp4", settings.out / "clip_drawn.jsonl")
    ran = [run_step(step) for step in steps(settings)]
    seconds = time.monotonic() - start
    report = write_report(settings, ran, seconds)
    write_readme_picture(settings.out)
    console.print(f"\nDone. Open the report in a browser: {report}", style="bold")
    commands = [{"command": done.step.command, "seconds": round(done.seconds, 1)} for done in ran]
    return {"report": str(report), "steps": commands, "seconds": round(seconds, 1)}


def check_before(settings: DemoSettings) -> None:
    """Check all requirements before the demo starts.

    Raises:
        FerEdgeError: The [train] packages are missing, a photo cannot be read, or the folder is in use.
    """
    with needs("train"):
        for package in TRAINING_PACKAGES:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
    for photo in settings.photos:
        if not photo.is_file():
            raise SourceError(f"{photo}: no such image")
        read_picture(photo)  # fail now, not after minutes of training
    if settings.out.exists() and (not settings.out.is_dir() or any(settings.out.iterdir())):
        raise FerEdgeError(f"{settings.out} already exists; choose another folder: --out DIR")


def free_folder(folder: Path) -> Path:
    """Return `folder`, or the first of folder2, folder3 ... that does not exist."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}{number}")
    return free
