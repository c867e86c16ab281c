"""Long-run test of `fer-edge run`: memory, threads, open files and result age over two hours of video.

python -m studies.accuracy.tracking_clip --photos expw/origin --out runs/clip
python -m studies.robustness.soak --video runs/clip/clip.mp4 --out runs/soak

The video is converted to VGA at 30 frames per second, and `fer-edge run` plays it in a loop in its own process, with
JSON lines to a pipe and CSV to a file: first 216,000 frames as fast as possible, then some minutes in real time as from
a camera, with the live page, where frames may be dropped and the age of a result is meaningful. Every few frames the
process is sampled in /proc (Linux only). Memory is flat if its slope plus two standard errors is less than `FLAT_MB`
per hour of video. Ctrl-C ends a part early; the results until then are written.
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
"""Frames in an hour of video."""
FLAT_MB = 1.0
"""MB per hour of video, or 9.7 bytes per frame, which is less than the smallest Python object."""
WARM_UP = 0.1
"""Share of the frames excluded from memory growth: until then buffers grow to their largest size."""
BLOCKS = 20
"""Number of blocks whose means the slope is fitted to."""


@dataclass
class RunRecord:
    """Samples of a running process, and its results."""

    frames: list[int] = field(default_factory=list)
    """Frame index of each sample; the next three lists have one value per sample."""
    rss_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    """Age of the result of every processed frame."""
    faces: int = 0
    """Sum over all frames."""
    dropped: int = 0
    seconds: float = 0.0
    """Duration of the run without shutdown."""
    end_s: float = 0.0
    """Time from SIGTERM until the process exited."""
    exit_code: int | None = None
    interrupted: bool = False

    def sample(self, frame: int, pid: int) -> None:
        """Sample memory, threads and open files of the process."""
        process = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self.frames.append(frame)
        self.rss_mb.append(int(status["VmRSS"].split()[0]) / 1024)
        self.threads.append(int(status["Threads"]))
        self.open_files.append(sum(1 for _ in (process / "fd").iterdir()))

    def report(self) -> dict[str, Any]:
        """Return frame counts, result age and shutdown."""
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
        """Return growth of memory, threads and open files; only the sample count if there are too few samples."""
        warm = [row for row, frame in enumerate(self.frames) if frame >= WARM_UP * self.frames[-1]]
        if len(warm) < 2 * BLOCKS:
            return {"looked_at": len(self.frames)}
        frames, memory = np.array(self.frames)[warm], np.array(self.rss_mb)[warm]
        mb_per_hour, error = slope(frames / HOUR, memory)
        threads = _first_to_last([self.threads[row] for row in warm])
        open_files = _first_to_last([self.open_files[row] for row in warm])
        return {
            "looked_at": len(self.frames),
            "memory_mb_per_hour": {"slope": round(mb_per_hour, 4), "standard_error": round(error, 4)},
            "flat": mb_per_hour + 2 * error < FLAT_MB,
            "memory_mb": _first_to_last(memory.tolist()),
            "threads": threads,
            "handles": open_files,
            "left_over": sum(max(0.0, values["last"] - values["first"]) for values in (threads, open_files)),
        }


def _first_to_last(values: list[Any]) -> dict[str, float]:
    """Return medians of the first and last tenth, to ignore short-term changes, and the maximum."""
    tenth = max(1, len(values) // 10)
    first, last = np.median(values[:tenth]), np.median(values[-tenth:])
    return {"first": round(float(first), 2), "last": round(float(last), 2), "most": round(float(max(values)), 2)}


def slope(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Fit the slope of `y` over `x` by least squares; return it with its standard error.

    Memory grows in steps, so neighbouring samples are correlated and their standard error would be far too small. Means
    of long blocks are nearly independent, so the line is fitted to these.
    """
    block_x, block_y = (np.array([part.mean() for part in np.array_split(values, BLOCKS)]) for values in (x, y))
    centred = block_x - block_x.mean()
    fitted = float(centred @ block_y / (centred @ centred))
    residuals = block_y - block_y.mean() - fitted * centred
    return fitted, math.sqrt(float(residuals @ residuals / (centred @ centred)) / (BLOCKS - 2))


def monitor(
    command: list[str], frames: int, every: int, advance: Callable[[int], None] = lambda frame: None
) -> RunRecord:
    """Start a command that prints JSON lines, sample it until `frames` frames are over, and terminate it.

    Args:
        command: Command such as `fer-edge run --json ...`.
        frames: Number of frames, processed or dropped.
        every: Number of lines between samples.
        advance: Called with the index of each sampled frame.

    Raises:
        BenchmarkError: The command exited by itself.
    """
    record = RunRecord()
    # In its own session, so that Ctrl-C reaches this process only, and the command gets SIGTERM, as a service does.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        start = time.monotonic()
        try:
            _read_lines(process, record, frames, every, advance)
        except KeyboardInterrupt:
            record.interrupted = True
        record.seconds = time.monotonic() - start
        if process.poll() is not None:
            raise BenchmarkError(f"{' '.join(command)} exited by itself with exit code {process.returncode}")
        process.send_signal(signal.SIGTERM)
        terminated = time.monotonic()
        process.communicate()
        record.end_s, record.exit_code = time.monotonic() - terminated, process.returncode
    return record


def _read_lines(
    process: "subprocess.Popen[bytes]", record: RunRecord, frames: int, every: int, advance: Callable[[int], None]
) -> None:
    for line in process.stdout or ():
        result = json.loads(line)
        record.age_ms.append(result["age_ms"])
        record.faces += len(result["faces"])
        record.dropped = result["dropped"]
        if (len(record.age_ms) - 1) % every == 0:
            record.sample(result["frame"], process.pid)
            advance(result["frame"])
        if result["frame"] >= frames - 1:
            return
    process.wait()


def monitor_with_progress(name: str, command: list[str], frames: int) -> RunRecord:
    """Monitor a command with a progress bar; about a thousand samples."""
    with progress() as bar:
        task = bar.add_task(name, total=frames)
        return monitor(command, frames, max(1, frames // 1000), lambda frame: bar.update(task, completed=frame + 1))


def convert(video: Path, out: Path) -> Path:
    """Convert a video to `SIZE_WH` pixels, written at `FPS`."""
    with new_video(out, np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8), FPS) as writer:
        for frame in open_source(str(video)):
            writer.write(cv2.resize(frame.bgr, SIZE_WH, interpolation=cv2.INTER_AREA))
    return out


def draw(path: Path, replayed: RunRecord, live: RunRecord | None) -> None:
    """Plot memory over time with its slope, and the distribution of the live run's result age."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    hours = np.array(replayed.frames) / HOUR
    memory = np.array(replayed.rss_mb)
    left.plot(hours, memory, linewidth=1)
    if known := replayed.growth().get("memory_mb_per_hour"):
        mb_per_hour, error = known.values()
        warm = hours >= WARM_UP * hours[-1]
        line = memory[warm].mean() + mb_per_hour * (hours[warm] - hours[warm].mean())
        left.plot(hours[warm], line, label=f"{mb_per_hour:+.3f} ± {error:.3f} MB per hour")
        left.legend()
    left.set(
        xlabel=f"hours of video at {FPS} frames per second", ylabel="resident memory, MB", ylim=(0, 1.2 * memory.max())
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
    video: Annotated[Path, typer.Option(help="A video with faces, such as that of studies.accuracy.tracking_clip.")],
    out: Annotated[Path, typer.Option(help="Folder for soak.json and soak.png.")],
    frames: Annotated[int, typer.Option(min=1, help="Frames to process as fast as possible; default: two hours.")] = 2
    * HOUR,
    minutes: Annotated[float, typer.Option(min=0, help="Minutes in real time, as from a camera.")] = 5.0,
) -> None:
    """Process the video as fast as possible, then in real time; print the results as JSON, exit with 5 on growth."""
    make_folder(out)
    document: dict[str, Any] = {"video": video.name, "fps": FPS, "size": f"{SIZE_WH[0]}x{SIZE_WH[1]}"}
    records: list[RunRecord] = []
    with TemporaryDirectory() as folder:
        source = convert(video, Path(folder) / "video.mp4")
        run = [sys.executable, "-m", "fer_edge", "run", "--source", str(source), "--loop", "--json"]
        run += ["--csv", f"{folder}/faces.csv"]
        parts = {"replayed": (frames, run)}
        if minutes:
            page = [
                "--preview",
                "--preview-port",
                "0",
            ]  # not in the first part: with --preview a video plays in real time
            parts["live"] = (round(minutes * 60 * FPS), [*run, "--realtime", *page])
        for name, (count, command) in parts.items():
            records.append(monitor_with_progress(name, command, count))
            document[name] = records[-1].report() | (records[-1].growth() if name == "replayed" else {})
            write_json(out / "soak.json", document | {"machine": describe()})
            draw(out / "soak.png", records[0], records[1] if len(records) > 1 else None)
    print_json(document | {"machine": describe()})
    console.print(f"wrote {out}")
    replayed = document["replayed"]
    if not replayed.get("flat", True) or replayed.get("left_over"):
        raise typer.Exit(BenchmarkError.exit_code)


if __name__ == "__main__":
    typer.run(main)
