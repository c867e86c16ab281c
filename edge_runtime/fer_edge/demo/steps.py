"""The commands of the demo, as a reader would type them, and running one."""

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
    """What the demo may be told."""

    out: Path
    """Folder for everything it makes."""
    photos: tuple[Path, ...] = ()
    """Pictures for the bundled model."""
    epochs: int = 10
    per_class: int = 150
    """Drawn faces of each expression."""
    max_drop: float = 0.02
    """Accuracy that int8 may lose: with 240 faces to judge on, one is 0.004."""

    @property
    def run(self) -> Path:
        """The run folder that `train` makes."""
        return self.out / "train" / "drawn"

    @property
    def model(self) -> Path:
        """The int8 model that `export` makes."""
        return self.run / "export" / "model_int8.tflite"


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    title: str
    why: str
    arguments: tuple[str, ...]
    answer: Path | None = None
    """File that takes its stdout."""

    @property
    def command(self) -> str:
        """The line that a reader would type."""
        line = shlex.join(["fer-edge", *self.arguments])
        return f"{line} > {shlex.quote(str(self.answer))}" if self.answer else line


@dataclass(frozen=True)
class Ran:
    """A step that ended well."""

    step: Step
    seconds: float


def steps(settings: DemoSettings) -> list[Step]:
    """List the commands in the order in which they run."""
    out, data, model = settings.out, settings.out / "master_data", settings.model
    return [
        Step(
            "prepare",
            "Read the pictures and split them",
            "Finds out how a data set is laid out, crops its faces, and keeps a fifth of them aside for testing.",
            ("prepare", "--data", f"{out}/drawn", "--out", f"{data}", "--json"),
            out / "prepare.json",
        ),
        Step(
            "train",
            "Train a small network",
            "A short run: small batches, weights averaged over few steps, no augmentation. Photos need more of it.",
            ("train", "--data", f"{data}", "--network", "edge", "--epochs", f"{settings.epochs}", "--batch", "16",
             "--ema", "0.9", "--no-augment", "--project", f"{out}/train", "--name", "drawn"),
        ),
        Step(
            "evaluate",
            "Judge it on faces it has not seen",
            "Accuracy alone hides a class that is never found, so there is a recall for each.",
            ("evaluate", "--model", f"{settings.run}", "--data", f"{data}", "--split", "testing",
             "--project", f"{out}/evaluate", "--name", "drawn", "--json"),
            out / "evaluate.json",
        ),
        Step(
            "export",
            "Make it an int8 model, and prove what that costs",
            "Judges the float and the int8 model on the same faces; a drop larger than allowed ends with exit code 3.",
            ("export", f"{settings.run}", "--max-drop", f"{settings.max_drop}"),
        ),
        Step(
            "selftest",
            "Repeat the workstation's answers",
            "The model file carries sixteen drawn faces and the answers to them. Type this on the Pi, too.",
            ("selftest", f"{model}", "--json"),
            out / "selftest.json",
        ),
        Step(
            "benchmark",
            "Measure how long it takes here",
            "Time for each stage, from the video's frame to the expression, float beside int8.",
            ("benchmark", "--model", f"{model}", "--source", f"{out}/clip.mp4", "--json"),
            out / "benchmark.json",
        ),
        Step(
            "run",
            "Run it on a video",
            "Finds the faces in each frame and names their expressions: one line of JSON for each frame.",
            ("run", "--model", f"{model}", "--source", f"{out}/clip.mp4", "--save", f"{out}/annotated", "--json"),
            out / "clip.jsonl",
        ),
        *[_photo_step(settings, number, photo) for number, photo in enumerate(settings.photos, start=1)],
    ]  # fmt: skip


def _photo_step(settings: DemoSettings, number: int, photo: Path) -> Step:
    return Step(
        f"photo{number}",
        f"Run the bundled model on {photo.name}",
        "Without --model, the model that comes with fer-edge is used. It was trained on photos of people.",
        ("run", "--source", f"{photo}", "--save", f"{settings.out}/photo{number}", "--json"),
        settings.out / f"photo{number}.jsonl",
    )


def run_step(step: Step) -> Ran:
    """Run one command; what it tells people goes to the terminal as it comes.

    Raises:
        FerEdgeError: It ended with another exit code than 0, which becomes the demo's own.
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
                f"fer-edge {step.arguments[0]} ended with exit code {code}; to repeat it: {step.command}"
            )
            error.exit_code = code
            raise error
    seconds = time.monotonic() - start
    console.print(f"took {seconds:.1f} s", style="dim")
    return Ran(step, seconds)


@contextmanager
def _answer_of(step: Step) -> Iterator[int]:
    """Give a descriptor for the step's stdout: the terminal, or its file, which stays only if the step ends well."""
    if step.answer is None:
        yield sys.stderr.fileno()  # the demo's own stdout is for its JSON
        return
    with replacing(step.answer) as temporary, temporary.open("wb") as stream:
        yield stream.fileno()
