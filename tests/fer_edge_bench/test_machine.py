from pathlib import Path

from fer_edge_bench.machine import describe, peak_memory_mb


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_board_governor_and_temperature_are_read_where_available(tmp_path: Path) -> None:
    write(tmp_path / "firmware/devicetree/base/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    write(tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    write(tmp_path / "class/thermal/thermal_zone0/temp", "48312\n")

    machine = describe(tmp_path)

    assert machine["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine["governor"] == "performance"
    assert machine["temperature_c"] == 48.312


def test_unknown_facts_of_a_machine_are_null(tmp_path: Path) -> None:
    machine = describe(tmp_path)

    assert (machine["board"], machine["governor"], machine["temperature_c"]) == (None, None, None)
    assert machine["cores"] >= 1
    assert {"fer-edge", "numpy"} <= machine["packages"].keys()


def test_peak_memory_is_in_megabytes() -> None:
    assert 10 < peak_memory_mb() < 100_000
