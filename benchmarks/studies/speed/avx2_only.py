"""Lets LiteRT believe that this x86 processor has AVX2 and nothing later, to time what it computes with there.

gdb -batch -x benchmarks/studies/speed/avx2_only.py --args python -m studies.speed.detector_forms

Runs inside gdb (Debian: `sudo apt-get install gdb`). The program stops itself with SIGUSR1 once LiteRT is loaded, and
again when its networks are made; in between every CPUID instruction of LiteRT's libraries stops, and the answer of leaf
7 loses AVX-512, its dot products (VNNI), AMX and GFNI. Everything else, the clock and the caches, is the processor's.
"""

import re
import subprocess
from pathlib import Path

import gdb  # exists inside gdb alone

CPUID = b"\x0f\xa2"
LIBRARIES = ("libpywrap_litert_common.so", "libLiteRt.so")
WITHOUT = {
    "rbx": (16, 17, 21, 26, 27, 28, 30, 31),  # AVX-512: F, DQ, IFMA, PF, ER, CD, BW, VL
    "rcx": (1, 6, 8, 11, 12, 14),  # AVX-512 VBMI, VBMI2, GFNI, VNNI, BITALG, VPOPCNTDQ
    "rdx": (2, 3, 22, 23, 24, 25),  # AVX-512 4VNNIW, 4FMAPS, AMX-BF16, AVX-512 FP16, AMX
}
"""Bits of CPUID leaf 7, subleaf 0 (Intel SDM, volume 2A)."""


def register(name: str) -> int:
    """Read the lower half of a register."""
    return int(gdb.parse_and_eval(f"${name}")) & 0xFFFFFFFF


def places(pid: int) -> list[int]:
    """Find the addresses of all CPUID instructions of LiteRT's libraries in the running program."""
    found = []
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    for library in LIBRARIES:
        mapped = [line for line in lines if line.endswith(f"/{library}")]
        if mapped:
            base = min(int(line.split("-")[0], 16) for line in mapped)
            code = subprocess.run(
                ["objdump", "-d", mapped[0].split()[-1]], capture_output=True, text=True, check=True
            ).stdout
            found += [base + int(place, 16) for place in re.findall(r"^\s*([0-9a-f]+):.*\bcpuid\b", code, re.MULTILINE)]
    return found


def at_cpuid() -> bool:
    """Log whether the program stopped at a CPUID instruction, and not by its signal."""
    process = gdb.selected_inferior()
    return bool(process.pid) and bytes(process.read_memory(int(gdb.parse_and_eval("$pc")), 2)) == CPUID


def answer_as_avx2() -> None:
    """Let the instruction answer, and take away what came after AVX2."""
    leaf, subleaf = register("rax"), register("rcx")
    gdb.execute("stepi", to_string=True)
    if leaf != 7:
        return
    for name, bits in WITHOUT.items() if subleaf == 0 else ():
        gdb.execute(f"set ${name} = {register(name) & ~sum(1 << bit for bit in bits)}")
    if subleaf == 1:  # AVX-VNNI and AVX-512 BF16
        gdb.execute("set $rax = 0")


for setting in ("pagination off", "confirm off", "debuginfod enabled off"):
    gdb.execute(f"set {setting}")
gdb.execute("handle SIGUSR1 stop nopass", to_string=True)
gdb.execute("run")
for place in places(gdb.selected_inferior().pid):
    gdb.execute(f"break *{place}", to_string=True)
gdb.execute("continue", to_string=True)
while at_cpuid():
    answer_as_avx2()
    gdb.execute("continue", to_string=True)
gdb.execute("delete")
gdb.execute("continue")
