"""Fuzzing of `fer-edge info`, `selftest` and `run` with damaged model files.

python -m studies.robustness.mutants --model edge_runtime/fer_edge/models/edge.tflite --mutants 2000 --seed 0

Makes mutants of a model file, of every kind in `mutations.py`, and passes each to the three commands. Allowed are exit
code 0, and exit code 1 with one line that begins with "error:". A worker process runs many mutants, because starting
Python takes longer than they do; a worker that crashes or hangs is a finding.
"""

import contextlib
import io
import json
import os
import resource
import tempfile
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Annotated, Any

import typer

from fer_edge.console import console, print_json
from fer_edge.errors import one_line
from fer_edge.imaging.images import write_picture
from fer_edge.synthetic.render import draw_face
from studies.robustness.mutations import KINDS, mutant, read_intact

COMMANDS = ("info", "selftest", "run")
HANG_S = 180
"""Seconds without a result after which a command counts as hung, even on a busy machine."""
MEMORY_LIMIT = 3 << 30
"""Address space of a worker in bytes; beyond it Python raises MemoryError, which is a finding."""
REPLACED_AFTER = 100
"""Mutants after which a worker is replaced."""


def arguments(command: str, model: Path, task: str, picture: Path) -> list[str]:
    """Return the arguments of `fer-edge`."""
    if command != "run":
        return [command, str(model), "--json"]
    given = ["--model", str(model), "--detector", "none"] if task == "expressions" else ["--detector-model", str(model)]
    return ["run", *given, "--source", str(picture), "--json"]


def outcome(args: list[str]) -> str:
    """Run a command in this process; return "0", "1", or a description of what is wrong."""
    from fer_edge.cli import app

    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app(args, standalone_mode=False) or 0  # typer.Exit comes back as its code
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"TRACEBACK: {type(error).__name__}: {one_line(error)} ({Path(place.filename).name}:{place.lineno})"
    return verdict(code, out.getvalue(), err.getvalue())


def verdict(code: object, stdout: str, stderr: str) -> str:
    """Check exit code and output of a command; return "0", "1", or a description of what is wrong."""
    lines = stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if any("Warning" in line for line in lines):
        return f"Python warning: {next(line for line in lines if 'Warning' in line)[-100:]}"
    if code == 1 and len(errors) == 1 and lines[-1] == errors[0] and len(lines[-1]) < 1000:
        return "1"
    if code == 0 and not errors:
        json.loads(stdout)
        return "0"
    return f"exit code {code!r} with {stderr[-200:]!r}"


def work(model: Path, folder: Path, jobs: Connection) -> None:
    """Main function of a worker: receive jobs (kind, seed, command) and send outcomes, until None is received."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, resource.RLIM_INFINITY))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    source, file, picture = read_intact(model), folder / f"mutant-{os.getpid()}.tflite", folder / "face.png"
    current = None
    while (job := jobs.recv()) is not None:
        kind, seed, command = job
        if current != (kind, seed):
            file.write_bytes(mutant(source, kind, seed))
            current = kind, seed
        jobs.send(outcome(arguments(command, file, source.packed.task, picture)))


class Worker:
    """A process that runs commands on mutants; it is replaced when it crashes, hangs or has done many."""

    def __init__(self, model: Path, folder: Path) -> None:
        self._model, self._folder = model, folder
        self._process: SpawnProcess | None = None
        self._done = 0

    def run(self, kind: str, seed: int, command: str) -> str:
        """Run one command on one mutant and return the outcome."""
        if self._process is None:
            self._jobs, end = SpawnContext().Pipe()
            self._process = SpawnContext().Process(target=work, args=(self._model, self._folder, end))
            self._process.start()
            end.close()
        try:
            self._jobs.send((kind, seed, command))
            if self._jobs.poll(HANG_S):
                result = str(self._jobs.recv())
                self._done += 1
                if self._done % (REPLACED_AFTER * len(COMMANDS)) == 0:
                    self.stop()
                return result
            self._process.kill()
            return f"HANG: no result in {HANG_S} s"
        except (EOFError, ConnectionError):
            self._process.join()
            return f"CRASH: exit code {self._process.exitcode}"
        finally:
            if self._process is not None and not self._process.is_alive():
                self.stop()

    def stop(self) -> None:
        """Stop the process."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._jobs.send(None)
            self._process.join(10)
            self._process.kill()
            self._process = None


def main(
    model: Annotated[Path, typer.Option(help="A model file of fer-edge export.")],
    mutants: Annotated[int, typer.Option(min=1, help="Number of mutants, over all kinds.")] = 2000,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first mutant of each kind, incremented for the next ones.")
    ] = 0,
    kind: Annotated[str | None, typer.Option(help=f"Only one of: {'; '.join(KINDS)}.")] = None,
) -> None:
    """Print a table, and outcomes and findings as JSON; exit with 1 if there are findings."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ([kind] if kind else KINDS)}
    findings: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_picture(Path(folder) / "face.png", draw_face("happiness", seed=1)[0])
        worker = Worker(model, Path(folder))
        for number in range(mutants):
            name = list(counts)[number % len(counts)]
            for command in COMMANDS:
                found = worker.run(name, one := seed + number // len(counts), command)
                counts[name][f"{command} {found}" if found in ("0", "1") else "findings"] += 1
                if found not in ("0", "1"):
                    findings.append({"kind": name, "seed": one, "command": command, "outcome": found})
                    console.print(str(findings[-1]))
        worker.stop()
    columns = [f"{command} {code}" for command in COMMANDS for code in (0, 1)]
    console.print(f"{'kind':<36}" + "".join(f"{column:>12}" for column in [*columns, "findings"]))
    for name, count in counts.items():
        console.print(f"{name:<36}" + "".join(f"{count[column]:>12}" for column in [*columns, "findings"]))
    print_json({"model": str(model), "mutants": mutants, "seed": seed, "outcomes": counts, "findings": findings})
    if findings:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
