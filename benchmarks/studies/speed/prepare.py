"""Throughput of `fer-edge prepare` on a data set of the size of ExpW, compared with decoding its photos only.

python -m studies.speed.prepare --data expw --photos 100000 > prepare.json

The photos of `--data` (a folder with label.lst and origin/) are repeated as symbolic links with new names, so that a
hundred thousand of them need no space. `--side 768` first enlarges them to about the size of the original photos, so
that decoding has a realistic share. Each step runs in its own process, with as many threads as cores: `cv2.imread` of
every photo (the baseline), before and after the others; reading as in `train` and `evaluate`; `prepare` to a prepared
set; and `prepare` to class folders, which also encodes and writes every crop. All files are in the page cache: CPU work
is compared, not disks.
"""

import multiprocessing
import os
import resource
import shutil
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import cv2
import typer
from rich.table import Table

from fer_edge.console import console, print_json
from fer_edge.errors import DataError
from fer_edge.files import make_folder
from fer_edge_bench.machine import describe, peak_memory_mb

JOBS = os.cpu_count() or 1
SIZE = 48


class Measured(NamedTuple):
    """Time and memory of a step."""

    seconds: float
    cpu_seconds: float
    """Sum over all threads; less than seconds times threads if some waited."""
    start_mb: float
    """Peak memory after all imports."""
    peak_mb: float
    """Peak memory at the end."""


def enlarge_expw(source: Path, target: Path, side: int) -> None:
    """Copy an ExpW data set to `target`, with photos and boxes scaled to a longer side of `side` pixels."""
    make_folder(target / "origin")
    scales: dict[str, float] = {}
    lines = []
    for line in (source / "label.lst").read_text().splitlines():
        name, face, *box, confidence, label = line.rsplit(None, 7)
        if name not in scales and (photo := cv2.imread(str(source / "origin" / name))) is not None:
            scales[name] = side / max(photo.shape[:2])
            larger = cv2.resize(photo, None, fx=scales[name], fy=scales[name], interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(target / "origin" / name), larger)
        if name in scales:
            lines.append(" ".join([name, face, *(str(round(float(v) * scales[name])) for v in box), confidence, label]))
    (target / "label.lst").write_text("\n".join(lines) + "\n")


def repeat_expw(source: Path, target: Path, photos: int) -> int:
    """Write an ExpW data set of `photos` photos to `target`, repeating those of `source`; return its face count."""
    faces: dict[str, list[str]] = defaultdict(list)
    for line in (source / "label.lst").read_text().splitlines():
        name, rest = line.rsplit(None, 7)[0], line.rsplit(None, 7)[1:]
        if (source / "origin" / name).is_file():
            faces[name].append(" ".join(rest))
    if not faces:
        raise DataError(f"{source / 'label.lst'}: none of its photos are in {source / 'origin'}")
    make_folder(target / "origin")
    names, lines = list(faces), []
    for number in range(photos):
        name = names[number % len(names)]
        copy = f"{Path(name).stem}_{number:06}{Path(name).suffix}"
        (target / "origin" / copy).symlink_to((source / "origin" / name).resolve())
        lines += [f"{copy} {face}" for face in faces[name]]
    (target / "label.lst").write_text("\n".join(lines) + "\n")
    return len(lines)


def imread(data: Path, _: Path) -> None:
    """Decode every photo."""
    paths = [str(path) for path in sorted((data / "origin").iterdir())]

    def decode(part: list[str]) -> None:
        for path in part:
            cv2.imread(path)

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(decode, [paths[first::JOBS] for first in range(JOBS)]))


def read(data: Path, _: Path) -> None:
    """Read the data set as `train` and `evaluate` do."""
    from fer_edge_train.prepare.prepare import load_faces

    load_faces(data, size=SIZE)


def prepare_set(data: Path, out: Path) -> None:
    """Write a prepared set."""
    from fer_edge_train.prepare.prepare import prepare

    prepare(data, out / "set.npz", size=SIZE)


def prepare_folders(data: Path, out: Path) -> None:
    """Write class folders with crops in their original size."""
    from fer_edge_train.prepare.prepare import prepare

    prepare(data, out / "folders")


STEPS = {
    "cv2.imread of every photo": imread,
    "train, evaluate: read": read,
    "prepare --out SET.npz": prepare_set,
    "prepare --out DIR": prepare_folders,
    "cv2.imread once more": imread,
}


def measure(step: str, data: Path, out: Path) -> Measured:
    """Run one step; call it in a new process, so that peak memory is that of the step."""
    import fer_edge_train.prepare.prepare  # noqa: F401  import time does not depend on the data set

    start_mb, before = peak_memory_mb(), resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    STEPS[step](data, out)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(round(seconds, 2), round(cpu, 2), start_mb, peak_memory_mb())


def measure_in_process(step: str, data: Path, out: Path) -> Measured:
    """Run one step in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, step, data, out).result()


def main(
    data: Annotated[Path, typer.Option(help="ExpW folder with label.lst and origin/.")],
    photos: Annotated[int, typer.Option(min=1, help="Number of photos of the generated data set.")] = 100_000,
    side: Annotated[
        int | None, typer.Option(min=1, help="Longer side of a photo in pixels; default: unchanged.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the generated data set; default: a folder in /tmp.")
    ] = None,
) -> None:
    """Compare reading and preparing with decoding only; print a table (stderr) and JSON (stdout)."""
    with TemporaryDirectory(prefix="prepare-", dir=out) as folder:
        root = Path(folder)
        if side:
            enlarge_expw(data, root / "enlarged", side)
        faces = repeat_expw(root / "enlarged" if side else data, root / "expw", photos)
        results = {}
        for step in STEPS:
            console.print(f"{step} ...")
            results[step] = measure_in_process(step, root / "expw", root)
            if (root / "folders").exists():
                shutil.rmtree(root / "folders")
    first, *_, last = results.values()
    baseline_s = (first.seconds + last.seconds) / 2
    report: dict[str, Any] = {
        "photos": photos,
        "side": side,
        "faces": faces,
        "size": SIZE,
        "threads": JOBS,
        "result_mb": round(faces * SIZE**2 / 1024**2, 1),
        "steps": {
            step: {
                **result._asdict(),
                "photos_per_s": round(photos / result.seconds, 1),
                "faces_per_s": round(faces / result.seconds, 1),
                "times_the_floor": round(result.seconds / baseline_s, 3),
            }
            for step, result in results.items()
        },
        "machine": describe(),
    }
    console.print(as_table(report))
    print_json(report)


def as_table(report: dict[str, Any]) -> Table:
    """Return a table with one row per step."""
    title = (
        f"{report['photos']:,} photos, {report['faces']:,} faces of {report['size']} px, {report['threads']} threads"
    )
    memory = f"the faces take {report['result_mb']:,} MB; start: after imports, before reading"
    table = Table(title=title, title_justify="left", caption=memory, caption_justify="left")
    for name in ("", "seconds", "CPU seconds", "faces/s", "times imread", "start MB", "peak MB"):
        table.add_column(name, justify="right" if name else "left", no_wrap=not name)
    for step, row in report["steps"].items():
        numbers = (row["seconds"], row["cpu_seconds"], row["faces_per_s"], row["times_the_floor"])
        table.add_row(step, *(f"{number:,g}" for number in (*numbers, row["start_mb"], row["peak_mb"])))
    return table


if __name__ == "__main__":
    typer.run(main)
