"""What a measurement was taken on: a latency without its machine is worth nothing."""

import os
import platform
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.versions import RUNTIME, installed

SYSTEM = Path("/sys")
NOW, SINCE_BOOT = 0x0000F, 0xF0000
"""Bits of `vcgencmd get_throttled`: under-voltage, frequency capped, throttled, soft temperature limit."""


def describe(system: Path = SYSTEM) -> dict[str, Any]:
    """Name processor, system and versions; null for what this machine does not tell."""
    return {
        "board": _text(system / "firmware/devicetree/base/model"),
        "cpu": cpu_model(_text(Path("/proc/cpuinfo")) or "") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "governor": _text(system / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "temperature_c": temperature_c(system),
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": installed(RUNTIME),
    }


def cpu_model(cpuinfo: str) -> str | None:
    r"""Find the processor's name in /proc/cpuinfo.

    >>> cpu_model("processor : 0\nmodel name\t: Cortex-A76\n")
    'Cortex-A76'
    """
    found = re.search(r"^(?:model name|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None


def temperature_c(system: Path = SYSTEM) -> float | None:
    """Read the processor's temperature in degrees Celsius, or None where the machine has no sensor."""
    millidegrees = _text(system / "class/thermal/thermal_zone0/temp")
    return int(millidegrees) / 1000 if millidegrees and millidegrees.lstrip("-").isdigit() else None


@dataclass(frozen=True)
class Throttle:
    """What the machine says of its own slowing down, at one moment."""

    flags: int | None = None
    """`vcgencmd get_throttled` of a Raspberry Pi."""
    count: int | None = None
    """How often the cores of a PC were throttled since boot."""

    @staticmethod
    def read(system: Path = SYSTEM) -> "Throttle":
        """Read both; None for what this machine does not have."""
        counts = sorted(system.glob("devices/system/cpu/cpu*/thermal_throttle/core_throttle_count"))
        values = [text for path in counts if (text := _text(path)) and text.isdigit()]
        return Throttle(_pi_flags(), sum(map(int, values)) if values else None)

    def reason(self, later: "Throttle") -> str | None:
        """Say why a run between this moment and `later` was slowed down, or None where nothing tells of it."""
        if later.flags is not None:
            fresh = (later.flags & ~(self.flags or 0) & SINCE_BOOT) >> 16 | (later.flags & NOW)
            if fresh:
                return f"the Raspberry Pi slowed down during the run (vcgencmd get_throttled: {later.flags:#x})"
        if self.count is not None and later.count is not None and later.count > self.count:
            return f"the processor was throttled {later.count - self.count} times during the run"
        return None


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    units_per_mb = 1024**2 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mb, 1)


def _pi_flags() -> int | None:
    if not shutil.which("vcgencmd"):
        return None
    try:
        answer = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return throttled_flags(answer.stdout)


def throttled_flags(answer: str) -> int | None:
    """Read the answer of `vcgencmd get_throttled`.

    >>> throttled_flags("throttled=0x50005"), throttled_flags("VCHI initialization failed")
    (327685, None)
    """
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", answer)
    return int(found[1], 16) if found else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
