"""Does `fer-edge run` stay as it was, all day long? Memory, threads, open files and frame ages over two hours of film.

python -m studies.accuracy.tracking_clip --photos expw/origin --out runs/clip
python -m studies.robustness.soak --film runs/clip/clip.mp4 --out runs/soak

The film is brought to VGA and 30 frames per second, and the command itself goes through it, again and again, in a
process of its own: JSON lines into a pipe that is read here, a CSV table into a file. Once 216,000 frames as fast as
they go; then some minutes as if they came from a camera, with the live page: there the newest frame wins, and a
result's age means something. Every few frames the process is looked at from outside, in /proc, so on Linux. Memory is
flat if even the upper end of its slope, two standard errors above it, is less than `FLAT_MB` per hour of film. Ctrl-C
ends a part early; what was seen until then is written.
"""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from matplotlib.figure import Figure

from fer_edge.console import console, print_json, progress
from fer_edge.errors import BenchmarkError
from fer_edge.files import make_folder, replacing, write_json
from fer_edge.sinks.video import new_video
from fer_edge.sources import open_source
from fer_edge_bench.figures import spread
from fer_edge_bench.machine import describe

SIZE_WH, FPS = (640, 480), 30
HOUR = 3600 * FPS
"""Frames of an hour of film."""
FLAT_MB = 1.0
"""Per hour of film; 9.7 bytes per frame, which is less than the smallest Python object."""
WARM_UP = 0.1
"""Share of the frames after which memory counts: until then buffers grow to the largest crowd of the film."""
BLOCKS = 20
"""Stretches whose means give the slope."""


@dataclass
class Course:
    """What was seen of a run from outside."""

    frames: list[int] = field(default_factory=list)
    """Number within the film at which the process was looked at; the lists that follow are of the same moments."""
    rss_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    """Of every frame that had a line."""
    faces: int = 0
    """In all frames together."""
    dropped: int = 0
    seconds: float = 0.0
    """That the run took, without its end."""
    end_s: float = 0.0
    """From SIGTERM until the process was gone."""
    exit_code: int | None = None
    interrupted: bool = False

    def look(self, frame: int, pid: int) -> None:
        """Take note of how the process is now."""
        process = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self.frames.append(frame)
        self.rss_mb.append(int(status["VmRSS"].split()[0]) / 1024)
        self.threads.append(int(status["Threads"]))
        self.handles.append(sum(1 for _ in (process / "fd").iterdir()))

    def report(self) -> dict[str, Any]:
        """Say what became of the frames."""
        return {
            "frames": len(self.age_ms),
            "dropped": self.dropped,
            "faces_per_frame": round(self.faces / max(1, len(self.age_ms)), 2),
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
            "age_ms": spread(self.age_ms),
            "end_s": round(self.end_s, 2),
            "exit_code": self.exit_code,
        }

    def growth(self) -> dict[str, Any]:
        """Say what grew; nothing where too little was seen."""
        warm = [row for row, frame in enumerate(self.frames) if frame >= WARM_UP * self.frames[-1]]
        if len(warm) < 2 * BLOCKS:
            return {"looked_at": len(self.frames)}
        frames, memory = np.array(self.frames)[warm], np.array(self.rss_mb)[warm]
        rise, error = slope(frames / HOUR, memory)
        threads = _first_to_last([self.threads[row] for row in warm])
        handles = _first_to_last([self.handles[row] for row in warm])
        return {
            "looked_at": len(self.frames),
            "memory_mb_per_hour": {"slope": round(rise, 4), "standard_error": round(error, 4)},
            "flat": rise + 2 * error < FLAT_MB,
            "memory_mb": _first_to_last(memory.tolist()),
            "threads": threads,
            "handles": handles,
            "left_over": sum(max(0.0, kind["last"] - kind["first"]) for kind in (threads, handles)),
        }


def _first_to_last(values: list[Any]) -> dict[str, float]:
    """Medians of the first and of the last tenth, so that a moment between two files says nothing; and the most."""
    tenth = max(1, len(values) // 10)
    first, last = np.median(values[:tenth]), np.median(values[-tenth:])
    return {"first": round(float(first), 2), "last": round(float(last), 2), "most": round(float(max(values)), 2)}


def slope(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Slope of `y` over `x` by least squares, and its standard error.

    Memory rises in steps, so neighbouring samples know the same: taken as independent, their error would be far too
    small. Means of long stretches are nearly independent, so they are what the line is drawn through.
    """
    across, up = (np.array([part.mean() for part in np.array_split(values, BLOCKS)]) for values in (x, y))
    across = across - across.mean()
    rise = float(across @ up / (across @ across))
    rest = up - up.mean() - rise * across
    return rise, math.sqrt(float(rest @ rest / (across @ across)) / (BLOCKS - 2))


def watched(command: list[str], frames: int, every: int, advance: Callable[[int], None] = lambda frame: None) -> Course:
    """Start a command that prints JSON lines, look at it until so many frames of its film are over, and end it.

    Args:
        command: Such as `fer-edge run --json ...`.
        frames: Of the film, whether they got a line or were dropped.
        every: Lines from one look to the next.
        advance: Is given the number of each frame.

    Raises:
        BenchmarkError: It ended by itself.
    """
    course = Course()
    # In a session of its own, so that Ctrl-C comes here and the process is ended the way a service is.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        begun = time.monotonic()
        try:
            _follow(process, course, frames, every, advance)
        except KeyboardInterrupt:
            course.interrupted = True
        course.seconds = time.monotonic() - begun
        if process.poll() is not None:
            raise BenchmarkError(f"{' '.join(command)} ended by itself, with exit code {process.returncode}")
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        process.communicate()
        course.end_s, course.exit_code = time.monotonic() - asked, process.returncode
    return course


def _follow(
    process: "subprocess.Popen[bytes]", course: Course, frames: int, every: int, advance: Callable[[int], None]
) -> None:
    for line in process.stdout or ():
        result = json.loads(line)
        course.age_ms.append(result["age_ms"])
        course.faces += len(result["faces"])
        course.dropped = result["dropped"]
        if (len(course.age_ms) - 1) % every == 0:
            course.look(result["frame"], process.pid)
            advance(result["frame"])
        if result["frame"] >= frames - 1:
            return
    process.wait()


def shown(name: str, command: list[str], frames: int) -> Course:
    """Watch a command with a bar of how far it is; about a thousand looks."""
    with progress() as bar:
        task = bar.add_task(name, total=frames)
        return watched(command, frames, max(1, frames // 1000), lambda frame: bar.update(task, completed=frame + 1))


def retimed(film: Path, out: Path) -> Path:
    """Write a film anew, with `FPS` frames of `SIZE_WH` a second."""
    with new_video(out, np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8), FPS) as video:
        for frame in open_source(str(film)):
            video.write(cv2.resize(frame.bgr, SIZE_WH, interpolation=cv2.INTER_AREA))
    return out


def draw(path: Path, replayed: Course, live: Course | None) -> None:
    """Draw memory over the frames with its slope, and how old the live run's results were."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    hours = np.array(replayed.frames) / HOUR
    memory = np.array(replayed.rss_mb)
    left.plot(hours, memory, linewidth=1)
    if known := replayed.growth().get("memory_mb_per_hour"):
        rise, error = known.values()
        warm = hours >= WARM_UP * hours[-1]
        line = memory[warm].mean() + rise * (hours[warm] - hours[warm].mean())
        left.plot(hours[warm], line, label=f"{rise:+.3f} ± {error:.3f} MB per hour")
        left.legend()
    left.set(
        xlabel=f"hours of film at {FPS} frames per second", ylabel="resident memory, MB", ylim=(0, 1.2 * memory.max())
    )
    if live:
        ages = np.sort(live.age_ms)
        right.plot(ages, np.arange(1, len(ages) + 1) / len(ages))
        p99 = live.report()["age_ms"]["p99"]
        right.axvline(p99, color="grey", linestyle=":", label=f"99 %: {p99:.1f} ms")
        right.legend()
        right.set_xlim(0, max(2 * p99, 1))
    right.set(xlabel=f"age of a result at {FPS} frames per second, ms", ylabel="share of the frames", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main(
    film: Annotated[
        Path, typer.Option(help="A video with faces, such as that of benchmarks/studies/accuracy/tracking_clip.py.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for soak.json and soak.png.")],
    frames: Annotated[int, typer.Option(min=1, help="To be replayed as fast as they go; default: two hours.")] = 2
    * HOUR,
    minutes: Annotated[float, typer.Option(min=0, help="Of the part that comes as from a camera.")] = 5.0,
) -> None:
    """Replay the film, then play it; print what was seen as JSON, and exit with 5 if anything grew."""
    make_folder(out)
    document: dict[str, Any] = {"film": film.name, "fps": FPS, "size": f"{SIZE_WH[0]}x{SIZE_WH[1]}"}
    courses: list[Course] = []
    with TemporaryDirectory() as made:
        source = retimed(film, Path(made) / "film.mp4")
        run = [sys.executable, "-m", "fer_edge", "run", "--source", str(source), "--loop", "--json"]
        run += ["--csv", f"{made}/faces.csv"]
        parts = {"replayed": (frames, run)}
        if minutes:
            page = ["--preview", "--preview-port", "0"]  # not in the first part: a film is shown no faster than filmed
            parts["live"] = (round(minutes * 60 * FPS), [*run, "--realtime", *page])
        for name, (count, command) in parts.items():
            courses.append(shown(name, command, count))
            document[name] = courses[-1].report() | (courses[-1].growth() if name == "replayed" else {})
            write_json(out / "soak.json", document | {"machine": describe()})
            draw(out / "soak.png", courses[0], courses[1] if len(courses) > 1 else None)
    print_json(document | {"machine": describe()})
    console.print(f"wrote {out}")
    replayed = document["replayed"]
    if not replayed.get("flat", True) or replayed.get("left_over"):
        raise typer.Exit(BenchmarkError.exit_code)


if __name__ == "__main__":
    typer.run(main)
