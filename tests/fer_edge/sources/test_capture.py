"""Cameras, without one: what OpenCV and picamera2 would say is put in their place."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.device.cameras import Holder, Node
from fer_edge.device.v4l2 import Answer
from fer_edge.errors import SourceError, UsageError
from fer_edge.sources import View, capture, find_source

BROKEN = "broken"
DECODING_S = 0.02


class FakeCapture:
    """A camera of OpenCV that gives what it was told: pictures, None where grabbing fails, BROKEN where decoding does.

    After that it is unplugged.
    """

    def __init__(self, *given: int | str | None) -> None:
        self.given = list(given)
        self.settings: dict[int, float] = {}
        self.asked: tuple[Any, ...] = ()
        self.released = False
        self.now: int | str | None = None
        self.isOpened = lambda: not self.released

    def __call__(self, *asked: Any) -> "FakeCapture":
        self.asked = asked
        return self

    def set(self, setting: int, value: float) -> bool:
        self.settings[setting] = value
        return True

    def get(self, setting: int) -> float:
        return self.settings.get(setting, 0)

    def grab(self) -> bool:
        self.now = self.given.pop(0) if self.given else None
        return self.now is not None

    def retrieve(self) -> tuple[bool, Any]:
        time.sleep(DECODING_S)
        if self.now == BROKEN:
            raise cv2.error("cannot decode")
        return True, np.full((48, 64, 3), self.now, np.uint8)

    def release(self) -> None:
        self.released = True


Plug = Callable[..., FakeCapture]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    def put(*given: int | str | None) -> FakeCapture:
        fake = FakeCapture(*given)
        monkeypatch.setattr(cv2, "VideoCapture", fake)
        return fake

    return put


def shown(source: str, view: View | None = None) -> Iterator[tuple[int, int]]:
    """Number and brightness of a source's frames."""
    return ((frame.index, round(frame.bgr.mean())) for frame in find_source(source, view).open())


def test_a_camera_that_is_unplugged_is_lost_and_let_go(plug: Plug) -> None:
    camera = plug(10, 20)
    reading = shown("0")

    assert next(reading) == (0, 10)
    assert next(reading) == (1, 20)
    with pytest.raises(SourceError, match="camera 0 gives no more frames"):
        next(reading)
    assert camera.released


def test_a_camera_is_a_live_source_and_named_by_its_number() -> None:
    for text in ("3", "/dev/video3", " 3 "):
        source = find_source(text)
        assert (source.name, source.live) == ("camera 3", True)


def test_damaged_frames_are_left_out_and_counted(plug: Plug) -> None:
    plug(10, None, None, 40, BROKEN, 60)

    frames = find_source("0").open()
    found = [(frame.index, round(frame.bgr.mean()), frame.damaged) for frame in itertools.islice(frames, 3)]
    with pytest.raises(SourceError, match="gives no more"):
        next(frames)

    assert found == [(0, 10, 0), (3, 40, 2), (5, 60, 1)]


def test_silence_is_no_damage_and_not_waited_for_again(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = plug(10, None, 30)
    reading = shown("0")
    assert next(reading) == (0, 10)
    monkeypatch.setattr(capture, "DAMAGED_S", -1.0)  # as if the failed one had taken as long as V4L2 waits

    with pytest.raises(SourceError, match="gives no more frames"):
        next(reading)
    assert camera.given == [30]


def test_a_frame_was_there_before_it_was_decoded(plug: Plug) -> None:
    plug(10)
    frame = next(find_source("0").open())
    assert time.perf_counter() - frame.captured >= DECODING_S  # so that its age tells of the decoding, too


def test_the_time_of_a_camera_does_not_follow_a_clock_that_is_set_back(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(10, 20, 30)
    hours = iter(range(1000, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 3600.0 * next(hours))

    reading = find_source("0").open()
    times = [next(reading).t for _ in range(3)]

    assert 0 <= times[0] < times[1] < times[2] < 60


def test_size_and_rate_are_asked_for_before_the_first_frame(plug: Plug) -> None:
    camera = plug(10)
    next(find_source("2", View(size=(640, 480), fps=15)).open())

    assert camera.asked == (2, capture.CAMERAS)
    assert camera.settings == {
        cv2.CAP_PROP_FRAME_WIDTH: 640,
        cv2.CAP_PROP_FRAME_HEIGHT: 480,
        cv2.CAP_PROP_FPS: 15,
    }


def test_a_large_picture_is_asked_for_as_jpeg(plug: Plug) -> None:
    camera = plug(10)
    next(find_source("0", View(size=(1280, 720))).open())
    assert camera.settings[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")


def test_a_camera_is_turned_and_strided(plug: Plug) -> None:
    plug(10, 20, 30, 40)
    reading = find_source("0", View(rotate=90, vid_stride=3)).open()
    first, second = next(reading), next(reading)
    assert first.bgr.shape == (64, 48, 3)
    assert (second.index, round(second.bgr.mean())) == (3, 40)


def test_a_stream_is_decoded_by_one_thread_because_each_holds_back_a_frame(plug: Plug) -> None:
    fake = plug(10)
    next(find_source("rtsp://me:s3cret@cam/live").open())

    address, backend, settings = fake.asked
    assert (address, backend) == ("rtsp://me:s3cret@cam/live", cv2.CAP_FFMPEG)
    assert dict(zip(settings[::2], settings[1::2], strict=True)) == {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: 10_000,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: 10_000,
        cv2.CAP_PROP_N_THREADS: 1,
    }


def test_a_camera_that_does_not_open_is_let_go(plug: Plug) -> None:
    camera = plug()
    with pytest.raises(SourceError, match="cannot open camera 0; ") as refused:
        find_source("0").open()
    assert refused.value.exit_code == 4
    assert camera.released


WEBCAM = Answer("C920", "uvcvideo", "usb-1", "camera")
HELD = Node("/dev/video0", 0, WEBCAM, holders=(Holder(812, "firefox"),))


@pytest.mark.parametrize(
    ("number", "nodes", "reason"),
    [
        (0, [], "this machine has no camera: plug one in, or type: --source FILE, or --source fake"),
        (7, [HELD], "found only /dev/video0; type: --source 0"),
        (7, [Node("/dev/video9", 9, Answer("isp", "pispbe", "", "processor"))], "type: fer-edge cameras"),
        (0, [HELD], "firefox has it open; type: kill 812"),
        (0, [Node("/dev/video0", 0, replace(WEBCAM, busy=True))], "find it: sudo fuser -v /dev/video0"),
        (0, [Node("/dev/video0", 0, WEBCAM, readable=False)], "type: sudo usermod -aG video $USER, then log in again"),
        (0, [Node("/dev/video0", 0, Answer("imx708", "unicam", "", "sensor"))], "type: --source picam"),
        (0, [Node("/dev/video0", 0, Answer("isp", "pispbe", "", "processor"))], "/dev/video0 (isp) is not a camera"),
        (0, [Node("/dev/video0", 0, WEBCAM)], "it gives no frames; check cable and power"),
    ],
)
def test_a_camera_that_does_not_open_is_told_with_the_command_that_helps(
    number: int, nodes: list[Node], reason: str
) -> None:
    assert reason in capture.why_closed(number, tuple(nodes))


def test_who_holds_a_camera_is_part_of_the_error(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    plug()
    monkeypatch.setattr(capture, "video_nodes", lambda: (HELD,))
    with pytest.raises(SourceError, match="cannot open camera 0; firefox has it open; type: kill 812"):
        find_source("0").open()


def test_a_camera_named_by_its_link_is_followed_to_its_number_each_time(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = "/dev/v4l/by-id/usb-Some_Webcam-video-index0"
    target = {"is": "/dev/video0"}
    monkeypatch.setattr(Path, "resolve", lambda self: Path(target["is"]))
    source = find_source(link)
    assert (source.name, source.live) == ("usb-Some_Webcam-video-index0", True)

    camera = plug(10)
    next(source.open())
    assert camera.asked[0] == 0
    target["is"] = "/dev/video2"  # plugged in again
    camera = plug(10)
    next(source.open())
    assert camera.asked[0] == 2
    target["is"] = link
    with pytest.raises(SourceError, match="video-index0 not found; list cameras: fer-edge cameras"):
        source.open()


def test_a_name_that_udev_gave_a_camera_is_a_camera(tmp_path: Path) -> None:
    (tmp_path / "webcam").symlink_to("/dev/video5")
    source = find_source(str(tmp_path / "webcam"))
    assert (source.name, source.live) == ("webcam", True)


@pytest.mark.parametrize("text", ["0", "picam"])
def test_a_camera_has_no_end_to_begin_again_from(text: str) -> None:
    with pytest.raises(UsageError, match="--loop does not apply to a camera"):
        find_source(text, View(loop=True))


class FakePicamera2:
    """picamera2's class, as far as it is used; its camera stops to give frames after `frames`."""

    made: list["FakePicamera2"]
    frames = 3

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.made.append(self)

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        return asked

    def configure(self, configuration: dict[str, Any]) -> None:
        self.calls.append(configuration)

    def start(self) -> None:
        self.calls.append("start")

    def capture_array(self, name: str, wait: bool) -> str:
        assert (name, wait) == ("main", False)
        return "job"

    def wait(self, job: str, timeout: float) -> Any:
        assert job == "job"
        self.frames -= 1
        if self.frames < 0:
            raise TimeoutError
        return np.full((480, 640, 3), (200, 0, 0), np.uint8)  # blue, in the order that "RGB888" stands for

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    FakePicamera2.made = []
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=FakePicamera2))
    return FakePicamera2


def test_picam_gives_bgr_frames_of_the_size_and_rate_that_were_asked_for(picamera2: type[FakePicamera2]) -> None:
    reading = find_source("picam", View(size=(800, 600), fps=20)).open()
    frame = next(reading)

    assert (frame.name, frame.index, frame.fps, frame.path) == ("picam", 0, 20, None)
    assert frame.bgr[0, 0].tolist() == [200, 0, 0]
    (camera,) = picamera2.made
    assert camera.calls[0] == {"main": {"size": (800, 600), "format": "RGB888"}, "controls": {"FrameRate": 20}}


def test_picam_that_falls_silent_is_lost_and_closed(picamera2: type[FakePicamera2]) -> None:
    found = []
    with pytest.raises(SourceError, match="picam gives no more frames"):
        found.extend(frame.index for frame in find_source("picam", View(vid_stride=2)).open())
    assert found == [0, 2]
    assert picamera2.made[0].calls[-1] == "close"


@pytest.mark.parametrize(
    ("fails", "error", "told"),
    [  # what picamera2 says where there is none, and where another program has it
        ("__init__", IndexError("list index out of range"), r"picam: no camera .*rpicam-hello --list-cameras"),
        (
            "start",
            RuntimeError("Failed to acquire camera: Device or resource busy"),
            r"resource busy.* which process uses it: fuser /dev/media",
        ),
    ],
)
def test_picam_that_cannot_be_had_is_told_with_what_to_type_and_closed(
    picamera2: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch, fails: str, error: Exception, told: str
) -> None:
    def fail(self: FakePicamera2) -> None:
        raise error

    monkeypatch.setattr(FakePicamera2, fails, fail)
    with pytest.raises(SourceError, match=told):
        find_source("picam").open()
    assert [camera.calls[-1] for camera in picamera2.made] == ["close"][: len(picamera2.made)]
    assert bool(picamera2.made) is (fails == "start")


def test_picam_without_picamera2_says_how_to_get_it_and_not_from_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError) as refused:
        find_source("picam").open()
    assert "sudo apt install -y python3-picamera2" in str(refused.value)
    assert "python3 -m venv --system-site-packages" in str(refused.value)
    assert "pip install" not in str(refused.value)


def test_a_picamera2_made_for_another_numpy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match=r"numpy.dtype size changed; .* pip install 'numpy<2'"):
        find_source("picam").open()


def test_a_folder_named_picam_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picam").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="no images in this folder"):
        find_source("picam")
    assert [path.name for path in tmp_path.iterdir()] == ["picam"]
