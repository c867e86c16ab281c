"""The download, against a server on this machine."""

import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fer_edge import yunet
from fer_edge.errors import FerEdgeError
from fer_edge.files import sha256

CONTENT = b"the face detector's weights"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":  # GitHub answers so
            self.send_response(302)
            self.send_header("Location", "/yunet.onnx")
            self.end_headers()
            return
        self.send_response(200 if self.path == "/yunet.onnx" else 404)
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FER_EDGE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fer-edge"


@pytest.mark.parametrize("page", ["/yunet.onnx", "/moved"])
def test_the_file_comes_into_the_users_cache_and_is_found_there(server: str, cache: Path, page: str) -> None:
    assert yunet.find() is None

    path = yunet.download(server + page, sha256(CONTENT))

    assert path == cache / "face_detection_yunet_2023mar.onnx"
    assert path.read_bytes() == CONTENT
    assert yunet.find() == path


def test_another_file_is_not_kept(server: str, cache: Path) -> None:
    with pytest.raises(FerEdgeError, match="sha256 differs"):
        yunet.download(server + "/yunet.onnx")

    assert not cache.exists()


@pytest.mark.parametrize("page", ["/missing", ":notaport"])
def test_a_server_without_it_is_one_line(server: str, cache: Path, page: str) -> None:
    with pytest.raises(FerEdgeError, match="cannot download YuNet"):
        yunet.download(server + page)


def test_fer_edge_home_comes_before_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_HOME", str(tmp_path / "home"))
    for folder in (cache, tmp_path / "home"):
        folder.mkdir()
        (folder / yunet.FILE_NAME).touch()

    assert yunet.find() == tmp_path / "home" / yunet.FILE_NAME


def test_the_line_for_people_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "my models"
    monkeypatch.setenv("FER_EDGE_HOME", str(home))

    words = shlex.split(yunet.how_to_get())

    assert words[:7] == ["mkdir", "-p", str(home), "&&", "curl", "-L", "-o"]
    assert words[7] == str(home / yunet.FILE_NAME)


def test_the_line_for_people_names_the_address_and_the_place(cache: Path) -> None:
    line = yunet.how_to_get()

    assert line.startswith(
        f"mkdir -p {cache} && curl -L -o {cache}/face_detection_yunet_2023mar.onnx https://github.com"
    )
