"""What the tests of the commands stand on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fer_edge.labels import EXPRESSIONS


@pytest.fixture
def fer_edge() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs `fer-edge`, plain and wide."""

    def call(*arguments: object) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        command = [sys.executable, "-m", "fer_edge", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)

    return call


@pytest.fixture
def about() -> Any:
    """What a live page says of its run; needs the extra [preview]."""
    from fer_edge.preview.state import About

    return About("front door", "edge, int8", "Raspberry Pi 5", EXPRESSIONS)


@pytest.fixture
def started(about: Any) -> Iterator[Callable[..., Any]]:
    """Starts live pages on a free port, and closes them."""
    from fer_edge.preview.server import Preview

    previews: list[Preview] = []

    def start(**settings: Any) -> Preview:
        preview = Preview(about, **{"port": 0, **settings})
        previews.append(preview)
        return preview

    yield start
    for preview in previews:
        preview.close()
