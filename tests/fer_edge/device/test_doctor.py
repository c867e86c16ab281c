import json
import subprocess
import venv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fer_edge.device.cameras import Cameras, Holder, Module, Node
from fer_edge.device.doctor import Finding, as_json, as_line, is_healthy, judge
from fer_edge.device.doctor_facts import Facts, Import
from fer_edge.device.v4l2 import Answer

WEBCAM = Node("/dev/video0", 0, Answer("HD Webcam C525", "uvcvideo", "usb-1.4", "camera"))
BUSY = replace(WEBCAM.answer, busy=True)
ISP = tuple(Node(f"/dev/video{n}", n, Answer("pispbe", "pispbe", "", "processor")) for n in (20, 21))
SENSOR = Node("/dev/video0", 0, Answer("rp1-cfe", "rp1-cfe", "", "sensor"))
MODULE = Cameras((SENSOR, *ISP), (Module(0, "imx708", "4608x2592"),), "rpicam-hello")

PI_5 = Facts(
    board="Raspberry Pi 5 Model B Rev 1.0",
    system="Debian GNU/Linux 13 (trixie)",
    kernel="aarch64",
    python=(3, 13, 5),
    bits=64,
    prefix="/home/ana/fer",
    pip="/home/ana/fer/bin/python -m pip",
    base="/usr",
    system_python="python3.13",
    packages={"fer-edge": "0.1.0", "ai-edge-litert": "2.1.6", "numpy": "2.4.6", "opencv-python-headless": "4.14.0.94"},
    numpy=Import("2.4.6"),
    opencv=Import("4.14.0"),
    opencv_has={"v4l": True, "ffmpeg": True, "windows": False},
    runtime=Import("ai_edge_litert"),
    models={"edge.tflite": None, "yunet_int8.tflite": None, "yunet_float16.tflite": None},
    detector="int8 (this processor has int8 dot products)",
    cameras=Cameras((WEBCAM, *ISP), (), "rpicam-hello"),
    picamera2=None,
    picamera2_in_system=False,
    user="ana",
    is_root=False,
    in_video=True,
    listed_in_video=True,
    throttled=0,
    temperature_c=48.3,
    governor="ondemand",
    governor_driver="cpufreq-dt",
    memory_mb=8_200,
    memory_free_mb=7_100,
    limits_memory=True,
    folder="/home/ana",
    folder_free_mb=20_000,
    temporary="/tmp",  # noqa: S108 - a name only
    extras={"preview": True, "mqtt": True},
)

LAPTOP = replace(
    PI_5,
    board=None,
    system="Ubuntu 24.04.3 LTS",
    kernel="x86_64",
    throttled=None,
    governor="powersave",
    governor_driver="intel_pstate",
    system_python="python3.12",
)
MACHINE = replace(LAPTOP, cameras=Cameras(), user="root", is_root=True, temperature_c=None, governor=None)
"""A virtual machine without a camera."""


def faults(facts: Facts) -> list[Finding]:
    return [finding for finding in judge(facts) if finding.verdict == "fault"]


def notes(facts: Facts) -> list[Finding]:
    return [finding for finding in judge(facts) if finding.verdict == "note"]


def only_fault(facts: Facts) -> Finding:
    (fault,) = faults(facts)
    return fault


def test_a_healthy_pi_5_has_nothing_to_mend() -> None:
    assert {finding.verdict for finding in judge(PI_5)} == {"ok"}
    assert "camera: HD Webcam C525 (/dev/video0) is free: --source 0" in map(as_line, judge(PI_5))


def test_a_healthy_laptop_has_nothing_to_mend() -> None:
    assert {finding.verdict for finding in judge(LAPTOP)} == {"ok"}


def test_a_machine_without_a_camera_is_healthy_and_told_what_to_do() -> None:
    assert is_healthy(judge(MACHINE))
    assert [(note.name, note.command) for note in notes(MACHINE)] == [("camera", None)]
    assert "--source FILE" in notes(MACHINE)[0].text


OLD_SYSTEM = replace(
    PI_5,
    board="Raspberry Pi 3 Model B Rev 1.2",
    bits=32,
    python=(3, 11, 2),
    system_python="python3.11",
    runtime=Import(None, "no TFLite runtime (ai_edge_litert: No module named 'ai_edge_litert')"),
    models={},
)


def test_a_32_bit_userland_on_a_64_bit_kernel_takes_tflite_runtime_up_to_python_3_11() -> None:
    fault = only_fault(OLD_SYSTEM)

    assert fault.text == "32-bit Python on a 64-bit kernel: LiteRT has no wheel for it, tflite-runtime has"
    assert fault.command == "/home/ana/fer/bin/python -m pip install tflite-runtime 'numpy<2'"


@pytest.mark.parametrize(
    "facts", [replace(OLD_SYSTEM, python=(3, 13, 5)), replace(OLD_SYSTEM, kernel="armv6l")], ids=["3.13", "armv6"]
)
def test_where_no_runtime_has_a_32_bit_wheel_another_system_is_needed(facts: Facts) -> None:
    assert only_fault(facts).command == "rpi-imager"


def test_a_32_bit_system_that_runs_is_no_fault() -> None:
    packages = {"tflite-runtime": "2.14.0"}
    facts = replace(OLD_SYSTEM, runtime=Import("tflite_runtime"), numpy=Import("1.26.4"), packages=packages)

    assert faults(facts) == []
    assert [note.name for note in notes(facts)] == ["system"]
    assert "runtime: tflite_runtime 2.14.0" in map(as_line, judge(facts))


@pytest.mark.parametrize(
    ("flags", "verdict", "said", "command"),
    [
        (0x50005, "fault", "under-voltage now", "vcgencmd get_throttled"),
        (0x50000, "note", "for too little voltage; not now", "vcgencmd get_throttled"),
        (0xE0000, "note", "for heat; not now", "vcgencmd get_throttled"),
        (0xE0008, "fault", "slowed down by heat now", "vcgencmd measure_temp"),
        (0x0, "ok", "neither under-voltage", None),
    ],
)
def test_the_flags_of_a_pi_are_read_out(flags: int, verdict: str, said: str, command: str | None) -> None:
    findings = judge(replace(PI_5, board="Raspberry Pi 4 Model B Rev 1.4", throttled=flags))

    (finding,) = [finding for finding in findings if said in finding.text]
    assert (finding.verdict, finding.command) == (verdict, command)
    assert is_healthy(findings) is (verdict != "fault")


def test_a_pi_that_cannot_be_asked_for_its_voltage_says_so_and_a_laptop_does_not() -> None:
    assert [note.name for note in notes(replace(PI_5, throttled=None))] == ["power"]
    assert notes(LAPTOP) == []


def test_a_camera_that_another_program_holds_is_a_fault_with_what_ends_it() -> None:
    held = replace(WEBCAM, answer=BUSY, holders=(Holder(4242, "obs"),))
    fault = only_fault(replace(LAPTOP, cameras=Cameras((held,))))

    assert fault.text == "HD Webcam C525: /dev/video0 is held by obs (process 4242)"
    assert fault.command == "kill 4242"


def test_a_camera_that_streams_for_another_users_program_is_a_fault_too() -> None:
    fault = only_fault(replace(LAPTOP, cameras=Cameras((replace(WEBCAM, answer=BUSY),))))

    assert fault.command == "sudo fuser -v /dev/video0"


def test_a_camera_that_is_open_and_idle_is_only_noted() -> None:
    held = replace(WEBCAM, holders=(Holder(4242, "obs"),))
    facts = replace(LAPTOP, cameras=Cameras((held,)))

    assert is_healthy(judge(facts))
    assert [note.command for note in notes(facts)] == ["kill 4242"]


def test_a_camera_module_that_streams_for_another_program_is_a_fault_and_one_that_is_open_is_not() -> None:
    has_it = replace(SENSOR, holders=(Holder(901, "wireplumber", "wireplumber.service", True),))
    streams = replace(has_it, answer=replace(SENSOR.answer, busy=True))
    facts = replace(PI_5, cameras=replace(MODULE, nodes=(has_it, *ISP)), picamera2=Import("there"))

    assert is_healthy(judge(facts))
    fault = only_fault(replace(facts, cameras=replace(MODULE, nodes=(has_it, streams, *ISP))))
    assert fault.text == "camera module imx708: /dev/video0 is held by wireplumber (process 901)"
    assert fault.command == "systemctl --user stop wireplumber.service"


def test_a_camera_that_our_own_service_holds_is_no_fault() -> None:
    held = replace(WEBCAM, answer=BUSY, holders=(Holder(77, "python", "fer-edge.service"),))
    facts = replace(PI_5, cameras=Cameras((held,)))

    assert is_healthy(judge(facts))
    assert [note.command for note in notes(facts)] == ["fer-edge service status"]


def test_a_camera_module_is_picam_and_never_a_number() -> None:
    facts = replace(PI_5, cameras=MODULE, picamera2=Import("there"), picamera2_in_system=True)

    assert faults(facts) == []
    assert "camera: camera module imx708: --source picam, never a number" in map(as_line, judge(facts))


def test_picamera2_that_this_environment_does_not_see_is_made_visible() -> None:
    fault = only_fault(replace(PI_5, cameras=MODULE, picamera2_in_system=True))

    assert "the system has picamera2, but /home/ana/fer does not see it" in fault.text
    assert fault.command == "sed -i '/^include-system-site-packages/s/false/true/' /home/ana/fer/pyvenv.cfg"


def test_that_command_makes_the_systems_packages_visible(tmp_path: Path) -> None:
    facts = replace(PI_5, cameras=MODULE, picamera2_in_system=True, prefix=str(tmp_path / "my env"))
    (tmp_path / "my env").mkdir()
    venv.EnvBuilder().create(tmp_path / "my env")
    see = [str(tmp_path / "my env/bin/python"), "-c", "import sys; print(*sys.path, sep='\\n')"]
    before = subprocess.run(see, capture_output=True, text=True).stdout.splitlines()

    subprocess.run(["sh", "-c", only_fault(facts).command or ""], check=True)

    after = subprocess.run(see, capture_output=True, text=True).stdout.splitlines()
    assert set(before) < set(after)


@pytest.mark.parametrize(
    "other", [{"python": (3, 12, 1)}, {"base": "/home/ana/.pyenv/versions/3.13.5"}, {"prefix": "/usr"}]
)
def test_an_environment_of_another_python_than_the_systems_cannot_see_picamera2(other: dict[str, Any]) -> None:
    fault = only_fault(replace(PI_5, cameras=MODULE, picamera2_in_system=True, **other))

    assert "made for python3.13" in fault.text
    assert fault.command == "/usr/bin/python3 -m venv --system-site-packages ~/fer-edge"


def test_without_a_camera_module_an_invisible_picamera2_is_only_noted() -> None:
    facts = replace(PI_5, picamera2_in_system=True)

    assert is_healthy(judge(facts))
    assert [note.name for note in notes(facts)] == ["picamera2"]


@pytest.mark.parametrize("cameras", [MODULE, Cameras((SENSOR, *ISP))], ids=["libcamera tells", "its tool is missing"])
def test_a_camera_module_without_picamera2_is_told_what_to_install(cameras: Cameras) -> None:
    assert only_fault(replace(PI_5, cameras=cameras)).command == "sudo apt install -y python3-picamera2"


def test_a_laptop_with_a_bare_sensor_is_not_told_of_picamera2() -> None:
    facts = replace(LAPTOP, cameras=Cameras((SENSOR,)))

    assert is_healthy(judge(facts))
    assert "picamera2" not in " ".join(map(as_line, judge(facts)))


def test_a_sensor_that_libcamera_does_not_find_is_no_camera() -> None:
    facts = replace(PI_5, cameras=Cameras((SENSOR,), (), "rpicam-hello"))

    assert [note.name for note in notes(facts)] == ["camera"]


def test_picamera2_that_was_built_for_numpy_1_gets_it() -> None:
    broken = Import(None, "numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88")
    fault = only_fault(replace(PI_5, cameras=MODULE, picamera2=broken, picamera2_in_system=True))

    assert (fault.name, fault.command) == ("picamera2", "/home/ana/fer/bin/python -m pip install 'numpy<2'")


LOCKED = Cameras((replace(WEBCAM, readable=False),))
OUTSIDE = replace(PI_5, in_video=False, listed_in_video=False)


@pytest.mark.parametrize(
    ("facts", "verdict", "command"),
    [
        (replace(OUTSIDE, cameras=LOCKED), "fault", "sudo usermod -aG video $USER"),
        (replace(OUTSIDE, cameras=LOCKED, listed_in_video=True), "fault", "newgrp video"),
        (replace(OUTSIDE, listed_in_video=True), "note", "newgrp video"),
        (OUTSIDE, "note", "sudo usermod -aG video $USER"),  # a desktop's own login may use them, ssh may not
        (replace(PI_5, cameras=LOCKED), "fault", "sudo chgrp video /dev/video0 && sudo chmod g+rw /dev/video0"),
        (PI_5, "ok", None),
    ],
)
def test_the_right_to_cameras_comes_with_group_video(facts: Facts, verdict: str, command: str | None) -> None:
    (group,) = [finding for finding in judge(facts) if finding.name == "group"]

    assert (group.verdict, group.command) == (verdict, command)
    assert [fault.name for fault in faults(facts)] == (["group"] if verdict == "fault" else [])


def test_root_needs_no_group() -> None:
    assert "group" not in {finding.name for finding in judge(replace(OUTSIDE, is_root=True))}


@pytest.mark.parametrize(
    ("facts", "name", "command"),
    [
        (
            replace(
                PI_5,
                opencv=Import(None, "libGL.so.1: cannot open shared object file"),
                packages={"opencv-python": "4.14.0"},
                models={},
            ),
            "opencv",
            "pip uninstall -y opencv-python; /home/ana/fer/bin/python -m pip install --force-reinstall --no-deps open",
        ),
        (
            replace(PI_5, opencv=Import(None, "No module named 'cv2'"), packages={}, models={}),
            "opencv",
            "/home/ana/fer/bin/python -m pip install opencv-python-headless",
        ),
        (
            replace(PI_5, numpy=Import(None, "libopenblas.so.0: cannot open shared object file"), models={}),
            "numpy",
            "sudo apt install -y libopenblas0",
        ),
        (replace(PI_5, runtime=Import(None, "no TFLite runtime"), models={}), "runtime", "'ai-edge-litert<2.2'"),
        (
            replace(PI_5, runtime=Import(None, "tflite_runtime: _ARRAY_API not found"), models={}),
            "runtime",
            "pip install 'numpy<2'",
        ),
        (
            replace(PI_5, models={"edge.tflite": "not as on the workstation: network", "yunet_int8.tflite": None}),
            "model",
            "pip install --force-reinstall --no-deps .",
        ),
        (replace(PI_5, opencv_has={"v4l": False, "ffmpeg": True}), "opencv", "opencv-python-headless"),
        (replace(PI_5, memory_free_mb=40), "memory", "ps -eo rss"),
        (replace(PI_5, folder_free_mb=3), "disk", "sudo apt clean"),
        (replace(PI_5, temporary=None), "temporary", "export TMPDIR=$HOME"),
    ],
)
def test_each_fault_is_one_line_with_one_command(facts: Facts, name: str, command: str) -> None:
    fault = only_fault(facts)

    assert fault.name == name
    assert command in (fault.command or "")
    assert "\n" not in as_line(fault)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (replace(PI_5, python=(3, 14, 0)), "python"),
        (replace(PI_5, packages={"opencv-python": "4.14.0", "opencv-python-headless": "4.14.0"}), "opencv"),
        (replace(PI_5, opencv_has={"v4l": True, "ffmpeg": False}), "opencv"),
        (replace(MACHINE, opencv_has={"v4l": False, "ffmpeg": True}), "opencv"),
        (replace(PI_5, temperature_c=81.0), "heat"),
        (replace(PI_5, governor="powersave"), "governor"),
        (replace(PI_5, memory_free_mb=200), "memory"),
        (replace(PI_5, limits_memory=False), "memory"),
        (replace(PI_5, folder_free_mb=300), "disk"),
        (replace(PI_5, extras={"preview": False, "mqtt": True}), "extra"),
    ],
)
def test_what_only_may_become_a_trouble_is_a_note(facts: Facts, name: str) -> None:
    assert is_healthy(judge(facts))
    assert name in {note.name for note in notes(facts)}


def test_the_form_of_the_detector_for_this_processor_is_told_where_the_models_were_tried() -> None:
    said = "detector: --detector auto takes int8 (this processor has int8 dot products)"

    assert [as_line(finding) for finding in judge(PI_5) if finding.name == "detector"] == [said]
    assert [finding for finding in judge(replace(PI_5, models={})) if finding.name == "detector"] == []


def test_programs_get_findings_and_facts_as_json() -> None:
    facts = replace(PI_5, cameras=MODULE)
    document = json.loads(json.dumps(as_json(facts, judge(facts)), allow_nan=False))

    assert document["passed"] is False
    assert document["facts"]["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert {finding["verdict"] for finding in document["findings"]} == {"ok", "fault"}


def test_tflite_runtime_beside_numpy_2_is_one_fault_and_not_the_models() -> None:
    facts = replace(
        PI_5, runtime=Import("tflite_runtime"), models={"bundled models": "returned a result with an exception"}
    )

    assert only_fault(facts).text == "tflite-runtime runs with numpy 1 only, and numpy is 2.4.6"
    assert only_fault(facts).command == "/home/ana/fer/bin/python -m pip install 'numpy<2'"


def test_without_numpy_the_runtime_is_not_judged() -> None:
    gone = Import(None, "No module named 'numpy'")
    fault = only_fault(replace(PI_5, numpy=gone, runtime=gone, models={}))

    assert (fault.name, fault.command) == ("numpy", "/home/ana/fer/bin/python -m pip install 'numpy>=1.26'")


def test_every_fault_has_a_command_whatever_is_broken() -> None:
    broken = Import(None, "broken")
    everything = replace(
        OUTSIDE, opencv=broken, runtime=broken, models={"edge.tflite": "x"}, cameras=LOCKED,
        picamera2=broken,
        throttled=0xF000F, memory_free_mb=1, folder_free_mb=1, temporary=None,
    )  # fmt: skip

    assert {fault.name for fault in faults(everything)} == {
        *("opencv", "runtime", "model", "group", "power", "memory", "disk", "temporary"),
    }
    assert all(fault.command for fault in faults(everything))
