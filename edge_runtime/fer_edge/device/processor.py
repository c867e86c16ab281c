"""What is fastest on this processor: form of the face detector, number of threads; the rules, as measured."""

import os
import platform
import re
from pathlib import Path
from typing import Literal

from fer_edge.device.machine import text_of
from fer_edge.errors import UsageError

Recipe = Literal["int8", "float16"]

DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "asimddp"}
"""What Linux calls a processor's multiplication of four bytes with four bytes at once (x86: Intel since Ice Lake, AMD
since Zen 4; Arm: since Cortex-A76, as in a Pi 5)."""
MOST_THREADS = 64
MOST_THREADS_THAT_HELP = 2
"""Two threads on two cores took 0.61 times as long as one (detector int8; float16 0.56, expression model 0.68), with
capture and live page beside them 0.61; four threads no less than two (`studies.speed.detector_forms`, AMD EPYC, nothing
else running; beside a training of one thread, two took as long as one). More cores were not at hand."""
X86 = ("x86_64", "amd64", "i386", "i686")


def has_dot_products(cpuinfo: str | None = None) -> bool | None:
    """Log whether this processor has int8 dot products; None where the system does not say (Windows, macOS).

    Args:
        cpuinfo: What stands in /proc/cpuinfo; None to read it.
    """
    text = text_of(Path("/proc/cpuinfo")) if cpuinfo is None else cpuinfo
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text or "", re.MULTILINE)
    return bool(DOT_PRODUCTS & set(found[1].split())) if found else None


def detector_recipe(machine: str | None = None, cpuinfo: str | None = None) -> Recipe:
    """Choose the form of the bundled face detector: float16 on an x86 processor without int8 dot products, else int8.

    Seen with LiteRT 2.1.6 on an AMD EPYC (Zen 4), one thread, a VGA frame seen 320 pixels large, the network alone:
    with its int8 dot products int8 takes 0.7 times as long as float; when LiteRT is kept from using them, and AVX-512,
    1.4 times (`studies.speed.detector_forms`). Nobody could time Arm yet: `fer-edge benchmark` says there when float16
    would be faster.

    Args:
        machine: Kind of processor, as `platform.machine` names it; None for this one.
        cpuinfo: As `has_dot_products` takes it.
    """
    x86 = (machine or platform.machine()).lower() in X86
    return "float16" if x86 and has_dot_products(cpuinfo) is False else "int8"


def detector_reason() -> str:
    """Say which form of the bundled face detector is taken here, and why."""
    known = has_dot_products()
    has = "does not say whether it has" if known is None else "has" if known else "has no"
    return f"{detector_recipe()} (this processor {has} int8 dot products)"


def parsed_threads(text: str) -> int:
    """Read `--threads`: a number, or auto for as many as help and there are cores.

    >>> parsed_threads("3")
    3

    Raises:
        UsageError: It is no such thing.
    """
    if text == "auto":
        return min(MOST_THREADS_THAT_HELP, os.cpu_count() or 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MOST_THREADS):
        raise UsageError(f"--threads {text}: give a number from 1 to {MOST_THREADS}, or auto")
    return int(text)
