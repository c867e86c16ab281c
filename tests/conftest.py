"""What several tests stand on."""

import importlib
from pathlib import Path

import pytest

importlib.import_module("fer_edge")  # before any test loads OpenCV, which then reads the limits that fer_edge sets

SHARED = Path(__file__).parents[2] / "shared"
TINY = Path(__file__).parent / "data" / "tiny.tflite"
"""A 32 px int8 model of drawn faces with a contract, made by make_tiny_model.py."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the real photos and YuNet; a clone outside the workplace has none."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real photos and YuNet), which is not part of the repository")
    return SHARED


@pytest.fixture
def tiny() -> Path:
    """Path of the tiny int8 model."""
    return TINY
