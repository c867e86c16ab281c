"""Fixtures for all tests, and markers and order of the tests."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fer_edge.__main__ import OPENCV
from support.command import FerEdge, Finished
from support.paths import TINY

# Tests run in parallel, one per core; output has to look the same everywhere.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
os.environ |= {"OPENCV_FOR_THREADS_NUM": "1", "NO_COLOR": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
for _name in ("COLUMNS", "FORCE_COLOR"):
    os.environ.pop(_name, None)

os.environ |= OPENCV  # before any test loads OpenCV, as the program does

TESTS = Path(__file__).parent
SHARED = TESTS.parents[1] / "shared"
TENSORFLOW = ("fer_edge_train", "fer_edge_export", "fer_edge_bench")
"""Folders with tests that load TensorFlow."""
TIMED = {"live", "mosquitto", "browser", "started"}
"""Fixtures with a process or server that is too slow if many tests run in parallel."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their requirements; long ones run first, so that no worker is left with one at the end."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in TENSORFLOW:
            item.add_marker("tensorflow")
        if TIMED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("serial")
    items.sort(key=lambda item: not item.get_closest_marker("tensorflow"))


@pytest.fixture(scope="session")
def fer_edge() -> Iterator[FerEdge]:
    """Calls `fer-edge` in this process, as from a shell in a wide terminal without colours.

    `code` is the required exit code. Global state is restored afterwards, and unhandled exceptions are raised here.
    Tests of signals, closed pipes and imports start processes instead.
    """
    from fer_edge.cli import app

    plain: dict[str, Any] = {"mode": "w+", "encoding": "utf-8", "errors": "backslashreplace"}
    with tempfile.TemporaryFile(**plain) as out, tempfile.TemporaryFile(**plain) as err:
        # Not closed after a call: a logger created in it keeps its stderr.
        files = (out, err)

        def call(*arguments: object, code: int | None = None, cwd: Path | None = None, **environment: str) -> Finished:
            words = [str(argument) for argument in arguments]
            with ExitStack() as stack:
                stack.callback(os.chdir, Path.cwd())
                stack.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "200", **environment}))
                stack.enter_context(mock.patch.object(sys, "argv", ["fer-edge", *words]))
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    stack.callback(signal.signal, number, signal.getsignal(number))
                if "cv2" in sys.modules:
                    stack.callback(sys.modules["cv2"].setNumThreads, sys.modules["cv2"].getNumThreads())
                for descriptor, file in enumerate(files, start=1):
                    file.seek(0)
                    file.truncate()
                    stack.callback(os.close, kept := os.dup(descriptor))
                    stack.callback(os.dup2, kept, descriptor)
                    os.dup2(file.fileno(), descriptor)
                stack.enter_context(redirect_stdout(files[0]))
                stack.enter_context(redirect_stderr(files[1]))
                os.chdir(cwd or Path.cwd())
                with pytest.raises(SystemExit) as ended:
                    app(words, prog_name="fer-edge")
            output = []
            for file in files:
                file.flush()
                file.seek(0)
                output.append(file.read())
            finished = Finished(int(ended.value.code or 0), *output)
            assert code in (None, finished.code), finished.stderr
            return finished

        yield call


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real photos, which are not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real photos), which is not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def unpacked(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks the archive of a data set once and returns its folder."""
    folders: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in folders:
            folder = tmp_path_factory.mktemp(name)
            subprocess.run(["tar", "-xzf", shared / "data" / f"{name}.tar.gz", "-C", folder], check=True)
            folders[name] = folder / name
        return folders[name]

    return unpack


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips the test if pip cannot reach a package registry."""
    folder = tmp_path_factory.mktemp("registry")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "typer"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs a package registry that pip can reach")


@pytest.fixture
def tiny() -> Path:
    """Path of the tiny int8 model."""
    return TINY
