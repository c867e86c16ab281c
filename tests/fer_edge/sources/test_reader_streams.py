"""Streams as cameras send them: ffmpeg sends drawn faces, and is stopped and started again."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import cycle, islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import SourceError
from fer_edge.imaging.images import encode_picture
from fer_edge.sources import Frame, capture, find_source
from fer_edge.sources.reader import LiveReader
from fer_edge.synthetic.render import clip
from support.videos import write_video

SIZE_WH = (160, 120)
PATIENCE_S = 20.0
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-pix_fmt", "yuv420p")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg: sudo apt install -y ffmpeg")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of drawn faces at 20 frames per second."""
    pictures = (picture for picture, _ in clip(10, size_wh=SIZE_WH))
    return write_video(tmp_path_factory.mktemp("video") / "video.avi", pictures, 20)


class Sender:
    """An ffmpeg that plays the video in a loop, at its frame rate, to `output`."""

    def __init__(self, video: Path, *output: str) -> None:
        self.command = ["ffmpeg", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(video), "-an", *output]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def send(video: Path) -> Iterator[Callable[..., Sender]]:
    senders: list[Sender] = []

    def start(*output: str) -> Sender:
        senders.append(Sender(video, *output))
        senders[-1].start()
        return senders[-1]

    yield start
    for sender in senders:
        sender.stop()


@contextmanager
def opened(address: str, told: list[str]) -> Iterator[LiveReader]:
    """A stream, as soon as its sender has come up; only that is waited for here, never in fer-edge itself."""
    until = time.monotonic() + PATIENCE_S
    with ExitStack() as stack:
        while True:
            try:
                live = stack.enter_context(LiveReader(find_source(address), told.append, pauses=(0.1, 0.2)))
                break
            except SourceError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield live


def take(reading: Iterator[Frame], count: int) -> list[Frame]:
    found = list(islice(reading, count))
    assert len(found) == count
    return found


def survives_a_restart(address: str, stop: Callable[[], None], start: Callable[[], None]) -> list[Frame]:
    """Read, lose the sender, read on when it is back; at the end nothing is left over."""
    told: list[str] = []
    with opened(address, told) as live:
        reading = iter(live)
        before = take(reading, 10)
        stop()
        later = threading.Timer(0.5, start)
        later.start()
        after = []
        for one in islice(reading, 500):  # at first those that had been sent already
            after.append(one)
            if len(told) == 2:
                break
        later.join()  # also where the loss went unnoticed: no sender may outlive the test
        after += take(reading, 10)
    assert not live._thread.is_alive()

    assert len(told) == 2, told
    assert told[0].endswith("gives no more frames; retrying")
    assert told[1].endswith(" is back")
    assert "s3cret" not in "".join(told)
    found = [*before, *after]
    assert all(one.bgr.shape == (120, 160, 3) for one in found)
    for earlier, later in pairwise(found):
        assert (later.index, later.t) > (earlier.index, earlier.t)
    assert found[-1].t - found[0].t == pytest.approx(found[-1].captured - found[0].captured, abs=0.01)
    return found


@needs_ffmpeg
def test_mjpeg_over_http_survives_its_sender(send: Callable[..., Sender]) -> None:
    url = f"http://127.0.0.1:{free_port()}/cam"
    sender = send("-c:v", "mjpeg", "-f", "mpjpeg", "-listen", "1", url)

    found = survives_a_restart(url.replace("http://", "http://me:s3cret@"), sender.stop, sender.start)

    assert found[0].name == url.replace("http://", "http://***@")
    picture, _ = next(clip(10, size_wh=SIZE_WH))
    assert np.abs(found[0].bgr.astype(int) - picture).mean() < 40  # the video, and not some grey


@needs_ffmpeg
def test_the_tcp_stream_of_a_raspberry_pi_survives_its_sender(send: Callable[..., Sender]) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    sender = send(*H264, "-f", "h264", address + "?listen")

    survives_a_restart(address, sender.stop, sender.start)


class RtspCamera:
    """The least that is an RTSP camera: takes ffmpeg's RTP packets and hands them to one client, over TCP only."""

    def __init__(self, video: Path, folder: Path) -> None:
        self.port, self.sdp = free_port(), folder / "camera.sdp"
        self.packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.packets.bind(("127.0.0.1", 0))
        rtp = f"rtp://127.0.0.1:{self.packets.getsockname()[1]}"
        self.sender = Sender(video, *H264, "-f", "rtp", "-sdp_file", str(self.sdp), rtp)
        self.requests: list[str] = []

    def start(self) -> None:
        self.sender.start()
        self.listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.serve, args=(self.listening,), daemon=True).start()

    def stop(self) -> None:
        self.sender.stop()
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                self.client, _ = listening.accept()
                with suppress(OSError), closing(self.client), self.client.makefile("rb") as lines:
                    self.talk(lines)

    def talk(self, lines: Iterator[bytes]) -> None:
        request: list[str] = []
        for line in lines:
            request.append(line.decode().strip())
            if request[-1]:
                continue
            self.requests.append("\n".join(request))
            number = next(header for header in request if header.startswith("CSeq"))
            self.client.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{self.answer(request)}".encode())
            if request[0].startswith("PLAY"):
                while self.client:
                    packet = self.packets.recv(65536)
                    self.client.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
            request = []

    def answer(self, request: list[str]) -> str:
        if request[0].startswith("DESCRIBE"):
            description = self.sdp.read_text().split("\n", 1)[1] + "a=control:track\n"  # without ffmpeg's "SDP:"
            return f"Content-Type: application/sdp\r\nContent-Length: {len(description)}\r\n\r\n{description}"
        if request[0].startswith("SETUP"):
            return "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
        return "Session: 1\r\n\r\n"


@needs_ffmpeg
def test_rtsp_survives_its_camera_and_goes_over_tcp(video: Path, tmp_path: Path) -> None:
    camera = RtspCamera(video, tmp_path)
    camera.start()
    try:
        survives_a_restart(f"rtsp://127.0.0.1:{camera.port}/live?key=s3cret", camera.stop, camera.start)
    finally:
        camera.stop()
        camera.packets.close()

    (asked, *_) = [request for request in camera.requests if request.startswith("SETUP")]
    assert "Transport: RTP/AVP/TCP" in asked


@needs_ffmpeg
def test_a_stream_that_falls_silent_is_lost(send: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "SILENCE_MS", 300)
    url = f"http://127.0.0.1:{free_port()}/cam"
    sender = send("-c:v", "mjpeg", "-f", "mpjpeg", "-listen", "1", url)
    lost = threading.Event()
    with opened(url, []) as live:
        live._log = lambda line: lost.set()
        assert sender.process
        sender.process.send_signal(signal.SIGSTOP)
        assert lost.wait(PATIENCE_S)


JPEGS = {value: encode_picture(np.full((120, 160, 3), value, np.uint8), ".jpg") for value in range(0, 200, 20)}


@pytest.fixture
def serve() -> Iterator[Callable[[list[bytes]], str]]:
    """An MJPEG camera that sends these pictures, 50 a second, over and over, to everybody who asks."""
    sockets: list[socket.socket] = []

    def to_one(client: socket.socket, pictures: list[bytes]) -> None:
        with suppress(OSError), client:
            client.recv(4096)
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
            for picture in cycle(pictures):
                header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                client.sendall(header.encode() + picture + b"\r\n")
                time.sleep(0.02)

    def to_all(server: socket.socket, pictures: list[bytes]) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=to_one, args=(server.accept()[0], pictures), daemon=True).start()

    def start(pictures: list[bytes]) -> str:
        sockets.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=to_all, args=(sockets[-1], pictures), daemon=True).start()
        return f"http://127.0.0.1:{sockets[-1].getsockname()[1]}/stream"

    yield start
    for server in sockets:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_a_damaged_picture_is_no_end_of_a_stream(serve: Callable[[list[bytes]], str]) -> None:
    good = list(JPEGS.values())
    reading = find_source(serve([*good, b"no picture" * 30, good[0][:200]])).open()

    found = take(reading, 35)

    assert sum(one.damaged for one in found) >= 4  # twice in each of the first rounds
    assert found[-1].index == 34 + sum(one.damaged for one in found)


def test_a_stream_may_change_its_size(serve: Callable[[list[bytes]], str]) -> None:
    """OpenCV brings every picture to the size of the first; what counts is that it is the whole picture."""
    large = np.zeros((480, 640, 3), np.uint8)
    large[:, 320:] = 255
    small = cv2.resize(large, (160, 120))
    pictures = [encode_picture(picture, ".jpg") for picture in (small, large)]
    reading = find_source(serve([*[pictures[0]] * 10, *[pictures[1]] * 10])).open()

    for one in take(reading, 40):
        assert one.bgr.shape in ((120, 160, 3), (480, 640, 3))
        assert one.bgr[:, :40].mean() < 5
        assert one.bgr[:, -40:].mean() > 250


def test_a_stream_is_read_between_frames_so_that_no_delay_builds_up(
    serve: Callable[[list[bytes]], str],
) -> None:
    with LiveReader(find_source(serve(list(JPEGS.values()))), print) as live:
        reading = iter(live)
        first = next(reading)
        time.sleep(0.6)
        later = next(reading)
        age = time.perf_counter() - later.captured
    assert later.index - first.index > 10
    assert age < 0.3
    assert live.dropped >= later.index - first.index - 1


def test_a_host_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "SILENCE_MS", 300)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://me:s3cret@127.0.0.1:{server.getsockname()[1]}/x"
        begun = time.perf_counter()
        with pytest.raises(SourceError, match=r"answers on port .* but sends no video") as refused:
            find_source(address).open()
        assert time.perf_counter() - begun < 8  # OpenCV's own patience is 30 s
    assert "s3cret" not in str(refused.value)


HANGING = """
import sys, threading
from fer_edge.sources import find_source
from fer_edge.sources.reader import frames
try:
    with frames(find_source(sys.argv[1]), print) as live:
        next(iter(live))
        print("one frame", flush=True)
        sys.stdin.readline()
finally:
    print("closed")
"""


def test_a_program_ends_at_once_though_its_stream_hangs() -> None:
    """A read that FFmpeg waits in is not interrupted; neither the block nor the end of Python may wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        program = subprocess.Popen(
            [sys.executable, "-c", HANGING, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        client, _ = server.accept()
        client.recv(4096)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        for picture in islice(cycle(JPEGS.values()), 60):  # FFmpeg looks at some before it gives the first
            header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            client.sendall(header.encode() + picture + b"\r\n")
        assert program.stdout
        assert program.stdin
        assert program.stdout.readline() == "one frame\n"
        time.sleep(0.5)  # now it has read all of them and hangs
        begun = time.perf_counter()
        rest, _ = program.communicate("\n", timeout=PATIENCE_S)
        took = time.perf_counter() - begun
        client.close()
    assert (rest, program.returncode) == ("closed\n", 0)
    assert took < 5  # 0.3 s and the end of Python; FFmpeg's own patience would be 10 s
