"""Facts about this machine: board, processor, temperature, throttling. None means unknown.

Read from /sys and /proc, and from `vcgencmd` on a Raspberry Pi.
"""

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/sys")
NOW, SINCE_BOOT = 0x0000F, 0xF0000
"""Bits of `vcgencmd get_throttled`: current state, and events since boot."""
UNDER_VOLTAGE, CAPPED, SLOWED, SOFT_LIMIT = 1, 2, 4, 8
"""Its four reasons: under 4.63 V; frequency capped; throttled; soft temperature limit reached."""


def text_of(path: Path) -> str | None:
    """Read a small file of /sys or /proc, stripped; None if that fails."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def output_of(*command: str, timeout_s: float = 10) -> str | None:
    """Run a short command and return its stdout; None if it is missing or times out."""
    if not shutil.which(command[0]):
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None


def board(system: Path = SYSTEM) -> str | None:
    """Return the board, such as "Raspberry Pi 5 Model B Rev 1.0"; None on a PC."""
    return text_of(system / "firmware/devicetree/base/model")


def governor(system: Path = SYSTEM) -> str | None:
    """Return the processor's frequency governor."""
    return text_of(system / "devices/system/cpu/cpu0/cpufreq/scaling_governor")


def cpu_model(cpuinfo: str) -> str | None:
    r"""Find the processor's name in /proc/cpuinfo.

    >>> cpu_model("processor : 0\nmodel name\t: Cortex-A76\n")
    'Cortex-A76'
    """
    found = re.search(r"^(?:model name|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None


def cpu() -> str:
    """Return the name of the processor, or its architecture."""
    return cpu_model(text_of(Path("/proc/cpuinfo")) or "") or platform.processor() or platform.machine()


def memory_mb(meminfo: Path = Path("/proc/meminfo")) -> dict[str, float]:
    """Read the machine's memory, in MB of 1,000,000 bytes: MemTotal, MemAvailable, SwapTotal ..."""
    rows = (line.split() for line in (text_of(meminfo) or "").splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(kibibytes) * 1.024e-3 for name, kibibytes, _ in rows}


def limits_memory(system: Path = SYSTEM) -> bool | None:
    """Return whether the kernel can limit a service's memory, disabled in Raspberry Pi OS; None without cgroups."""
    controllers = text_of(system / "fs/cgroup/cgroup.controllers")
    return None if controllers is None else "memory" in controllers.split()


def os_name() -> str:
    """Return the operating system, such as "Debian GNU/Linux 12 (bookworm)"."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def temperature_c(system: Path = SYSTEM) -> float | None:
    """Read the processor's temperature in degrees Celsius; None without a sensor."""
    millidegrees = text_of(system / "class/thermal/thermal_zone0/temp")
    return int(millidegrees) / 1000 if millidegrees and millidegrees.lstrip("-").isdigit() else None


@dataclass(frozen=True)
class Throttle:
    """Throttling state at one moment."""

    flags: int | None = None
    """`vcgencmd get_throttled` of a Raspberry Pi."""
    count: int | None = None
    """Throttling events of a PC's cores since boot."""

    @staticmethod
    def read(system: Path = SYSTEM) -> "Throttle":
        """Read both; None if not available."""
        counts = sorted(system.glob("devices/system/cpu/cpu*/thermal_throttle/core_throttle_count"))
        values = [text for path in counts if (text := text_of(path)) and text.isdigit()]
        answer = output_of("vcgencmd", "get_throttled", timeout_s=5)
        return Throttle(throttled_flags(answer or ""), sum(map(int, values)) if values else None)

    def reason(self, later: "Throttle") -> str | None:
        """Return why a run between this moment and `later` was throttled; None if it was not."""
        if later.flags is not None:
            fresh = (later.flags & ~(self.flags or 0) & SINCE_BOOT) >> 16 | (later.flags & NOW)
            if fresh:
                return f"the Raspberry Pi was throttled during the run (vcgencmd get_throttled: {later.flags:#x})"
        if self.count is not None and later.count is not None and later.count > self.count:
            return f"the processor was throttled {later.count - self.count} times during the run"
        return None


def throttled_flags(answer: str) -> int | None:
    """Parse the output of `vcgencmd get_throttled`.

    >>> throttled_flags("throttled=0x50005"), throttled_flags("VCHI initialization failed")
    (327685, None)
    """
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", answer)
    return int(found[1], 16) if found else None
