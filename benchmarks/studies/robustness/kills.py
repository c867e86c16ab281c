"""Is a training run that is repeatedly killed and resumed bit-identical to an uninterrupted one?

python -m studies.robustness.kills --kills 10 --seed 0

Trains on drawn faces twice: once uninterrupted, and once killed (kill -9) at random times and resumed; every second
kill happens while a file is being written. Then compares history, best.keras and last.keras.
"""

import csv
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import typer

from fer_edge.console import console, print_json
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import BenchmarkError
from fer_edge.files import TEMPORARY
from fer_edge.imaging.crop import crop_face
from fer_edge.labels import EXPRESSIONS
from fer_edge.synthetic.render import draw_face

TRAIN = [sys.executable, "-m", "fer_edge", "train"]
TIMED = ("seconds", "faces_per_s")
"""Columns of history.csv with timings, which differ between runs."""


def main(
    kills: Annotated[int, typer.Option(min=1, help="Number of kills.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the kill times.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs.")] = 40,
    network: Annotated[str, typer.Option(help="edge, legend-cnn or expw-cnn.")] = "edge",
) -> None:
    """Print the kills and the comparison as JSON; exit with 5 if the runs differ."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        faces = drawn_faces(Path(folder) / "drawn.npz")
        options = ["--imgsz", "24", "--batch", "32", "--network", network, "--epochs", str(epochs), "--patience", "0"]
        start = [*TRAIN, "--data", str(faces), "--project", folder, *options, "--mixup", "0.2", "--erasing", "0.2"]
        before = time.monotonic()
        subprocess.run([*start, "--name", "uninterrupted"], check=True, capture_output=True)
        uninterrupted_s = time.monotonic() - before
        run, command, moments = Path(folder) / "killed", [*start, "--name", "killed"], list[dict[str, Any]]()
        while len(moments) < kills:
            # Later kills could miss the end of training; start-up takes a fifth of the time, so some kills happen there
            after_s, writing = rng.uniform(0, 0.4 * uninterrupted_s), len(moments) % 2 == 1
            moment = kill_once(command, run, after_s, writing=writing)
            if moment is None:
                console.print(f"training ended before kill {len(moments) + 1}; increase --epochs")
                break
            moments.append({**moment, "whole_epochs": len(history(run))})
            console.print(f"kill {len(moments)}: {moments[-1]}")
            command = [*TRAIN, "--resume", str(run)] if (run / "config.json").exists() else [*command, "--exist-ok"]
        subprocess.run(command, check=True, capture_output=True)
        uninterrupted = Path(folder) / "uninterrupted"
        equal = {"history.csv": history(uninterrupted) == history(run)}
        for name in ("best.keras", "last.keras"):
            equal[name] = contents(uninterrupted / name) == contents(run / name)
    print_json({"kills": moments, "epochs": epochs, "network": network, "equal_to_the_bit": equal})
    if not all(equal.values()):
        raise typer.Exit(BenchmarkError.exit_code)


def drawn_faces(path: Path) -> Path:
    """Write a prepared set of 400 drawn faces, 24 px."""
    labels = np.arange(400) % len(EXPRESSIONS)
    faces = []
    for number, label in enumerate(labels):
        frame_bgr, box = draw_face(EXPRESSIONS[label], number)
        faces.append(crop_face(frame_bgr, box, 24))
    names = np.array([f"drawn{number:03}.png" for number in range(400)])
    split = np.array(["training"] * 320 + ["validation"] * 40 + ["testing"] * 40)
    votes, source = np.eye(len(EXPRESSIONS), dtype=np.float32)[labels], {"name": "drawn", "digest": "0" * 64}
    photos = np.arange(400, dtype=np.uint64)
    classes, all_agreed = tuple(EXPRESSIONS), np.ones(400, bool)
    FaceSet(np.stack(faces), votes, all_agreed, split, names, names, classes, source, photos).save(path)
    return path


def kill_once(command: list[str], run: Path, after_s: float, *, writing: bool) -> dict[str, Any] | None:
    """Start `command`, kill it after `after_s` or, if `writing`, at the next write; None if it ended before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    while process.poll() is None:
        being_written = sorted(path.name for path in run.glob(f"{TEMPORARY}*")) if writing else []
        if time.monotonic() - start > after_s and (being_written or not writing):
            process.kill()
            process.wait()
            left = sorted(path.suffix for path in run.glob(f"{TEMPORARY}*"))
            return {"after_s": round(time.monotonic() - start, 2), "half_written": left}
        time.sleep(0.001)
    return None


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of history.csv without timings."""
    if not (run / "history.csv").exists():
        return []
    with (run / "history.csv").open(newline="") as stream:
        return [{name: row[name] for name in row if name not in TIMED} for row in csv.DictReader(stream)]


def contents(path: Path) -> dict[str, bytes]:
    """Return every array of a .keras file: weights, averages, optimizer variables, step count."""
    found: dict[str, bytes] = {}

    def keep(name: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Dataset):
            found[name] = np.asarray(part[()]).tobytes()

    with zipfile.ZipFile(path) as archive:
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))).visititems(keep)
    return found


if __name__ == "__main__":
    typer.run(main)
