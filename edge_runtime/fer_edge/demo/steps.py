"""The commands of the demo, and how to run one."""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fer_edge.console import console
from fer_edge.errors import FerEdgeError
from fer_edge.files import replacing


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo."""

    out: Path
    """Output folder."""
    photos: tuple[Path, ...] = ()
    """Images for the bundled model."""
    epochs: int = 10
    per_class: int = 150
    """Drawn faces per expression."""
    max_drop: float = 0.02
    """Allowed drop of accuracy in int8: with 240 test faces, one is 0.004."""

    @property
    def run(self) -> Path:
        """Run folder of `train`."""
        return self.out / "train" / "drawn"

    @property
    def model(self) -> Path:
        """Int8 model of `export`."""
        return self.run / "export" / "model_int8.tflite"


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    title: str
    why: str
    arguments: tuple[str, ...]
    answer: Path | None = None
    """File for its stdout."""

    @property
    def command(self) -> str:
        """The command line to type."""
        line = shlex.join(["fer-edge", *self.arguments])
        return f"{line} > {shlex.quote(str(self.answer))}" if self.answer else line


@dataclass(frozen=True)
class Ran:
    """A step that succeeded."""

    step: Step
    seconds: float


def steps(settings: DemoSettings) -> list[Step]:
    """Return the commands in order."""
    out, data, model = settings.out, settings.out / "master_data", settings.model
    return [
        Step(
            "prepare",
            "Read and split the data set",
            "Detects the data set's format, crops its faces, and holds out a fifth of them for testing.",
            ("prepare", "--data", f"{out}/drawn", "--out", f"{data}", "--json"),
            out / "prepare.json",
        ),
        Step(
            "train",
            "Train a small network",
            "A short run: small batches, weights averaged over few steps, no augmentation. Photos need more.",
            ("train", "--data", f"{data}", "--network", "edge", "--epochs", f"{settings.epochs}", "--batch", "16",
             "--ema", "0.9", "--no-augment", "--project", f"{out}/train", "--name", "drawn"),
        ),
        Step(
            "evaluate",
            "Evaluate it on held-out faces",
            "Accuracy alone hides a class that is never predicted, so the recall of each class is reported too.",
            ("evaluate", "--model", f"{settings.run}", "--data", f"{data}", "--split", "testing",
             "--project", f"{out}/evaluate", "--name", "drawn", "--json"),
            out / "evaluate.json",
        ),
        Step(
            "export",
            "Export it to int8, and measure the loss",
            "Evaluates the float and the int8 model on the same faces; a drop larger than allowed exits with code 3.",
            ("export", f"{settings.run}", "--max-drop", f"{settings.max_drop}"),
        ),
        Step(
            "selftest",
            "Verify the reference output",
            "The model file contains sixteen drawn faces and the reference output for them. Run this on the Pi, too.",
            ("selftest", f"{model}", "--json"),
            out / "selftest.json",
        ),
        Step(
            "benchmark",
            "Measure the latency on this machine",
            "Time of each stage, from the video frame to the expression, for float and int8.",
            ("benchmark", "--model", f"{model}", "--source", f"{out}/clip.mp4", "--json"),
            out / "benchmark.json",
        ),
        Step(
            "run",
            "Run it on a video",
            "Detects the faces in each frame and classifies their expressions: one line of JSON per frame.",
            ("run", "--model", f"{model}", "--source", f"{out}/clip.mp4", "--save", f"{out}/annotated", "--json"),
            out / "clip.jsonl",
        ),
        *[_photo_step(settings, number, photo) for number, photo in enumerate(settings.photos, start=1)],
    ]  # fmt: skip


def _photo_step(settings: DemoSettings, number: int, photo: Path) -> Step:
    return Step(
        f"photo{number}",
        f"Run the bundled model on {photo.name}",
        "Without --model, the bundled model is used. It was trained on photos of people.",
        ("run", "--source", f"{photo}", "--save", f"{settings.out}/photo{number}", "--json"),
        settings.out / f"photo{number}.jsonl",
    )


def run_step(step: Step) -> Ran:
    """Run one command; its messages go to the terminal.

    Raises:
        FerEdgeError: It failed; with its exit code.
    """
    console.print(f"\n{step.title}", style="bold")
    console.print(step.why)
    console.print(f"$ {step.command}", style="cyan")
    start = time.monotonic()
    with _answer_of(step) as stdout:
        command = [sys.executable, "-m", "fer_edge", *step.arguments]
        code = subprocess.run(command, stdout=stdout, check=False).returncode
        if code:
            error = FerEdgeError(
                f"fer-edge {step.arguments[0]} failed with exit code {code}; to run it again, type: {step.command}"
            )
            error.exit_code = code
            raise error
    seconds = time.monotonic() - start
    console.print(f"took {seconds:.1f} s", style="dim")
    return Ran(step, seconds)


@contextmanager
def _answer_of(step: Step) -> Iterator[int]:
    """Yield a descriptor for the step's stdout: the terminal, or its file, which is kept only if the step succeeds."""
    if step.answer is None:
        yield sys.stderr.fileno()  # stdout is for the demo's own JSON
        return
    with replacing(step.answer) as temporary, temporary.open("wb") as stream:
        yield stream.fileno()
