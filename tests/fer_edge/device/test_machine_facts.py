from pathlib import Path

import pytest

from fer_edge.device.machine import (
    Throttle,
    cpu_model,
    limits_memory,
    memory_mb,
    output_of,
    temperature_c,
    throttled_flags,
)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("text", "degrees"), [("48312\n", 48.312), ("broken", None)])
def test_temperature_is_in_degrees(tmp_path: Path, text: str, degrees: float | None) -> None:
    put(tmp_path / "class/thermal/thermal_zone0/temp", text)

    assert temperature_c(tmp_path) == degrees


def test_memory_is_in_megabytes_of_a_million_bytes(tmp_path: Path) -> None:
    put(tmp_path / "meminfo", "MemTotal:        1000000 kB\nMemAvailable:     500000 kB\nHugePages_Total:       0\n")

    assert memory_mb(tmp_path / "meminfo") == {"MemTotal": 1024.0, "MemAvailable": 512.0}
    assert memory_mb(tmp_path / "none") == {}


def test_a_kernel_tells_whether_it_limits_memory(tmp_path: Path) -> None:
    assert limits_memory(tmp_path) is None
    put(tmp_path / "fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")  # Raspberry Pi OS
    assert limits_memory(tmp_path) is False
    put(tmp_path / "fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    assert limits_memory(tmp_path) is True


def test_a_program_that_is_missing_or_hangs_has_no_output() -> None:
    assert output_of("no-such-program") is None
    assert output_of("sleep", "60", timeout_s=0.1) is None
    assert output_of("echo", "yes") == "yes\n"


def test_cpu_without_a_name_is_none() -> None:
    assert cpu_model("") is None
    assert cpu_model("processor: 0\nmodel name\t: Intel(R) Xeon(R)\n") == "Intel(R) Xeon(R)"


def test_throttle_counts_of_all_cores_are_added(tmp_path: Path) -> None:
    for core, count in enumerate(("3\n", "4\n")):
        put(tmp_path / f"devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", count)

    assert Throttle.read(tmp_path).count == 7


@pytest.mark.parametrize(
    ("before", "after", "slowed"),
    [
        (Throttle(), Throttle(), False),  # a machine that tells nothing
        (Throttle(flags=0x0), Throttle(flags=0x0), False),
        (Throttle(flags=0x50000), Throttle(flags=0x50000), False),  # long ago, not during the run
        (Throttle(flags=0x0), Throttle(flags=0x40000), True),  # during the run, over by now
        (Throttle(flags=0x50000), Throttle(flags=0x50005), True),  # now
        (Throttle(count=3), Throttle(count=3), False),
        (Throttle(count=3), Throttle(count=5), True),
    ],
)
def test_slowing_down_during_the_run_is_noticed(before: Throttle, after: Throttle, slowed: bool) -> None:
    assert (before.reason(after) is not None) is slowed


def test_answer_of_vcgencmd_is_read() -> None:
    assert throttled_flags("throttled=0x50005\n") == 0x50005
    assert throttled_flags("error=1") is None
