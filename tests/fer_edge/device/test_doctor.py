import json
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

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


@pytest.mark.parametrize("facts", [PI_5, LAPTOP], ids=["pi 5", "laptop"])
def test_a_healthy_machine_has_nothing_to_mend(facts: Facts) -> None:
    assert {finding.verdict for finding in judge(facts)} == {"ok"}
    assert "camera: HD Webcam C525 (/dev/video0) is available: --source 0" in map(as_line, judge(facts))


OLD_SYSTEM = replace(
    PI_5,
    board="Raspberry Pi 3 Model B Rev 1.2",
    bits=32,
    python=(3, 11, 2),
    system_python="python3.11",
    runtime=Import(None, "no TFLite runtime installed (ai_edge_litert: No module named 'ai_edge_litert')"),
    models={},
)


ON_32_BITS = replace(
    OLD_SYSTEM, runtime=Import("tflite_runtime"), numpy=Import("1.26.4"), packages={"tflite-runtime": "2.14.0"}
)


@pytest.mark.parametrize(
    ("flags", "verdict", "said", "command"),
    [
        (0x50005, "fault", "under-voltage now", "vcgencmd get_throttled"),
        (0x50000, "note", "by under-voltage; not now", "vcgencmd get_throttled"),
        (0xE0000, "note", "by heat; not now", "vcgencmd get_throttled"),
        (0xE0008, "fault", "throttled by heat now", "vcgencmd measure_temp"),
        (0x0, "ok", "no under-voltage", None),
    ],
)
def test_the_flags_of_a_pi_are_read_out(flags: int, verdict: str, said: str, command: str | None) -> None:
    findings = judge(replace(PI_5, board="Raspberry Pi 4 Model B Rev 1.4", throttled=flags))

    (finding,) = [finding for finding in findings if said in finding.text]
    assert (finding.verdict, finding.command) == (verdict, command)
    assert is_healthy(findings) is (verdict != "fault")


OPEN = replace(WEBCAM, holders=(Holder(4242, "obs"),))
OURS = replace(WEBCAM, answer=BUSY, holders=(Holder(77, "python", "fer-edge.service"),))
SENSOR_OPEN = replace(SENSOR, holders=(Holder(901, "wireplumber", "wireplumber.service", True),))
SENSOR_STREAMS = replace(SENSOR_OPEN, answer=replace(SENSOR.answer, busy=True))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            replace(PI_5, cameras=MODULE, picamera2=Import("there"), picamera2_in_system=True),
            "camera: camera module imx708: --source picam, not a number",
        ),
        (
            replace(PI_5, cameras=replace(MODULE, nodes=(SENSOR_OPEN, *ISP)), picamera2=Import("there")),
            "camera: camera module imx708: --source picam, not a number",
        ),
        (ON_32_BITS, "runtime: tflite_runtime 2.14.0"),
    ],
    ids=["camera module", "camera module that is open and idle", "32 bits"],
)
def test_what_is_no_fault_is_told_nevertheless(facts: Facts, said: str) -> None:
    assert faults(facts) == []
    assert said in map(as_line, judge(facts))


def test_the_command_for_an_invisible_picamera2_makes_the_systems_packages_visible(tmp_path: Path) -> None:
    facts = replace(PI_5, cameras=MODULE, picamera2_in_system=True, prefix=str(tmp_path / "my env"))
    (tmp_path / "my env").mkdir()
    venv.EnvBuilder().create(tmp_path / "my env")
    see = [str(tmp_path / "my env/bin/python"), "-c", "import sys; print(*sys.path, sep='\\n')"]
    before = subprocess.run(see, capture_output=True, text=True).stdout.splitlines()

    subprocess.run(["sh", "-c", only_fault(facts).command or ""], check=True)

    after = subprocess.run(see, capture_output=True, text=True).stdout.splitlines()
    assert set(before) < set(after)


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


UNSEEN = replace(PI_5, cameras=MODULE, picamera2_in_system=True)
NO_NUMPY = Import(None, "No module named 'numpy'")
FOR_NUMPY_1 = Import(None, "numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88")
PIP = "type: /home/ana/fer/bin/python -m pip"
NEW_ENVIRONMENT = (
    "built for python3.13; then install fer-edge there; "
    "type: /usr/bin/python3 -m venv --system-site-packages ~/fer-edge"
)


@pytest.mark.parametrize(
    ("facts", "begin", "end"),
    [
        (
            OLD_SYSTEM,
            "runtime: 32-bit Python on a 64-bit kernel: LiteRT has no wheel for it; tflite-runtime has one",
            f"; {PIP} install tflite-runtime 'numpy<2'",
        ),
        (replace(OLD_SYSTEM, python=(3, 13, 5)), "runtime: ", "; type: rpi-imager"),
        (replace(OLD_SYSTEM, kernel="armv6l"), "runtime: ", "; type: rpi-imager"),
        (
            replace(LAPTOP, cameras=Cameras((replace(OPEN, answer=BUSY),))),
            "camera: HD Webcam C525: /dev/video0 is in use by obs (process 4242)",
            "; type: kill 4242",
        ),
        (
            replace(LAPTOP, cameras=Cameras((replace(WEBCAM, answer=BUSY),))),
            "camera: HD Webcam C525: /dev/video0 is in use by another user's process",
            "; type: sudo fuser -v /dev/video0",
        ),
        (
            replace(
                PI_5, cameras=replace(MODULE, nodes=(SENSOR_OPEN, SENSOR_STREAMS, *ISP)), picamera2=Import("there")
            ),
            "camera: camera module imx708: /dev/video0 is in use by wireplumber (process 901)",
            "; type: systemctl --user stop wireplumber.service",
        ),
        (
            UNSEEN,
            "picamera2: picamera2 is installed in the system, but not visible in /home/ana/fer",
            "; type: sed -i '/^include-system-site-packages/s/false/true/' /home/ana/fer/pyvenv.cfg",
        ),
        (replace(UNSEEN, python=(3, 12, 1)), "picamera2: ", NEW_ENVIRONMENT),
        (replace(UNSEEN, base="/home/ana/.pyenv/versions/3.13.5"), "picamera2: ", NEW_ENVIRONMENT),
        (replace(UNSEEN, prefix="/usr"), "picamera2: ", NEW_ENVIRONMENT),
        (replace(PI_5, cameras=MODULE), "picamera2: ", "; type: sudo apt install -y python3-picamera2"),
        (  # without libcamera's tool
            replace(PI_5, cameras=Cameras((SENSOR, *ISP))),
            "picamera2: ",
            "; type: sudo apt install -y python3-picamera2",
        ),
        (replace(UNSEEN, picamera2=FOR_NUMPY_1), "picamera2: ", f"; {PIP} install 'numpy<2'"),
        (
            replace(
                PI_5,
                opencv=Import(None, "libGL.so.1: cannot open shared object file"),
                packages={"opencv-python": "4.14.0"},
                models={},
            ),
            "opencv: ",
            f"{PIP} uninstall -y opencv-python; /home/ana/fer/bin/python -m pip install --force-reinstall --no-deps "
            "opencv-python-headless",
        ),
        (
            replace(PI_5, opencv=Import(None, "No module named 'cv2'"), packages={}, models={}),
            "opencv: ",
            f"; {PIP} install opencv-python-headless",
        ),
        (
            replace(PI_5, numpy=Import(None, "libopenblas.so.0: cannot open shared object file"), models={}),
            "numpy: ",
            "; type: sudo apt install -y libopenblas0",
        ),
        (  # and the runtime is not judged
            replace(PI_5, numpy=NO_NUMPY, runtime=NO_NUMPY, models={}),
            "numpy: ",
            f"; {PIP} install 'numpy>=1.26'",
        ),
        (replace(PI_5, runtime=Import(None, "no TFLite runtime"), models={}), "runtime: ", "'ai-edge-litert<2.2'"),
        (
            replace(PI_5, runtime=Import(None, "tflite_runtime: _ARRAY_API not found"), models={}),
            "runtime: ",
            "pip install 'numpy<2'",
        ),
        (  # and the models are not to blame
            replace(PI_5, runtime=Import("tflite_runtime"), models={"bundled models": "a result with an exception"}),
            "runtime: tflite-runtime needs numpy 1, and numpy is 2.4.6",
            f"; {PIP} install 'numpy<2'",
        ),
        (
            replace(
                PI_5, models={"edge.tflite": "differs from the reference output: network", "yunet_int8.tflite": None}
            ),
            "model: ",
            "pip install --force-reinstall --no-deps .",
        ),
        (replace(PI_5, opencv_has={"v4l": False, "ffmpeg": True}), "opencv: ", "opencv-python-headless"),
        (replace(PI_5, memory_free_mb=40), "memory: ", "; type: ps -eo rss,pid,comm --sort=-rss | head"),
        (replace(PI_5, folder_free_mb=3), "disk: ", "; type: sudo apt clean && sudo journalctl --vacuum-size=50M"),
        (replace(PI_5, temporary=None), "temporary: ", "; type: export TMPDIR=$HOME"),
    ],
)
def test_each_fault_is_one_line_with_one_command(facts: Facts, begin: str, end: str) -> None:
    line = as_line(only_fault(facts))

    assert line.startswith(begin)
    assert line.endswith(end)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (LAPTOP, []),
        (MACHINE, ["camera: none; plug one in and type: lsusb; without a camera: --source FILE"]),
        (replace(PI_5, python=(3, 14, 0)), ["python: "]),
        (replace(PI_5, packages={"opencv-python": "4", "opencv-python-headless": "4"}), ["opencv: "]),
        (replace(PI_5, opencv_has={"v4l": True, "ffmpeg": False}), ["opencv: "]),
        (replace(MACHINE, opencv_has={"v4l": False, "ffmpeg": True}), ["opencv: ", "camera: "]),
        (replace(PI_5, temperature_c=81.0), ["heat: "]),
        (replace(PI_5, governor="powersave"), ["governor: "]),
        (replace(PI_5, memory_free_mb=200), ["memory: "]),
        (replace(PI_5, limits_memory=False), ["memory: "]),
        (replace(PI_5, folder_free_mb=300), ["disk: "]),
        (replace(PI_5, extras={"preview": False, "mqtt": True}), ["extra: "]),
        (replace(PI_5, throttled=None), ["power: "]),
        (ON_32_BITS, ["system: "]),
        (
            replace(LAPTOP, cameras=Cameras((OPEN,))),
            ["camera: HD Webcam C525: /dev/video0 is in use by obs (process 4242); type: kill 4242"],
        ),
        (
            replace(PI_5, cameras=Cameras((OURS,))),
            ["camera: HD Webcam C525: /dev/video0 is in use by the service; type: fer-edge service status"],
        ),
        (replace(PI_5, picamera2_in_system=True), ["picamera2: "]),
        (
            replace(LAPTOP, cameras=Cameras((SENSOR,))),
            ["camera: none; /dev/video0 is a raw sensor, which needs libcamera; plug in a USB"],
        ),  # and nothing of picamera2
        (replace(PI_5, cameras=Cameras((SENSOR,), (), "rpicam-hello")), ["camera: none; "]),
    ],
)
def test_what_only_may_become_a_trouble_is_a_note(facts: Facts, told: list[str]) -> None:
    assert is_healthy(judge(facts))
    lines = [as_line(note) for note in notes(facts)]
    assert [line[: len(begin)] for line, begin in zip(lines, told, strict=True)] == told


def test_the_form_of_the_detector_for_this_processor_is_told_where_the_models_were_tried() -> None:
    said = "detector: --detector auto selects int8 (this processor has int8 dot products)"

    assert [as_line(finding) for finding in judge(PI_5) if finding.name == "detector"] == [said]
    assert [finding for finding in judge(replace(PI_5, models={})) if finding.name == "detector"] == []


def test_programs_get_findings_and_facts_as_json() -> None:
    facts = replace(PI_5, cameras=MODULE)
    document = json.loads(json.dumps(as_json(facts, judge(facts)), allow_nan=False))

    assert document["passed"] is False
    assert document["facts"]["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert {finding["verdict"] for finding in document["findings"]} == {"ok", "fault"}


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
