"""Hides all x86 extensions after AVX2 from LiteRT, to time its code paths for older processors.

gdb -batch -x benchmarks/studies/speed/avx2_only.py --args python -m studies.speed.detector_forms

Runs inside gdb (Debian: `sudo apt-get install gdb`). The program stops itself with SIGUSR1 when LiteRT is loaded, and
again when its networks are created; in between there is a breakpoint on every CPUID instruction of LiteRT's libraries,
and AVX-512, its dot products (VNNI), AMX and GFNI are removed from the result of leaf 7. Clock speed and caches are
unchanged.
"""

import re
import subprocess
from pathlib import Path

import gdb  # only available inside gdb

CPUID = b"\x0f\xa2"
LIBRARIES = ("libpywrap_litert_common.so", "libLiteRt.so")
HIDDEN_BITS = {
    "rbx": (16, 17, 21, 26, 27, 28, 30, 31),  # AVX-512: F, DQ, IFMA, PF, ER, CD, BW, VL
    "rcx": (1, 6, 8, 11, 12, 14),  # AVX-512 VBMI, VBMI2, GFNI, VNNI, BITALG, VPOPCNTDQ
    "rdx": (2, 3, 22, 23, 24, 25),  # AVX-512 4VNNIW, 4FMAPS, AMX-BF16, AVX-512 FP16, AMX
}
"""Bits of CPUID leaf 7, subleaf 0 (Intel SDM, volume 2A)."""


def register(name: str) -> int:
    """Read the lower half of a register."""
    return int(gdb.parse_and_eval(f"${name}")) & 0xFFFFFFFF


def cpuid_addresses(pid: int) -> list[int]:
    """Return the addresses of all CPUID instructions in LiteRT's libraries in the running program."""
    found = []
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    for library in LIBRARIES:
        mapped = [line for line in lines if line.endswith(f"/{library}")]
        if mapped:
            base = min(int(line.split("-")[0], 16) for line in mapped)
            code = subprocess.run(
                ["objdump", "-d", mapped[0].split()[-1]], capture_output=True, text=True, check=True
            ).stdout
            found += [
                base + int(address, 16) for address in re.findall(r"^\s*([0-9a-f]+):.*\bcpuid\b", code, re.MULTILINE)
            ]
    return found


def at_cpuid() -> bool:
    """Return whether the program stopped at a CPUID instruction, not by its signal."""
    process = gdb.selected_inferior()
    return bool(process.pid) and bytes(process.read_memory(int(gdb.parse_and_eval("$pc")), 2)) == CPUID


def execute_as_avx2() -> None:
    """Execute the instruction, then clear the bits of extensions after AVX2."""
    leaf, subleaf = register("rax"), register("rcx")
    gdb.execute("stepi", to_string=True)
    if leaf != 7:
        return
    for name, bits in HIDDEN_BITS.items() if subleaf == 0 else ():
        gdb.execute(f"set ${name} = {register(name) & ~sum(1 << bit for bit in bits)}")
    if subleaf == 1:  # AVX-VNNI and AVX-512 BF16
        gdb.execute("set $rax = 0")


for setting in ("pagination off", "confirm off", "debuginfod enabled off"):
    gdb.execute(f"set {setting}")
gdb.execute("handle SIGUSR1 stop nopass", to_string=True)
gdb.execute("run")
for address in cpuid_addresses(gdb.selected_inferior().pid):
    gdb.execute(f"break *{address}", to_string=True)
gdb.execute("continue", to_string=True)
while at_cpuid():
    execute_as_avx2()
    gdb.execute("continue", to_string=True)
gdb.execute("delete")
gdb.execute("continue")
