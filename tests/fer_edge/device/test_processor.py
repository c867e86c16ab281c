import platform

import pytest

from fer_edge.device.processor import detector_reason, detector_recipe, has_dot_products, parsed_threads
from fer_edge.errors import UsageError

EPYC_ZEN_4 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9R14
flags\t\t: fpu vme sse4_2 avx avx2 avx512f avx512bw avx512_bf16 avx512_vbmi2 gfni avx512_vnni avx512_bitalg
bugs\t\t: sysret_ss_attrs spectre_v1

processor\t: 1
flags\t\t: fpu vme sse4_2 avx avx2 avx512f avx512_vnni
"""
ALDER_LAKE = "processor\t: 0\nmodel name\t: 12th Gen Intel(R) Core(TM)\nflags\t\t: fpu sse4_2 avx avx2 fma avx_vnni\n"
SKYLAKE = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5-6500\nflags\t\t: fpu sse4_2 avx avx2 fma\nbugs\t\t: mds\n"
SKYLAKE_X = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw avx512dq avx512vl\nvmx flags\t: vnmi avx_vnni\n"
PI_5 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU part\t: 0xd0b
"""
PI_4 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n"
PI_4_32_BITS = "processor\t: 0\nFeatures\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae\n"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "known", "recipe"),
    [
        ("x86_64", EPYC_ZEN_4, True, "int8"),
        ("x86_64", ALDER_LAKE, True, "int8"),
        ("x86_64", SKYLAKE, False, "float16"),
        ("x86_64", SKYLAKE_X, False, "float16"),
        ("AMD64", SKYLAKE, False, "float16"),
        ("aarch64", PI_5, True, "int8"),
        ("aarch64", PI_4, False, "int8"),
        ("armv7l", PI_4_32_BITS, False, "int8"),
        ("x86_64", "", None, "int8"),
        ("aarch64", "", None, "int8"),
        ("arm64", "", None, "int8"),
        ("riscv64", "processor\t: 0\nisa\t\t: rv64imafdcv\n", None, "int8"),
    ],
    ids=[
        *("zen 4", "alder lake", "skylake", "skylake x", "windows' name", "pi 5", "pi 4", "pi 4, 32 bits"),
        *("x86 unknown", "arm unknown", "macos", "risc-v"),
    ],
)
def test_the_flags_tell_of_int8_dot_products_and_float16_is_taken_on_x86_without_them_alone(
    machine: str, cpuinfo: str, known: bool | None, recipe: str
) -> None:
    assert has_dot_products(cpuinfo) is known
    assert detector_recipe(machine, cpuinfo) == recipe


@pytest.mark.parametrize("cpuinfo", [EPYC_ZEN_4, SKYLAKE, PI_5, PI_4, ""])
def test_this_processor_is_asked_where_none_is_named(cpuinfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.device.processor.text_of", lambda path: {"/proc/cpuinfo": cpuinfo}[str(path)])

    assert has_dot_products() is has_dot_products(cpuinfo)
    assert detector_recipe() == detector_recipe(platform.machine(), cpuinfo)


def test_a_system_without_cpuinfo_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.device.processor.text_of", lambda path: None)

    assert has_dot_products() is None
    assert detector_recipe("x86_64") == "int8"


@pytest.mark.parametrize(
    ("cpuinfo", "reason"),
    [
        (EPYC_ZEN_4, "int8 (this processor has int8 dot products)"),
        (SKYLAKE, "float16 (this processor has no int8 dot products)"),
        ("", "int8 (this processor may have int8 dot products)"),
    ],
    ids=["with", "without", "unknown"],
)
def test_the_reason_is_told(cpuinfo: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.device.processor.text_of", lambda path: cpuinfo)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    assert detector_reason() == reason


@pytest.mark.parametrize(
    ("text", "cores", "threads"), [("auto", 1, 1), ("auto", 2, 2), ("auto", 16, 2), ("auto", None, 1), ("64", 2, 64)]
)
def test_auto_takes_as_many_threads_as_help_and_a_number_is_taken_as_it_is(
    text: str, cores: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)

    assert parsed_threads(text) == threads


@pytest.mark.parametrize("text", ["0", "65", "-1", "1.5", "", "two", "\u00b2", "99999999999"])
def test_threads_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="use a number from 1 to 64, or auto"):
        parsed_threads(text)
