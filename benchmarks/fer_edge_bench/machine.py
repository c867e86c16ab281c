"""The machine that a measurement was taken on, for every report."""

import os
import platform
import resource
from pathlib import Path
from typing import Any

from fer_edge.device.machine import SYSTEM, board, cpu, governor, os_name, temperature_c
from fer_edge.versions import RUNTIME, installed


def describe(system: Path = SYSTEM) -> dict[str, Any]:
    """Return processor, operating system and versions; None for what is unknown."""
    return {
        "board": board(system),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "governor": governor(system),
        "temperature_c": temperature_c(system),
        "os": os_name(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": installed(RUNTIME),
    }


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    units_per_mb = 1024**2 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mb, 1)
