"""Files behind http://: read once and to the end, whatever the server can do."""

import base64
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import SourceError, UsageError
from fer_edge.imaging.images import encode_picture
from fer_edge.settings import View
from fer_edge.sources import find_source
from fer_edge.sources.web import kind_of

GREY = np.full((48, 64, 3), 90, np.uint8)
JPEG = encode_picture(GREY, ".jpg")
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nended.m3u8\n"


class Handler(BaseHTTPRequestHandler):
    """Answers like a simple file server: no ranges."""

    def __init__(self, files: dict[str, tuple[str, bytes, bool]], *arguments: object) -> None:
        self._files = files
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Authorization") == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
        if self.path not in self._files or (self.path == "/secret.jpg" and not wanted):
            self.send_error(404)
            return
        kind, content, has_length = self._files[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if has_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, tuple[str, bytes, bool]]], str]]:
    """Serve files; returns the host and port."""
    servers: list[ThreadingHTTPServer] = []

    def start(files: dict[str, tuple[str, bytes, bool]]) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, files)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    """12 frames; OpenCV writes the table of frames at the end, which FFmpeg cannot read without ranges."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
    rng = np.random.default_rng(0)
    for _ in range(12):
        writer.write(rng.integers(0, 256, (480, 640, 3), np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "kind", "content", "has_length", "expected"),
    [
        ("a.jpg", "image/jpeg", JPEG, True, "picture"),
        ("a.jpg", "multipart/x-mixed-replace", b"", False, "live"),
        ("a.mp4", "video/mp4", b"x", True, "recorded"),
        ("a.mp4", "video/mp4", b"x", False, "live"),
        ("a.m3u8", "text/plain", b"#EXTM3U\n#EXT-X-ENDLIST", True, "recorded"),
        ("a.m3u8", "text/plain", b"#EXTM3U\n", True, "live"),
        ("a.m3u8", "text/plain", MASTER.encode(), True, "recorded"),
        ("stream", "image/jpeg", JPEG, True, "live"),
    ],
)
def test_kind_is_told_by_the_reply(
    serve: Callable[..., str], name: str, kind: str, content: bytes, has_length: bool, expected: str
) -> None:
    ended = ("text/plain", b"#EXTM3U\n#EXT-X-ENDLIST", True)
    host = serve({f"/{name}": (kind, content, has_length), "/ended.m3u8": ended})
    assert kind_of(f"http://{host}/{name}") == expected


def test_picture_is_read_once(serve: Callable[..., str]) -> None:
    host = serve({"/secret.jpg": ("image/jpeg", JPEG, True)})
    source = find_source(f"http://me:p%40ss@{host}/secret.jpg")
    assert (source.live, source.still, source.name) == (False, True, f"http://***@{host}/secret.jpg")
    assert [round(frame.bgr.mean()) for frame in source.open()] == [90]
    with pytest.raises(UsageError, match="--fps does not apply to an image"):
        find_source(f"http://me:p%40ss@{host}/secret.jpg", View(fps=5))


def test_video_that_cannot_be_read_in_place_is_downloaded(serve: Callable[..., str], video: bytes) -> None:
    host = serve({"/clip.mp4": ("video/mp4", video, True)})
    lines: list[str] = []
    source = find_source(f"http://{host}/clip.mp4", log=lines.append)
    assert not source.live
    assert [(frame.name, round(frame.t, 1)) for frame in source.open()] == [
        (f"http://{host}/clip.mp4", index / 10) for index in range(12)
    ]
    assert lines == [f"http://{host}/clip.mp4 cannot be read in place; downloading it"]


def test_what_is_missing_is_one_error_without_the_password(serve: Callable[..., str]) -> None:
    host = serve({})
    with pytest.raises(SourceError, match=r"http://\*\*\*@127") as error:
        list(find_source(f"http://me:s3cret@{host}/gone.mp4", View(live=False)).open())
    assert "s3cret" not in str(error.value)
