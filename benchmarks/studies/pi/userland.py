"""Does fer-edge answer in a Raspberry Pi's userland as it does on this machine? Real photos, no Pi, no chroot.

python -m studies.pi.userland --photos expw/origin

Needs Debian's `qemu-user-static` and `debootstrap`, and the network. Below `--cache` it unpacks a tree of Debian 12 for
arm64, whose Python qemu runs as a Cortex-A72, a Pi 4's. fer-edge's wheel and all that it asks for go in with LiteRT
and, apart, with tflite-runtime. There `fer-edge selftest` and `fer-edge run` on the photos have to give x86's answers
(`pi_answers`). No times are reported: an emulator's say nothing about a Pi.

Tree and wheels are kept, whole or not at all, and the next run takes them; one at a time for each `--cache`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import distributions
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from fer_edge.console import console, print_json
from fer_edge.errors import BenchmarkError, DataError, FerEdgeError, one_line
from fer_edge.files import TEMPORARY, make_folder, replacing_folder, sha256
from fer_edge.imaging.images import is_picture, read_picture, write_picture
from fer_edge.versions import RUNTIME
from studies.pi.answers import Faces, as_table, compare_all, read_answers

ROOT = Path(__file__).parents[3]
DEBIAN, PYTHON = "bookworm", "3.11"
"""The last Debian, and so the last Raspberry Pi OS, whose Python tflite-runtime has a wheel for."""
PACKAGES = "python3,libstdc++6,libgomp1"
"""What the wheels leave to Debian."""
GLIBC = range(17, 37)
"""Wheels may ask for glibc 2.17 to 2.36, which is Debian 12's own; tflite-runtime's asks for 2.34."""
RUNTIMES: dict[str, tuple[str, ...]] = {"litert": (), "tflite": ("tflite-runtime>=2.14", "numpy<2")}
"""By what FER_EDGE_RUNTIME calls it: what is installed besides fer-edge's wheel and all that it asks for. Not as the
extra [tflite], because pip judges its "python_version < '3.12'" by the Python that pip itself runs in."""
AS_ROOT = [] if os.geteuid() == 0 else ["fakeroot"]
"""Before debootstrap, which insists on root; what it does here takes nothing of root's."""
TOOLS = {name: name for name in ("debootstrap", "dpkg", *AS_ROOT)} | {"qemu-aarch64-static": "qemu-user-static"}
"""Programs, and the packages of Debian that bring them."""
NEEDED_MB = 800
"""Megabytes of disk to make the tree, or the wheels of a runtime; each then keeps about 230."""
EMULATED = """#!/bin/sh
# This tree's Python, wherever the tree is. By this name it starts others of its kind, without binfmt_misc.
exec qemu-aarch64-static -cpu cortex-a72 -0 "$0" -L "${0%/usr/bin/*}" "${0%/*}/python3" "$@"
"""
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
USUAL = ["-m", "fer_edge"]
REFERENCE = [
    "-c",
    """
from fer_edge.model import interpreter
from fer_edge.cli import app
usual = interpreter.Engine.__init__
interpreter.Engine.__init__ = lambda *given, **named: usual(*given, **{**named, "reference": True})
app(prog_name="fer-edge")
""",
]
"""`fer-edge` by the reference kernels."""


def check_request(photos: Path, cache: Path) -> None:
    """Look at what is needed before anything is downloaded, and remove what a killed run left.

    Raises:
        FerEdgeError: Something is missing; says what brings it.
    """
    if not photos.is_dir() or not any(map(is_picture, photos.iterdir())):
        raise DataError(f"{photos}: no folder with pictures; name one with photos of faces: --photos DIR")
    if packages := missing():
        raise FerEdgeError(f"needs {' and '.join(packages)}; type: sudo apt-get install {' '.join(packages)}")
    make_folder(cache)
    for left in cache.glob(f"{TEMPORARY}*"):
        shutil.rmtree(left, ignore_errors=True)  # what it started may still be writing there


def missing() -> list[str]:
    """Name the packages of Debian that are not there and have to be."""
    return [package for program, package in TOOLS.items() if not found(program)]


def found(program: str) -> str | None:
    """Find a program, also among those that are meant for root."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def output_of(
    what: str, command: Sequence[str | Path], folder: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Run a command and give what it writes to standard output.

    Args:
        what: Stands for the command in the error.
        command: Program and arguments.
        folder: To run it in, instead of this process's.
        environment: Instead of this process's.

    Raises:
        FerEdgeError: It fails; says why.
    """
    finished = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder, env=environment)
    if finished.returncode:
        raise FerEdgeError(f"{what}: {reason(f'{finished.stdout}{finished.stderr}'.splitlines())}")
    return finished.stdout


def fetch(what: str, command: Sequence[str | Path]) -> None:
    """Run a command that downloads, and show on a terminal what it does.

    Raises:
        FerEdgeError: It fails; says why.
    """
    lines = []
    with (
        console.status(what) as status,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as run,
    ):
        for line in run.stdout or ():
            lines.append(line)
            status.update(Text(f"{what}: {line.strip()[:70]}"))  # a str would be taken for markup
    if run.returncode:
        raise FerEdgeError(f"{what}: {reason(lines)}; look at the network and the disk, then type the same again")


def reason(lines: list[str]) -> str:
    """Find the first line that a program calls an error, or else its last one."""
    told = [line for line in lines if line.strip()] or ["it says nothing"]
    errors = [line for line in told if line.startswith(("E: ", "ERROR: ", "error: "))]
    return one_line(Exception(*(errors[:1] or told[-1:])))


def finished_folder(folder: Path, what: str, make: Callable[[Path], None]) -> Path:
    """Give a folder that an earlier run finished, or else make it.

    Raises:
        FerEdgeError: It cannot be made.
    """
    if folder.is_dir():
        console.print(f"{what}: there already, {folder}")
        return folder
    free_mb = shutil.disk_usage(folder.parent).free / 1e6
    if free_mb < NEEDED_MB:
        raise FerEdgeError(f"{folder.parent}: {free_mb:,.0f} MB free, {NEEDED_MB} needed; name another: --cache DIR")
    console.print(f"{what}: downloading to {folder}")
    with replacing_folder(folder) as temporary:
        make(temporary)
    return folder


def make_tree(tree: Path, mirror: str | None = None) -> None:
    """Download Debian's packages for arm64 and unpack them: none is installed, so no chroot and no emulation.

    Args:
        tree: Folder to unpack to.
        mirror: Address that they come from; None for debootstrap's own.
    """
    options = ["--foreign", "--arch=arm64", "--variant=minbase", f"--include={PACKAGES}"]
    fetch("debootstrap", [*AS_ROOT, found("debootstrap") or "", *options, DEBIAN, tree, *([mirror] if mirror else [])])
    archives = tree / "var/cache/apt/archives"
    for package in sorted(archives.glob("*.deb")):
        output_of("dpkg", ["dpkg", "-x", package, tree])
        package.unlink()
    python = tree / "usr/bin/python"
    python.write_text(EMULATED)
    python.chmod(0o755)


def make_wheels(folder: Path, requirements: Sequence[str | Path]) -> None:
    """Unpack the wheels of all that is asked for, as pip would on the Pi; fer-edge's own goes apart."""
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"]
    options = [f"--platform={platform}" for platform in platforms]
    options += [f"--python-version={PYTHON}", "--only-binary=:all:", f"--target={folder}"]
    fetch("pip", [*PIP, "install", "--retries=1", "--progress-bar=off", *options, *requirements])
    for own in folder.glob("fer_edge*"):
        shutil.rmtree(own)


def own_wheel(folder: Path) -> Path:
    """Build fer-edge's wheel as the clone is now, and unpack it to `folder`/site; returns the wheel."""
    console.print("fer-edge: building its wheel")
    output_of("pip", [*PIP, "wheel", "--no-deps", f"--wheel-dir={folder}", ROOT])
    wheel = next(folder.glob("*.whl"))
    output_of("pip", [*PIP, "install", "--no-deps", f"--target={folder / 'site'}", wheel])
    return wheel


def wheels_for(runtime: str, cache: Path, wheel: Path) -> Path:
    """Give the folder with all that fer-edge needs on arm64 with `runtime`; what was asked for is in its name."""
    asked = sha256(f"{RUNTIMES[runtime]} {GLIBC} {(ROOT / 'pyproject.toml').read_text()}".encode())[:12]
    folder = cache / f"{runtime}-{asked}"
    for other in cache.glob(f"{runtime}-*"):
        if other != folder:
            shutil.rmtree(other)
    return finished_folder(folder, runtime, lambda path: make_wheels(path, [wheel, *RUNTIMES[runtime]]))


def fer_edge(what: str, python: str | Path, program: list[str], typed: list[str], folder: Path, **added: str) -> str:
    """Give what `fer-edge TYPED --json` prints.

    Args:
        what: Stands for the machine in messages.
        python: Its Python.
        program: `USUAL` or `REFERENCE`.
        typed: Behind `fer-edge`.
        folder: To run in; nothing of the clone is seen from there.
        added: To the environment, of which nothing is kept that is meant for this process's own Python.

    Raises:
        FerEdgeError: It fails.
    """
    console.print(f"{what}: fer-edge {typed[0]}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "FER_EDGE_"))}
    environment = {**kept, "HOME": str(folder), **added}
    return output_of(f"{what}: fer-edge {typed[0]}", [python, *program, *typed, "--json"], folder, environment)


def chosen(photos: Path, count: int, folder: Path) -> Path:
    """Make a folder with links to so many of the photos, evenly spread by name."""
    folder.mkdir()
    pictures = sorted(filter(is_picture, photos.iterdir()))
    for picture in pictures[:: max(1, len(pictures) // count)][:count]:
        (folder / picture.name).symlink_to(picture.resolve())
    return folder


def cut_out(photos: Path, answers: Faces, folder: Path) -> Path:
    """Make a folder with the faces that `fer-edge run` found in photos, each a picture."""
    for name, faces in answers.items():
        frame_bgr = read_picture(photos / name)
        for number, (x, y, w, h) in enumerate(face["box"] for face in faces):
            write_picture(folder / f"{Path(name).stem}-{number}.png", frame_bgr[y : y + h, x : x + w])
    return folder


def installed(wheels: Path) -> dict[str, str]:
    """Name the versions of what answers depend on."""
    return {one.name: one.version for one in distributions(path=[str(wheels)]) if one.name in RUNTIME}


def stages(selftest: str) -> dict[str, float]:
    """Read the largest differences from what `selftest --json` printed."""
    models = json.loads(selftest)["models"]
    return {f"{Path(one['model']).stem}: {stage['name']}": stage["worst"] for one in models for stage in one["stages"]}


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos with faces.")],
    cache: Annotated[Path, typer.Option(help="What was built is kept there.")] = ROOT / "build" / "pi_userland",
    count: Annotated[int, typer.Option(min=1, help="Photos to look at, evenly spread.")] = 12,
    mirror: Annotated[str | None, typer.Option(help="Of Debian; default: debootstrap's own.")] = None,
) -> None:
    """Build the userland, run fer-edge there and here, compare, and print what came of it as JSON."""
    cache = cache.absolute()
    check_request(photos, cache)
    tree = finished_folder(cache / f"{DEBIAN}-arm64", "Debian", partial(make_tree, mirror=mirror))
    report: dict[str, Any] = {}
    answers: dict[tuple[str, str], Faces] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = own_wheel(folder)
        some = chosen(photos, count, folder / "photos")
        typed = {"photos": ["run", "--source", str(some)]}
        typed["faces"] = ["run", "--source", str(folder / "faces"), "--detector", "none"]
        for on, kernels in product(typed, ("usual", "reference")):
            program = USUAL if kernels == "usual" else REFERENCE
            told = fer_edge("x86", sys.executable, program, typed[on], folder, FER_EDGE_RUNTIME="litert")
            answers[kernels, on] = read_answers(told)
            if (kernels, on) == ("usual", "photos"):
                cut_out(some, answers[kernels, on], folder / "faces")
        for runtime in RUNTIMES:
            wheels = wheels_for(runtime, cache, wheel)
            arm = partial(fer_edge, runtime, tree / "usr/bin/python", USUAL, folder=folder, FER_EDGE_RUNTIME=runtime)
            arm = partial(arm, PYTHONPATH=f"{folder / 'site'}:{wheels}")
            report[runtime] = {"installed": installed(wheels), "selftest": stages(arm(["selftest"]))}
            for on, what in typed.items():
                answers[runtime, on] = read_answers(arm(what))
    comparisons = compare_all(answers)
    console.print(as_table(comparisons))
    print_json({"photos": len(answers["usual", "photos"]), **report, "compared": comparisons})
    if faults := [f"{one['arm64']}: {fault}" for one in comparisons if one["judged"] for fault in one["faults"]]:
        raise BenchmarkError("; ".join(faults))


if __name__ == "__main__":
    try:
        typer.run(main)
    except FerEdgeError as error:
        console.print(f"error: {error}")
        sys.exit(error.exit_code)
