"""fer-edge beside PyPI `fer` on the same frames: how fast, how many faces, how soon, how much memory.

python -m venv runs/fer
runs/fer/bin/pip install fer==25.10.3 'opencv-contrib-python<5' 'setuptools<81'
python -m studies.speed.against_fer --expw expw --faces faces --python runs/fer/bin/python --out runs/against_fer.json

(OpenCV 5 has no Haar cascades, and newer setuptools no pkg_resources: `fer` needs both.) The frames are VGA, made of
the photos of `faces.csv` that no training of ours saw (split valid): one in each frame, four, or nine, each as large as
it fits. Faces are YuNet's sure marks in `faces.csv` and people's own boxes in ExpW's `label.lst`; what is found
counts as in `detection_metrics.judge`. `--film` adds the frames of a video, for their time only: there fer-edge
also follows faces, as `fer-edge run` does.

Each library runs in a process of its own (fer_worker.py) with its defaults, so `fer` on all cores and fer-edge on one.
Two of them look at each frame one after the other, the other one first next time; the ratio of both times is taken
frame by frame, and its median counts. A start is a fresh process, its files in memory already, in turns as well: from
its first line, with all imports, to its first answer. Memory is the most that was resident after all frames.
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
from studies.accuracy.detection_metrics import ENOUGH, judge
from studies.accuracy.marked_photos import read_labelled
from studies.speed.fer_worker import SHAPE

GOALS = {"times_faster": 30.0, "times_the_faces": 2.0, "times_sooner": 20.0, "times_less_memory": 5.0}
GRIDS = {"one photo": 1, "four photos": 2, "nine photos": 3}
"""Frames, and how many photos stand side by side in them, and as many below one another."""
RIVALS = ("fer", "fer-mtcnn")
PACKAGES = ("fer", "opencv-contrib-python", "tensorflow", "facenet-pytorch", "torch", "torchvision", "numpy")
WARM_UP = 10
"""Frames that do not count."""


@dataclass(frozen=True)
class Shown:
    """A VGA frame and what is known of its faces."""

    pixels: Pixels
    faces: Floats
    """(n, 4): x, y, w, h of all faces that are sure."""
    own: Floats
    """(m, 4): those of people's own boxes, likewise."""
    doubtful: Floats
    """(k, 4): marks that are neither face nor background."""


def read_shown(expw: Path, faces: Path) -> list[Shown]:
    """Read the photos that no training of ours saw, with YuNet's marks and people's boxes."""
    photos = []
    for photo, pixels, own, marked in read_labelled(expw, faces):
        sure = marked[photo.sure]
        alone = overlaps(own, sure).max(axis=1, initial=0) < ENOUGH
        photos.append(Shown(pixels, np.concatenate([sure, own[alone]]), own, marked[~photo.sure]))
    return photos


def tiled(photos: list[Shown], side: int) -> Shown:
    """Show side x side photos in one frame, each as large as it fits, on grey."""
    height, width = SHAPE[0] // side, SHAPE[1] // side
    canvas = np.full(SHAPE, 128, np.uint8)
    parts: dict[str, list[Floats]] = defaultdict(list)
    for number, photo in enumerate(photos):
        scale = min(width / photo.pixels.shape[1], height / photo.pixels.shape[0])
        w, h = min(width, round(scale * photo.pixels.shape[1])), min(height, round(scale * photo.pixels.shape[0]))
        x, y = number % side * width + (width - w) // 2, number // side * height + (height - h) // 2
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[y : y + h, x : x + w] = cv2.resize(photo.pixels, (w, h), interpolation=how)
        for kind in ("faces", "own", "doubtful"):
            parts[kind].append(getattr(photo, kind) * np.float32(scale) + np.array([x, y, 0, 0], np.float32))
    return Shown(canvas, **{kind: np.concatenate(rows) for kind, rows in parts.items()})


def frames_of(photos: list[Shown], side: int) -> list[Shown]:
    """All frames of one grid; what does not fill the last one is left out."""
    each = side * side
    return [tiled(photos[first : first + each], side) for first in range(0, len(photos) - each + 1, each)]


class Worker:
    """A process with one of the libraries."""

    def __init__(self, python: str, library: str, frames: Path) -> None:
        """Start it; it loads the library meanwhile."""
        self.library, self.peak_mb = library, 0.0
        self._command = [python, str(Path(__file__).with_name("fer_worker.py")), library, str(frames)]
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._to, self._from = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # its input ends, and so does it

    def ask(self, number: int) -> dict[str, Any]:
        """Let it find the faces of a frame.

        Raises:
            BenchmarkError: It ended.
        """
        line = b""
        with suppress(BrokenPipeError):
            self._to.write(b"%d\n" % number)
            self._to.flush()
            line = self._from.readline()
        if not line:
            raise BenchmarkError(f"it ended; see why: echo 0 | {' '.join(self._command)}")
        answer = dict(json.loads(line))
        self.peak_mb = answer["peak_mb"]
        return answer


Pair = tuple[dict[str, Any], dict[str, Any]]
"""What fer-edge answered to a frame, and what the rival did."""


def in_turns(ours: Worker, rival: Worker, count: int) -> list[Pair]:
    """Let both look at each of `count` frames, the other one first next time."""
    pairs: list[Pair] = []
    for number in range(min(WARM_UP, count)):
        ours.ask(number)
        rival.ask(number)
    with progress() as bar:
        for number in bar.track(range(count), description=f"{ours.library} and {rival.library}"):
            order = (ours, rival) if number % 2 else (rival, ours)
            answers = {worker.library: worker.ask(number) for worker in order}
            pairs.append((answers[ours.library], answers[rival.library]))
    return pairs


def started(python: str, rival: str, frame: Shown, count: int) -> dict[str, Any]:
    """Start both freshly, in turns, and take each one's answer to a frame; the first two starts fill the page cache."""
    pairs: list[Pair] = []
    with TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.bin"
        frames.write_bytes(frame.pixels.tobytes())
        for number in range(count + 1):
            answers = {}
            for library in ("fer-edge", rival) if number % 2 else (rival, "fer-edge"):
                with Worker(sys.executable if library == "fer-edge" else python, library, frames) as worker:
                    answers[library] = worker.ask(0)
            pairs.append((answers["fer-edge"], answers[rival]))
    return {"starts": count} | compared("times_sooner", pairs[1:], ("fer-edge", rival), "since_start_s")


def compared(name: str, pairs: list[Pair], libraries: tuple[str, str], figure: str) -> dict[str, Any]:
    """Medians of a figure of both, and the ratio pair by pair."""
    columns = [[pair[side][figure] for pair in pairs] for side in (0, 1)]
    medians = {library: round(statistics.median(column), 3) for library, column in zip(libraries, columns, strict=True)}
    return {figure: medians, name: paired_ratio(columns[1], columns[0])}


def counted(shown: list[Shown], answers: list[dict[str, Any]]) -> dict[str, int]:
    """Count the faces that were found, those of people's own boxes, and false alarms."""
    found = own = false = 0
    for frame, answer in zip(shown, answers, strict=True):
        boxes = np.array(answer["boxes"], np.float32).reshape(-1, 4)
        scores = np.ones(len(boxes), np.float32)
        hits = judge(boxes, scores, frame.faces, frame.doubtful).hits
        found, false = found + int(hits.sum()), false + int((1 - hits).sum())
        own += int(judge(boxes, scores, frame.own, frame.doubtful).hits.sum())
    return {"found": found, "found_of_own": own, "false": false}


def frame_by_frame(ours: str, rival: str, python: str, shown: list[Shown]) -> dict[str, Any]:
    """Compare two libraries on the same frames."""
    with TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.bin"
        with frames.open("wb") as file:
            file.writelines(frame.pixels.data for frame in shown)
        with Worker(sys.executable, ours, frames) as here, Worker(python, rival, frames) as there:
            pairs = in_turns(here, there, len(shown))
            peaks = {ours: round(here.peak_mb, 1), rival: round(there.peak_mb, 1)}
    row: dict[str, Any] = {"frames": len(shown), "peak_mb": peaks}
    row |= compared("times_faster", pairs, (ours, rival), "ms")
    row |= compared("times_less_cpu", pairs, (ours, rival), "cpu_ms")
    row["times_less_memory"] = round(peaks[rival] / peaks[ours], 2)
    if any(len(frame.faces) for frame in shown):
        row |= {"faces": sum(len(frame.faces) for frame in shown), "own": sum(len(frame.own) for frame in shown)}
        sides = {ours: counted(shown, [pair[0] for pair in pairs]), rival: counted(shown, [pair[1] for pair in pairs])}
        row |= {"found": sides, "times_the_faces": round(sides[ours]["found"] / max(1, sides[rival]["found"]), 2)}
    return row


def measured(sets: dict[str, list[Shown]], rivals: list[str], python: str, starts: int) -> Iterator[dict[str, Any]]:
    """Compare with one rival after the other, how they start and then on each set of frames."""
    for rival in rivals:
        start = started(python, rival, sets["one photo"][0], starts)
        yield {"of": "start", "ours": "fer-edge", "rival": rival} | start
        for name, shown in sets.items():
            for ours in ("fer-edge", "fer-edge-follow") if name == "film" else ("fer-edge",):
                yield {"of": name, "ours": ours, "rival": rival} | frame_by_frame(ours, rival, python, shown)


def goals(row: dict[str, Any]) -> dict[str, bool]:
    """Say which goals a row meets; it need not have a figure for each."""
    values = {name: row[name]["p50"] if isinstance(row[name], dict) else row[name] for name in GOALS if name in row}
    return {name: value >= GOALS[name] for name, value in values.items()}


def as_table(rows: list[dict[str, Any]]) -> Table:
    """Show a row per comparison; of a ratio taken pair by pair the median, and the middle 80 % in brackets."""
    goals = ", ".join(f"{name.removeprefix('times_').replace('_', ' ')} {goal:g}" for name, goal in GOALS.items())
    caption = f"times that fer-edge does better; goals: {goals}; what misses its goal has a *"
    table = Table(title="fer-edge beside PyPI fer", title_justify="left", caption=caption, caption_justify="left")
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
    """Versions of what `fer` stands on."""
    freeze = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    found = dict(line.split("==", 1) for line in freeze.splitlines() if "==" in line)
    return {name: found[name] for name in PACKAGES if name in found}


def main(
    expw: Annotated[Path, typer.Option(help="Folder with label.lst and origin/.")],
    faces: Annotated[Path, typer.Option(help="Folder with faces.csv and pictures/.")],
    python: Annotated[str, typer.Option(help="Python of the environment that holds `fer`.")],
    rival: Annotated[list[str] | None, typer.Option(help="fer or fer-mtcnn; default: both.")] = None,
    film: Annotated[Path | None, typer.Option(help="A video with faces; default: none.")] = None,
    film_frames: Annotated[int, typer.Option(min=1, help="From its beginning.")] = 975,
    photos: Annotated[int | None, typer.Option(min=9, help="Only so many; default: all.")] = None,
    starts: Annotated[int, typer.Option(min=1, help="Of each library.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the JSON there as well.")] = None,
) -> None:
    """Compare both, and print which goals are met as a table and as JSON; it is written after each comparison."""
    held_out = read_shown(expw, faces)[:photos]
    sets = {name: frames_of(held_out, side) for name, side in GRIDS.items()}
    if film:
        nothing = np.zeros((0, 4), np.float32)
        pictures = [cv2.resize(one.bgr, SHAPE[1::-1]) for one in islice(open_source(str(film)), film_frames)]
        sets["film"] = [Shown(cast(Pixels, picture), nothing, nothing, nothing) for picture in pictures]
    document: dict[str, Any] = {"goals": GOALS, "rows": [], "packages": packages(python), "machine": describe()}
    for row in measured(sets, rival or list(RIVALS), python, starts):
        document["rows"].append(row | {"met": goals(row)})
        if out:
            write_json(out, document)
    console.print(as_table(document["rows"]))
    print_json(document)


if __name__ == "__main__":
    typer.run(main)
