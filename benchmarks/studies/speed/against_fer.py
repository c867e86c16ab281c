"""Comparison of fer-edge with PyPI `fer` on the same frames: latency, detected faces, start-up time, memory.

python -m venv runs/fer
runs/fer/bin/pip install fer==25.10.3 'opencv-contrib-python<5' 'setuptools<81'
python -m studies.speed.against_fer --expw expw --faces faces --python runs/fer/bin/python --out runs/against_fer.json

(OpenCV 5 has no Haar cascades, and newer setuptools no pkg_resources: `fer` needs both.) The VGA frames are made of the
photos of `faces.csv` that our training did not see (split valid): one, four or nine per frame, each as large as fits.
Ground truth is YuNet's confident detections in `faces.csv` and people's boxes in ExpW's `label.lst`; detections are
matched by `detection_metrics.match_detections`. `--video` adds the frames of a video, for latency only: there fer-edge
also tracks faces, as `fer-edge run` does.

Each library runs in its own process (fer_worker.py) with its defaults: `fer` on all cores, fer-edge on one. Both
process each frame, in alternating order; latencies are compare by the median of the ratios per frame. Start-up is
measured in fresh processes, also alternating, with files in the page cache: from the first line, including all imports,
to the first result. Memory is the peak resident memory after all frames.
"""

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Any, cast

import cv2
import numpy as np
import typer
from rich.table import Table

from fer_edge.console import console, print_json, progress
from fer_edge.errors import BenchmarkError
from fer_edge.files import write_json
from fer_edge.imaging.boxes import Floats, overlaps
from fer_edge.imaging.images import Pixels
from fer_edge.sources import open_source
from fer_edge_bench.figures import paired_ratio
from fer_edge_bench.machine import describe
from studies.accuracy.detection_metrics import MIN_IOU, match_detections
from studies.accuracy.marked_photos import read_labelled
from studies.speed.fer_worker import SHAPE

GOALS = {"times_faster": 30.0, "times_the_faces": 2.0, "times_sooner": 20.0, "times_less_memory": 5.0}
GRIDS = {"one photo": 1, "four photos": 2, "nine photos": 3}
"""Kinds of frames, and the number of photos per row and column."""
RIVALS = ("fer", "fer-mtcnn")
PACKAGES = ("fer", "opencv-contrib-python", "tensorflow", "facenet-pytorch", "torch", "torchvision", "numpy")
WARM_UP = 10
"""Frames that are not timed."""


@dataclass(frozen=True)
class AnnotatedFrame:
    """A frame and its annotated faces."""

    pixels: Pixels
    faces: Floats
    """(n, 4): x, y, w, h of all faces: YuNet's confident detections and people's boxes."""
    labelled: Floats
    """(m, 4): boxes drawn by people, in the same format."""
    ignored: Floats
    """(k, 4): regions where a detection is neither true nor false positive."""


def read_frames(expw: Path, faces: Path) -> list[AnnotatedFrame]:
    """Read the photos that our training did not see, with YuNet's and people's boxes."""
    photos = []
    for photo, pixels, labelled, yunet_boxes in read_labelled(expw, faces):
        confident = yunet_boxes[photo.confident]
        unmatched = overlaps(labelled, confident).max(axis=1, initial=0) < MIN_IOU
        photos.append(
            AnnotatedFrame(
                pixels, np.concatenate([confident, labelled[unmatched]]), labelled, yunet_boxes[~photo.confident]
            )
        )
    return photos


def tile(photos: list[AnnotatedFrame], side: int) -> AnnotatedFrame:
    """Arrange side x side photos in one VGA frame, each as large as fits, on grey."""
    height, width = SHAPE[0] // side, SHAPE[1] // side
    canvas = np.full(SHAPE, 128, np.uint8)
    parts: dict[str, list[Floats]] = defaultdict(list)
    for number, photo in enumerate(photos):
        scale = min(width / photo.pixels.shape[1], height / photo.pixels.shape[0])
        w, h = min(width, round(scale * photo.pixels.shape[1])), min(height, round(scale * photo.pixels.shape[0]))
        x, y = number % side * width + (width - w) // 2, number // side * height + (height - h) // 2
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[y : y + h, x : x + w] = cv2.resize(photo.pixels, (w, h), interpolation=method)
        for kind in ("faces", "labelled", "ignored"):
            parts[kind].append(getattr(photo, kind) * np.float32(scale) + np.array([x, y, 0, 0], np.float32))
    return AnnotatedFrame(canvas, **{kind: np.concatenate(rows) for kind, rows in parts.items()})


def tile_all(photos: list[AnnotatedFrame], side: int) -> list[AnnotatedFrame]:
    """Return all frames of one grid; photos that do not fill the last frame are skipped."""
    each = side * side
    return [tile(photos[first : first + each], side) for first in range(0, len(photos) - each + 1, each)]


class Worker:
    """A process that runs one of the libraries."""

    def __init__(self, python: str, library: str, frames: Path) -> None:
        """Start the process; it loads the library in the background."""
        self.library, self.peak_mb = library, 0.0
        self._command = [python, str(Path(__file__).with_name("fer_worker.py")), library, str(frames)]
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._to, self._from = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # it exits at the end of its input

    def detect(self, number: int) -> dict[str, Any]:
        """Detect the faces in a frame.

        Raises:
            BenchmarkError: The process has exited.
        """
        line = b""
        with suppress(BrokenPipeError):
            self._to.write(b"%d\n" % number)
            self._to.flush()
            line = self._from.readline()
        if not line:
            raise BenchmarkError(f"{self.library}: the worker exited; to see why: echo 0 | {' '.join(self._command)}")
        answer = dict(json.loads(line))
        self.peak_mb = answer["peak_mb"]
        return answer


ResultPair = tuple[dict[str, Any], dict[str, Any]]
"""Results of fer-edge and of the rival for the same frame."""


def run_alternately(ours: Worker, rival: Worker, count: int) -> list[ResultPair]:
    """Run both on each of `count` frames, in alternating order."""
    pairs: list[ResultPair] = []
    for number in range(min(WARM_UP, count)):
        ours.detect(number)
        rival.detect(number)
    with progress() as bar:
        for number in bar.track(range(count), description=f"{ours.library} and {rival.library}"):
            order = (ours, rival) if number % 2 else (rival, ours)
            results = {worker.library: worker.detect(number) for worker in order}
            pairs.append((results[ours.library], results[rival.library]))
    return pairs


def compare_startup(python: str, rival: str, frame: AnnotatedFrame, count: int) -> dict[str, Any]:
    """Start both alternately and run each on one frame; the first start of each fills the page cache."""
    pairs: list[ResultPair] = []
    with TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.bin"
        frames.write_bytes(frame.pixels.tobytes())
        for number in range(count + 1):
            results = {}
            for library in ("fer-edge", rival) if number % 2 else (rival, "fer-edge"):
                with Worker(sys.executable if library == "fer-edge" else python, library, frames) as worker:
                    results[library] = worker.detect(0)
            pairs.append((results["fer-edge"], results[rival]))
    return {"starts": count} | compare("times_sooner", pairs[1:], ("fer-edge", rival), "since_start_s")


def compare(name: str, pairs: list[ResultPair], libraries: tuple[str, str], metric: str) -> dict[str, Any]:
    """Return the medians of a metric of both, and the paired ratio."""
    columns = [[pair[side][metric] for pair in pairs] for side in (0, 1)]
    medians = {library: round(statistics.median(column), 3) for library, column in zip(libraries, columns, strict=True)}
    return {metric: medians, name: paired_ratio(columns[1], columns[0])}


def count_detections(frames: list[AnnotatedFrame], results: list[dict[str, Any]]) -> dict[str, int]:
    """Count the true positives, those among people's boxes, and the false positives."""
    found = own = false = 0
    for frame, result in zip(frames, results, strict=True):
        boxes = np.array(result["boxes"], np.float32).reshape(-1, 4)
        scores = np.ones(len(boxes), np.float32)
        hits = match_detections(boxes, scores, frame.faces, frame.ignored).hits
        found, false = found + int(hits.sum()), false + int((1 - hits).sum())
        own += int(match_detections(boxes, scores, frame.labelled, frame.ignored).hits.sum())
    return {"found": found, "found_of_own": own, "false": false}


def compare_frames(ours: str, rival: str, python: str, annotated: list[AnnotatedFrame]) -> dict[str, Any]:
    """Compare two libraries on the same frames."""
    with TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.bin"
        with frames.open("wb") as file:
            file.writelines(frame.pixels.data for frame in annotated)
        with Worker(sys.executable, ours, frames) as own, Worker(python, rival, frames) as other:
            pairs = run_alternately(own, other, len(annotated))
            peaks = {ours: round(own.peak_mb, 1), rival: round(other.peak_mb, 1)}
    row: dict[str, Any] = {"frames": len(annotated), "peak_mb": peaks}
    row |= compare("times_faster", pairs, (ours, rival), "ms")
    row |= compare("times_less_cpu", pairs, (ours, rival), "cpu_ms")
    row["times_less_memory"] = round(peaks[rival] / peaks[ours], 2)
    if any(len(frame.faces) for frame in annotated):
        row |= {
            "faces": sum(len(frame.faces) for frame in annotated),
            "own": sum(len(frame.labelled) for frame in annotated),
        }
        sides = {
            ours: count_detections(annotated, [pair[0] for pair in pairs]),
            rival: count_detections(annotated, [pair[1] for pair in pairs]),
        }
        row |= {"found": sides, "times_the_faces": round(sides[ours]["found"] / max(1, sides[rival]["found"]), 2)}
    return row


def compare_all(
    sets: dict[str, list[AnnotatedFrame]], rivals: list[str], python: str, starts: int
) -> Iterator[dict[str, Any]]:
    """Compare with one rival after the other: start-up, then each set of frames."""
    for rival in rivals:
        start = compare_startup(python, rival, sets["one photo"][0], starts)
        yield {"of": "start", "ours": "fer-edge", "rival": rival} | start
        for name, frames in sets.items():
            for ours in ("fer-edge", "fer-edge-tracking") if name == "video" else ("fer-edge",):
                yield {"of": name, "ours": ours, "rival": rival} | compare_frames(ours, rival, python, frames)


def goals(row: dict[str, Any]) -> dict[str, bool]:
    """Say which goals a row meets; it need not have a metric for each."""
    values = {name: row[name]["p50"] if isinstance(row[name], dict) else row[name] for name in GOALS if name in row}
    return {name: value >= GOALS[name] for name, value in values.items()}


def as_table(rows: list[dict[str, Any]]) -> Table:
    """Return a table with a row per comparison; paired ratios as median, with the middle 80 % in brackets."""
    goals = ", ".join(f"{name.removeprefix('times_').replace('_', ' ')} {goal:g}" for name, goal in GOALS.items())
    caption = f"times that fer-edge is better; goals: {goals}; *: goal missed"
    table = Table(title="fer-edge and PyPI fer", title_justify="left", caption=caption, caption_justify="left")
    for name in ("", "ours", "rival", *(name.removeprefix("times_").replace("_", " ") for name in GOALS)):
        table.add_column(name)
    for row in rows:
        cells = []
        for name in GOALS:
            value, missed = row.get(name, ""), "" if row["met"].get(name, True) else " *"
            if isinstance(value, dict):
                value = f"{value['p50']:.1f} ({value['p10']:.0f}-{value['p90']:.0f})"
            cells.append(f"{value}{missed}")
        table.add_row(row["of"], row["ours"], row["rival"], *cells)
    return table


def packages(python: str) -> dict[str, str]:
    """Return the versions of `fer` and its dependencies."""
    freeze = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    found = dict(line.split("==", 1) for line in freeze.splitlines() if "==" in line)
    return {name: found[name] for name in PACKAGES if name in found}


def main(
    expw: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    faces: Annotated[Path, typer.Option(help="Folder with faces.csv and pictures/.")],
    python: Annotated[str, typer.Option(help="Python of the environment with `fer`.")],
    rival: Annotated[list[str] | None, typer.Option(help="fer or fer-mtcnn; default: both.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video with faces; default: none.")] = None,
    video_frames: Annotated[int, typer.Option(min=1, help="Use its first n frames.")] = 975,
    photos: Annotated[int | None, typer.Option(min=9, help="Use only n photos; default: all.")] = None,
    starts: Annotated[int, typer.Option(min=1, help="Starts of each library.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the JSON to this file, too.")] = None,
) -> None:
    """Run all comparisons and print a table and JSON; `--out` is written after each comparison."""
    held_out = read_frames(expw, faces)[:photos]
    sets = {name: tile_all(held_out, side) for name, side in GRIDS.items()}
    if video:
        nothing = np.zeros((0, 4), np.float32)
        pictures = [cv2.resize(one.bgr, SHAPE[1::-1]) for one in islice(open_source(str(video)), video_frames)]
        sets["video"] = [AnnotatedFrame(cast(Pixels, picture), nothing, nothing, nothing) for picture in pictures]
    document: dict[str, Any] = {"goals": GOALS, "rows": [], "packages": packages(python), "machine": describe()}
    for row in compare_all(sets, rival or list(RIVALS), python, starts):
        document["rows"].append(row | {"met": goals(row)})
        if out:
            write_json(out, document)
    console.print(as_table(document["rows"]))
    print_json(document)


if __name__ == "__main__":
    typer.run(main)
