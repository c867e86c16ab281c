"""Choose the face detector's form and the number of threads for this processor, by measured rules."""

import os
import platform
import re
from pathlib import Path
from typing import Literal

from fer_edge.device.machine import text_of
from fer_edge.errors import UsageError

Recipe = Literal["int8", "float16"]

DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "asimddp"}
"""CPU flags of int8 dot products in Linux (x86: Intel since Ice Lake, AMD since Zen 4; Arm: since Cortex-A76, as in a
Pi 5)."""
MOST_THREADS = 64
MOST_THREADS_THAT_HELP = 2
"""Two threads on two cores took 0.61 times as long as one (detector int8; float16 0.56, expression model 0.68), also
with capture and live page; four threads were not faster than two (`studies.speed.detector_forms`, AMD EPYC, idle; with
a single-threaded training in parallel, two took as long as one). Not measured on more cores."""
X86 = ("x86_64", "amd64", "i386", "i686")


def has_dot_products(cpuinfo: str | None = None) -> bool | None:
    """Return whether this processor has int8 dot products; None if unknown (Windows, macOS).

    Args:
        cpuinfo: Content of /proc/cpuinfo; None to read it.
    """
    text = text_of(Path("/proc/cpuinfo")) if cpuinfo is None else cpuinfo
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text or "", re.MULTILINE)
    return bool(DOT_PRODUCTS & set(found[1].split())) if found else None


def detector_recipe(machine: str | None = None, cpuinfo: str | None = None) -> Recipe:
    """Choose the form of the bundled face detector: float16 on an x86 processor without int8 dot products, else int8.

    Measured with LiteRT 2.1.6 on an AMD EPYC (Zen 4), one thread, VGA frame at 320 pixels, network only: int8 takes 0.7
    times as long as float with int8 dot products, and 1.4 times without them and AVX-512
    (`studies.speed.detector_forms`). Not measured on Arm yet; there, `fer-edge benchmark` reports if float16 is faster.

    Args:
        machine: Architecture as in `platform.machine`; None for this one.
        cpuinfo: See `has_dot_products`.
    """
    x86 = (machine or platform.machine()).lower() in X86
    return "float16" if x86 and has_dot_products(cpuinfo) is False else "int8"


def detector_reason() -> str:
    """Return the form of the bundled face detector selected here, and why."""
    known = has_dot_products()
    has = "may have" if known is None else "has" if known else "has no"
    return f"{detector_recipe()} (this processor {has} int8 dot products)"


def parsed_threads(text: str) -> int:
    """Parse `--threads`: a number, or auto.

    >>> parsed_threads("3")
    3

    Raises:
        UsageError: It is neither.
    """
    if text == "auto":
        return min(MOST_THREADS_THAT_HELP, os.cpu_count() or 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MOST_THREADS):
        raise UsageError(f"--threads {text}: use a number from 1 to {MOST_THREADS}, or auto")
    return int(text)
