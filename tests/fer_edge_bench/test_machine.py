from pathlib import Path

import pytest

from fer_edge_bench.machine import Throttle, cpu_model, describe, peak_memory_mb, temperature_c, throttled_flags


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_board_governor_and_temperature_are_read_where_the_machine_tells(tmp_path: Path) -> None:
    put(tmp_path / "firmware/devicetree/base/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    put(tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    put(tmp_path / "class/thermal/thermal_zone0/temp", "48312\n")

    machine = describe(tmp_path)

    assert machine["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine["governor"] == "performance"
    assert machine["temperature_c"] == 48.312


def test_what_a_machine_does_not_tell_is_null(tmp_path: Path) -> None:
    machine = describe(tmp_path)

    assert (machine["board"], machine["governor"], machine["temperature_c"]) == (None, None, None)
    assert machine["cores"] >= 1
    assert {"fer-edge", "numpy"} <= machine["packages"].keys()


def test_unreadable_temperature_is_none(tmp_path: Path) -> None:
    put(tmp_path / "class/thermal/thermal_zone0/temp", "broken")

    assert temperature_c(tmp_path) is None


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


def test_peak_memory_is_in_megabytes() -> None:
    assert 10 < peak_memory_mb() < 100_000
