"""What several tests stand on."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

importlib.import_module("fer_edge")  # before any test loads OpenCV, which then reads the limits that fer_edge sets

SHARED = Path(__file__).parents[2] / "shared"
TINY = Path(__file__).parent / "data" / "tiny.tflite"
"""A 32 px int8 model of drawn faces with a contract, made by make_tiny_model.py."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the real photos; a clone outside the workplace has none."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real photos), which is not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def unpacked(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks an archive once and gives the data set's folder."""
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
    """Skips where pip can download nothing."""
    folder = tmp_path_factory.mktemp("registry")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "typer"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs a package registry that pip can reach")


@pytest.fixture
def tiny() -> Path:
    """Path of the tiny int8 model."""
    return TINY
