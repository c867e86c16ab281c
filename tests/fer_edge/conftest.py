"""What the tests of the commands stand on."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def fer_edge() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs `fer-edge`, plain and wide."""

    def call(*arguments: object) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        command = [sys.executable, "-m", "fer_edge", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)

    return call
