"""Comparison of fer-edge in an emulated Raspberry Pi userland with this machine, on real photos.

python -m studies.pi.userland --photos expw/origin

Needs `qemu-user-static`, `debootstrap` and the network. `--cache` keeps Debian 12 for arm64 and the wheels; its
Python runs under qemu as on a Pi 4's Cortex-A72, with LiteRT and with tflite-runtime. `fer-edge selftest` and `run`
have to give the same results as on x86 (`answers.py`). No latencies: an emulator's say nothing about a Pi.
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
from studies.pi.answers import Faces, as_table, compare_all, parse_results

ROOT = Path(__file__).parents[3]
DEBIAN, PYTHON = "bookworm", "3.11"
"""The last Debian, and so the last Raspberry Pi OS, whose Python tflite-runtime has a wheel for."""
PACKAGES = "python3,libstdc++6,libgomp1"  # that the wheels depend on
GLIBC = range(17, 37)
"""Minor versions of glibc that wheels may require: up to Debian 12's 2.36; tflite-runtime requires 2.34."""
RUNTIMES: dict[str, tuple[str, ...]] = {"litert": (), "tflite": ("tflite-runtime>=2.14", "numpy<2")}
"""Value of FER_EDGE_RUNTIME -> packages in addition to fer-edge's wheel and its dependencies. Not the extra [tflite],
because pip evaluates its "python_version < '3.12'" with the Python that pip itself runs in."""
AS_ROOT = [] if os.geteuid() == 0 else ["fakeroot"]  # debootstrap insists on root; nothing here needs it
TOOLS = {name: name for name in ("debootstrap", "dpkg", *AS_ROOT)} | {"qemu-aarch64-static": "qemu-user-static"}
"""Required programs and the Debian packages that contain them."""
REQUIRED_MB = 800
"""Free disk space required to make the Debian tree, or the wheels of a runtime; about 230 MB of it stay in use."""
EMULATED = """#!/bin/sh
# The Python of this tree, wherever it is; under this name it can start itself without binfmt_misc.
exec qemu-aarch64-static -cpu cortex-a72 -0 "$0" -L "${0%/usr/bin/*}" "${0%/*}/python3" "$@"
"""
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
FAST = ["-m", "fer_edge"]
REFERENCE = [
    "-c",
    """
from fer_edge.model import interpreter
from fer_edge.cli import app
fast = interpreter.Engine.__init__
interpreter.Engine.__init__ = lambda *args, **kwargs: fast(*args, **{**kwargs, "reference": True})
app(prog_name="fer-edge")
""",
]
"""`fer-edge` with the reference kernels."""


def check_request(photos: Path, cache: Path) -> None:
    """Check the requirements before anything is downloaded, and remove temporary files of a killed run.

    Raises:
        FerEdgeError: Photos or programs are missing; says how to install them.
    """
    if not photos.is_dir() or not any(map(is_picture, photos.iterdir())):
        raise DataError(f"{photos}: not a folder with pictures; use --photos DIR with photos of faces")
    if packages := missing():
        raise FerEdgeError(f"requires {' and '.join(packages)}; run: sudo apt-get install {' '.join(packages)}")
    make_folder(cache)
    for folder in cache.glob(f"{TEMPORARY}*"):
        shutil.rmtree(folder, ignore_errors=True)  # its child processes may still be writing there


def missing() -> list[str]:
    """Return the Debian packages that have to be installed."""
    return [package for program, package in TOOLS.items() if not find_program(program)]


def find_program(program: str) -> str | None:
    """Return the path of a program, also from the folders for root; None if it is not installed."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def output_of(
    what: str, command: Sequence[str | Path], folder: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Run a command and return its standard output.

    Args:
        what: Name of the command in the error message.
        command: Program and arguments.
        folder: Working directory; default: that of this process.
        environment: Environment variables; default: those of this process.

    Raises:
        FerEdgeError: It fails; says why.
    """
    finished = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder, env=environment)
    if finished.returncode:
        raise FerEdgeError(f"{what}: {error_line(f'{finished.stdout}{finished.stderr}'.splitlines())}")
    return finished.stdout


def fetch(what: str, command: Sequence[str | Path]) -> None:
    """Run a command that downloads, and show its progress on a terminal.

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
            status.update(Text(f"{what}: {line.strip()[:70]}"))  # a str would be parsed as markup
    if run.returncode:
        raise FerEdgeError(f"{what}: {error_line(lines)}; check network and disk, then run the same command again")


def error_line(lines: list[str]) -> str:
    """Return the first line that is marked as an error, or else the last line."""
    output = [line for line in lines if line.strip()] or ["no output"]
    errors = [line for line in output if line.startswith(("E: ", "ERROR: ", "error: "))]
    return one_line(Exception(*(errors[:1] or output[-1:])))


def cached_folder(folder: Path, what: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that an earlier run completed, or else make it.

    Raises:
        FerEdgeError: It cannot be made.
    """
    if folder.is_dir():
        console.print(f"{what}: found in {folder}")
        return folder
    free_mb = shutil.disk_usage(folder.parent).free / 1e6
    if free_mb < REQUIRED_MB:
        raise FerEdgeError(
            f"{folder.parent}: {free_mb:,.0f} MB free, {REQUIRED_MB} MB required; choose another folder: --cache DIR"
        )
    console.print(f"{what}: downloading to {folder}")
    with replacing_folder(folder) as temporary:
        make(temporary)
    return folder


def make_tree(tree: Path, mirror: str | None = None) -> None:
    """Download and unpack Debian's packages for arm64; nothing is installed, so no chroot and no emulation.

    Args:
        tree: Destination folder.
        mirror: URL of a Debian mirror; default: debootstrap's.
    """
    options = ["--foreign", "--arch=arm64", "--variant=minbase", f"--include={PACKAGES}"]
    fetch(
        "debootstrap",
        [*AS_ROOT, find_program("debootstrap") or "", *options, DEBIAN, tree, *([mirror] if mirror else [])],
    )
    archives = tree / "var/cache/apt/archives"
    for package in sorted(archives.glob("*.deb")):
        output_of("dpkg", ["dpkg", "-x", package, tree])
        package.unlink()
    python = tree / "usr/bin/python"
    python.write_text(EMULATED)
    python.chmod(0o755)


def make_wheels(folder: Path, requirements: Sequence[str | Path]) -> None:
    """Unpack the wheels of all requirements, as pip would on the Pi, except fer-edge's own."""
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"]
    options = [f"--platform={platform}" for platform in platforms]
    options += [f"--python-version={PYTHON}", "--only-binary=:all:", f"--target={folder}"]
    fetch("pip", [*PIP, "install", "--retries=1", "--progress-bar=off", *options, *requirements])
    for own in folder.glob("fer_edge*"):
        shutil.rmtree(own)


def own_wheel(folder: Path) -> Path:
    """Build fer-edge's wheel from the working tree, unpack it to `folder`/site, and return its path."""
    console.print("fer-edge: building its wheel")
    output_of("pip", [*PIP, "wheel", "--no-deps", f"--wheel-dir={folder}", ROOT])
    wheel = next(folder.glob("*.whl"))
    output_of("pip", [*PIP, "install", "--no-deps", f"--target={folder / 'site'}", wheel])
    return wheel


def wheels_for(runtime: str, cache: Path, wheel: Path) -> Path:
    """Return the folder with fer-edge's dependencies on arm64 with `runtime`; its name has a hash of them."""
    digest = sha256(f"{RUNTIMES[runtime]} {GLIBC} {(ROOT / 'pyproject.toml').read_text()}".encode())[:12]
    folder = cache / f"{runtime}-{digest}"
    for other in cache.glob(f"{runtime}-*"):
        if other != folder:
            shutil.rmtree(other)
    return cached_folder(folder, runtime, lambda path: make_wheels(path, [wheel, *RUNTIMES[runtime]]))


def fer_edge(what: str, python: str | Path, program: list[str], args: list[str], folder: Path, **added: str) -> str:
    """Run `fer-edge ARGS --json` and return its standard output.

    Args:
        what: Name of the platform in messages.
        python: Python of the platform.
        program: `FAST` or `REFERENCE`.
        args: Command-line arguments.
        folder: Working directory, outside the clone.
        added: Environment variables; those that configure this process's own Python are not inherited.

    Raises:
        FerEdgeError: It fails.
    """
    console.print(f"{what}: fer-edge {args[0]}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "FER_EDGE_"))}
    environment = {**kept, "HOME": str(folder), **added}
    return output_of(f"{what}: fer-edge {args[0]}", [python, *program, *args, "--json"], folder, environment)


def sample_photos(photos: Path, count: int, folder: Path) -> Path:
    """Make a folder with links to `count` of the photos, evenly spaced by name."""
    folder.mkdir()
    pictures = sorted(filter(is_picture, photos.iterdir()))
    for picture in pictures[:: max(1, len(pictures) // count)][:count]:
        (folder / picture.name).symlink_to(picture.resolve())
    return folder


def crop_faces(photos: Path, results: Faces, folder: Path) -> Path:
    """Make a folder with a picture of each face that `fer-edge run` found in photos."""
    for name, faces in results.items():
        frame_bgr = read_picture(photos / name)
        for number, (x, y, w, h) in enumerate(face["box"] for face in faces):
            write_picture(folder / f"{Path(name).stem}-{number}.png", frame_bgr[y : y + h, x : x + w])
    return folder


def installed(wheels: Path) -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {one.name: one.version for one in distributions(path=[str(wheels)]) if one.name in RUNTIME}


def largest_differences(selftest: str) -> dict[str, float]:
    """Return the largest difference of each stage from the output of `selftest --json`."""
    models = json.loads(selftest)["models"]
    return {f"{Path(one['model']).stem}: {stage['name']}": stage["worst"] for one in models for stage in one["stages"]}


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos with faces.")],
    cache: Annotated[Path, typer.Option(help="Folder for the Debian tree and the wheels.")] = ROOT
    / "build"
    / "pi_userland",
    count: Annotated[int, typer.Option(min=1, help="Number of photos, evenly spaced.")] = 12,
    mirror: Annotated[str | None, typer.Option(help="URL of a Debian mirror; default: debootstrap's.")] = None,
) -> None:
    """Build the userland, run fer-edge there and here, compare, and print the results as JSON."""
    cache = cache.absolute()
    check_request(photos, cache)
    tree = cached_folder(cache / f"{DEBIAN}-arm64", "Debian", partial(make_tree, mirror=mirror))
    report: dict[str, Any] = {}
    results: dict[tuple[str, str], Faces] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = own_wheel(folder)
        sample = sample_photos(photos, count, folder / "photos")
        args = {"photos": ["run", "--source", str(sample)]}
        args["faces"] = ["run", "--source", str(folder / "faces"), "--detector", "none"]
        for on, kernels in product(args, ("usual", "reference")):
            program = FAST if kernels == "usual" else REFERENCE
            output = fer_edge("x86", sys.executable, program, args[on], folder, FER_EDGE_RUNTIME="litert")
            results[kernels, on] = parse_results(output)
            if (kernels, on) == ("usual", "photos"):
                crop_faces(sample, results[kernels, on], folder / "faces")
        for runtime in RUNTIMES:
            wheels = wheels_for(runtime, cache, wheel)
            arm = partial(fer_edge, runtime, tree / "usr/bin/python", FAST, folder=folder, FER_EDGE_RUNTIME=runtime)
            arm = partial(arm, PYTHONPATH=f"{folder / 'site'}:{wheels}")
            report[runtime] = {"installed": installed(wheels), "selftest": largest_differences(arm(["selftest"]))}
            for on, what in args.items():
                results[runtime, on] = parse_results(arm(what))
    comparisons = compare_all(results)
    console.print(as_table(comparisons))
    print_json({"photos": len(results["usual", "photos"]), **report, "compared": comparisons})
    if faults := [f"{one['arm64']}: {fault}" for one in comparisons if one["judged"] for fault in one["faults"]]:
        raise BenchmarkError("; ".join(faults))


if __name__ == "__main__":
    try:
        typer.run(main)
    except FerEdgeError as error:
        console.print(f"error: {error}")
        sys.exit(error.exit_code)
