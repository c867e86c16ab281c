import errno
import json
import struct
import subprocess
from pathlib import Path
from unittest.mock import ANY

import pytest

from fer_edge.device.cameras import (
    Cameras,
    Holder,
    Module,
    Node,
    as_json,
    as_lines,
    camera_modules,
    holders,
    problem_with,
    video_nodes,
    what_to_do,
)
from fer_edge.device.v4l2 import (
    BY_MEDIA_CONTROLLER,
    ENUM_FMT,
    ENUM_FRAMESIZES,
    QUERYCAP,
    REQBUFS,
    Answer,
    Format,
    answer_of,
    ask_driver,
    kind_of,
)
from support.command import FerEdge

WEBCAM = Answer("HD Webcam C525", "uvcvideo", "usb-1.4", "camera", (Format("MJPG", ("640x480", "1280x720")),))
UVC, STREAMING = 0x84A00001, 0x04200001
"""What a webcam's driver says of the device, and of the node that gives pictures."""


class Driver:
    """A webcam's answers, laid out as the kernel does; `busy` while another process streams."""

    def __init__(self, node: int = STREAMING, *, busy: bool = False, stepwise: bool = False) -> None:
        self.node, self.busy, self.stepwise = node, busy, stepwise
        self.asked: list[int] = []

    def __call__(self, request: int, structure: bytearray) -> None:
        self.asked.append(request)
        if request == QUERYCAP:
            about = (b"uvcvideo", b"HD Webcam C525", b"usb-0000:01:00.0-1.4", 0x060101, UVC, self.node)
            structure[:] = struct.pack("=16s32s32s6I", *about, 0, 0, 0)
        elif request == ENUM_FMT:
            (index, buffers) = struct.unpack_from("=II", structure)
            if buffers != 1 or index > 1:
                raise OSError(errno.EINVAL, "no more")
            structure[44:48] = (b"MJPG", b"YUYV")[index]
        elif request == ENUM_FRAMESIZES:
            (index,) = struct.unpack_from("=I", structure)
            sizes = {b"MJPG": [(640, 480), (1280, 720), (640, 480)], b"YUYV": [(640, 480)]}[bytes(structure[4:8])]
            if self.stepwise and index == 0:
                struct.pack_into("=7I", structure, 8, 3, 32, 1920, 2, 24, 1080, 2)
            elif self.stepwise or index >= len(sizes):
                raise OSError(errno.EINVAL, "no more")
            else:
                struct.pack_into("=3I", structure, 8, 1, *sizes[index])
        elif request == REQBUFS:
            assert struct.unpack_from("=3I", structure) == (0, 1, 1), "no buffer may be asked for"
            if self.busy:
                raise OSError(errno.EBUSY, "Device or resource busy")


@pytest.mark.parametrize("busy", [False, True])
def test_a_webcam_reports_its_name_sizes_and_whether_it_is_busy(busy: bool) -> None:
    answer = answer_of(Driver(busy=busy))

    assert (answer.name, answer.driver, answer.bus) == ("HD Webcam C525", "uvcvideo", "usb-0000:01:00.0-1.4")
    assert (answer.kind, answer.busy) == ("camera", busy)
    assert answer.formats == (Format("MJPG", ("640x480", "1280x720")), Format("YUYV", ("640x480",)))


def test_sizes_that_are_a_range_are_told_as_one() -> None:
    assert answer_of(Driver(stepwise=True)).formats[0].sizes == ("32x24..1920x1080",)


def test_a_sensor_tells_whether_it_streams_and_no_formats() -> None:
    answer = answer_of(Driver(STREAMING | BY_MEDIA_CONTROLLER, busy=True))

    assert (answer.kind, answer.formats, answer.busy) == ("sensor", (), True)


def test_a_node_of_metadata_is_asked_for_nothing_more() -> None:
    driver = Driver(0x04A00000)

    assert answer_of(driver).kind == "metadata"
    assert driver.asked == [QUERYCAP]


@pytest.mark.parametrize(
    ("driver", "capabilities", "kind"),
    [
        ("uvcvideo", 0x04200001, "camera"),
        ("uvcvideo", 0x04A00000, "metadata"),
        ("unicam", 0x05200001, "sensor"),  # camera module of a Pi up to 4
        ("unicam", 0x05A00000, "metadata"),
        ("rp1-cfe", 0x24A00001, "sensor"),  # of a Pi 5
        ("isys", 0x24200001, "sensor"),  # of a laptop whose camera has no USB
        ("bm2835 mmal", 0x05200005, "camera"),  # the camera stack of old systems: OpenCV can read it
        ("bcm2835-codec", 0x04204000, "processor"),
        ("bcm2835-isp", 0x05200001, "processor"),
        ("pispbe", 0x04201000, "processor"),
        ("rpivid", 0x04204000, "processor"),
        ("hantro-vpu", 0x04204000, "processor"),
        ("v4l2 loopback", 0x05200001, "camera"),
        ("v4l2 loopback", 0x05200002, "other"),  # nothing feeds it
        ("", 0, "other"),
    ],
)
def test_a_camera_is_told_from_what_else_has_a_node(driver: str, capabilities: int, kind: str) -> None:
    assert kind_of(driver, capabilities) == kind


def test_what_is_no_video_device_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()

    with pytest.raises(OSError, match=r"(?i)ioctl"):
        ask_driver(tmp_path / "video0")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with dev, sys and proc; four nodes, and things that are none."""
    for name in ("video10", "video2", "video0", "video1", "videos", "video-old"):
        (tmp_path / "dev" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    (tmp_path / "dev/v4l/by-id").mkdir(parents=True)
    (tmp_path / "dev/v4l/by-id/usb-C525-video-index0").symlink_to("../../video0")
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def nodes_of(machine: Path, answers: dict[str, Answer | OSError]) -> tuple[Node, ...]:
    def ask(path: Path) -> Answer:
        answer = answers[path.name]
        if isinstance(answer, OSError):
            raise answer
        return answer

    return video_nodes(machine / "dev", machine / "sys", machine / "proc", ask)


def open_in(machine: Path, pid: int, node: str, comm: str, group: str, parent: int = 1) -> None:
    """Make a process that has a node open."""
    folder = machine / "proc" / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fd/7").symlink_to(machine / "dev" / node)
    (folder / "fd/8").symlink_to("socket:[1234]")
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cgroup").write_text(f"0::{group}\n")
    (folder / "status").write_text(f"Name:\t{comm}\nPPid:\t{parent}\n")


def test_nodes_come_in_the_order_of_their_numbers_with_their_steady_names(machine: Path) -> None:
    other = Answer("C525", "uvcvideo", "", "metadata")
    nodes = nodes_of(machine, {"video0": WEBCAM, "video1": other, "video2": other, "video10": other})

    assert [node.number for node in nodes] == [0, 1, 2, 10]
    assert nodes[0].link == str(machine / "dev/v4l/by-id/usb-C525-video-index0")
    assert [node.source for node in nodes] == ["0", None, None, None]


def test_a_node_that_may_not_be_opened_is_named_by_sys(machine: Path) -> None:
    for name, index in (("video0", "0"), ("video1", "1")):
        folder = machine / "sys/class/video4linux" / name
        (folder / "device").mkdir(parents=True)
        (folder / "name").write_text("HD Webcam C525\n")
        (folder / "index").write_text(f"{index}\n")
        (machine / "sys/drivers/uvcvideo").mkdir(parents=True, exist_ok=True)
        (folder / "device/driver").symlink_to(machine / "sys/drivers/uvcvideo")
    refused = OSError(errno.EACCES, "Permission denied")
    nodes = nodes_of(machine, {"video0": refused, "video1": refused, "video2": refused, "video10": refused})

    assert [(node.answer.name, node.answer.kind, node.readable) for node in nodes[:2]] == [
        ("HD Webcam C525", "camera", False),
        ("HD Webcam C525", "metadata", False),
    ]
    assert nodes[0].answer.driver == "uvcvideo"
    assert nodes[2].answer.name == "unknown"
    assert problem_with(nodes[0]) == (
        f"no permission for {machine / 'dev/video0'}",
        "sudo usermod -aG video $USER, then log in again",
    )


def test_a_node_that_lets_only_one_in_is_busy_not_forbidden(machine: Path) -> None:
    busy = OSError(errno.EBUSY, "Device or resource busy")
    node = nodes_of(machine, {"video0": busy, "video1": busy, "video2": busy, "video10": busy})[0]

    assert (node.readable, node.answer.busy) == (True, True)
    assert problem_with(node) == (
        f"{node.path} is in use by another user's process",
        f"sudo fuser -v {node.path}",
    )


def test_who_holds_a_camera_is_named_with_what_ends_it(machine: Path) -> None:
    (machine / "proc/1").mkdir()
    (machine / "proc/1/comm").write_text("systemd\n")
    (machine / "proc/900").mkdir()
    (machine / "proc/900/comm").write_text("systemd\n")
    open_in(machine, 4242, "video0", "obs", "/user.slice/user-1000.slice/session-3.scope", parent=4000)
    open_in(machine, 77, "video1", "python3", "/system.slice/fer-edge.service")
    open_in(
        machine, 901, "video2", "wireplumber", "/user.slice/user@1000.service/session.slice/wireplumber.service", 900
    )
    open_in(machine, 5000, "video10", "motion", "/system.slice/cron.service", parent=4999)
    paths = {str(machine / "dev" / name) for name in ("video0", "video1", "video2", "video10")}

    found = {Path(path).name: held for path, held in holders(paths, machine / "proc").items()}

    assert found["video0"] == [Holder(4242, "obs")]
    assert {name: held[0].end for name, held in found.items()} == {
        "video0": "kill 4242",
        "video1": "sudo systemctl stop fer-edge.service",
        "video2": "systemctl --user stop wireplumber.service",
        "video10": "kill 5000",  # stopping cron would not help, and end cron
    }


def test_a_process_that_cannot_be_looked_into_is_passed_over(machine: Path) -> None:
    open_in(machine, 10, "video0", "cheese", "/")
    (machine / "proc/11").mkdir()  # no fd: another user's, or it has just ended

    found = holders({str(machine / "dev/video0")}, machine / "proc")

    assert [[holder.pid for holder in held] for held in found.values()] == [[10]]


def test_holders_are_found_on_this_machine(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc, which Linux has")
    (tmp_path / "video0").touch()
    with (tmp_path / "video0").open() as opened, subprocess.Popen(["sleep", "60"], stdin=opened) as child:
        try:
            found = holders({str(tmp_path / "video0")})
        finally:
            child.kill()

    assert found == {
        str(tmp_path / "video0"): [Holder(child.pid, "sleep", user_unit=ANY)]
    }  # this process itself is not named


def test_a_machine_without_cameras_has_none(tmp_path: Path) -> None:
    assert video_nodes(tmp_path / "dev", tmp_path, tmp_path) == ()


LISTING = """\
[0:08:40.093741943] [1781]  INFO Camera camera_manager.cpp:293 libcamera v0.5.2
Available cameras
-----------------
0 : imx708_wide [4608x2592 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]
                             4608x2592 [14.35 fps - (0, 0)/4608x2592 crop]

1 : imx219 [3280x2464] (/base/soc/i2c0mux/i2c@1/imx219@10)
2 : H264 USB Camera: USB Camera [1920x1080] (/base/soc/usb@7e980000/usb1@1-1.2:1.0-32e4:9422)
    Modes: 'MJPEG'  : 320x240 352x288 640x360 640x480
"""


def test_camera_modules_are_read_from_libcameras_list_and_webcams_left_out() -> None:
    assert camera_modules(LISTING) == (Module(0, "imx708_wide", "4608x2592"), Module(1, "imx219", "3280x2464"))
    assert camera_modules("No cameras available!\n") == ()


FREE = Node("/dev/video0", 0, WEBCAM, link="/dev/v4l/by-id/usb-C525-video-index0")
ISP = tuple(Node(f"/dev/video{n}", n, Answer("bcm2835-isp", "bcm2835-isp", "", "processor")) for n in (13, 14))
SENSOR = Node("/dev/video1", 1, Answer("unicam", "unicam", "", "sensor"))


def test_people_read_what_to_type_and_in_one_line_what_is_no_camera() -> None:
    held = Node("/dev/video2", 2, WEBCAM, holders=(Holder(4242, "obs"), Holder(4243, "zoom")))

    assert as_lines(Cameras((FREE, held, *ISP), (Module(0, "imx708", "4608x2592"), Module(1, "imx219", None)))) == [
        "--source 0: HD Webcam C525 (/dev/video0, usb-1.4)",
        "    MJPG 640x480 1280x720",
        "    permanent name, for a service: --source /dev/v4l/by-id/usb-C525-video-index0",
        "--source 2: HD Webcam C525 (/dev/video2, usb-1.4)",
        "    MJPG 640x480 1280x720",
        "    /dev/video2 is in use by obs (process 4242), zoom (process 4243); type: kill 4242",
        "--source picam: camera module imx708, 4608x2592 (libcamera's number 0)",
        "not supported (picam is the first one): camera module imx219 (libcamera's number 1)",
        "not a camera: /dev/video13 /dev/video14 (bcm2835-isp, processor)",
    ]


def test_programs_read_the_same() -> None:
    document = as_json(Cameras((FREE, *ISP), (Module(0, "imx708", "4608x2592"),), "rpicam-hello"))

    assert document["cameras"] == [
        {
            "source": "0",
            "path": "/dev/video0",
            "link": "/dev/v4l/by-id/usb-C525-video-index0",
            "name": "HD Webcam C525",
            "driver": "uvcvideo",
            "bus": "usb-1.4",
            "formats": ({"name": "MJPG", "sizes": ("640x480", "1280x720")},),
            "busy": False,
            "readable": True,
            "holders": [],
        }
    ]
    assert document["modules"] == [{"source": "picam", "number": 0, "name": "imx708", "size": "4608x2592"}]
    assert [node["path"] for node in document["other_nodes"]] == ["/dev/video13", "/dev/video14"]


def test_the_command_prints_one_document_and_exits_with_4_where_there_is_no_camera(fer_edge: FerEdge) -> None:
    finished = fer_edge("cameras", "--json")

    document = json.loads(finished.stdout)
    there = bool(document["cameras"] or document["modules"])
    assert list(document) == ["cameras", "modules", "libcamera", "other_nodes"]
    assert finished.code == (0 if there else 4)
    assert there or "error: no camera; " in finished.stderr.splitlines()[-1]


def test_where_there_is_none_it_is_told_what_to_do() -> None:
    assert "lsusb" in what_to_do(Cameras(), None)
    assert "plug in a USB camera" in what_to_do(Cameras((SENSOR,)), None)
    assert "with the power off a camera module" in what_to_do(Cameras(ISP), "Raspberry Pi 4 Model B Rev 1.4")
    assert "/dev/video1 is a raw sensor" in what_to_do(Cameras((SENSOR,)), "Raspberry Pi 4 Model B")
