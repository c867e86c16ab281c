"""Versions of the packages that a result depends on."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

RUNTIME = ("fer-edge", "ai-edge-litert", "tflite-runtime", "numpy", "opencv-python-headless", "opencv-python")
"""Packages that affect predictions."""


def installed(packages: tuple[str, ...]) -> dict[str, str]:
    """Name the version of each of `packages` that is installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
