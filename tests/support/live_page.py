"""HTTP clients of the live page. They need the extra [preview]."""

import http.client
import json
import socket
import urllib.request
from collections.abc import Callable
from contextlib import closing
from email.message import Message

import cv2
import numpy as np
import pytest

from fer_edge.imaging.images import Pixels

pytest.importorskip("starlette", reason="needs the extra [preview]: pip install '.[preview]'")
pytest.importorskip("uvicorn", reason="needs the extra [preview]: pip install '.[preview]'")

from fer_edge.preview.server import Preview

Open = Callable[..., Preview]
NOISE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
"""Noise gives the largest JPEG for its size."""


def get(preview: Preview, path: str, **headers: str) -> tuple[int, Message, bytes]:
    """Request a path without following redirects; underscores in header names become hyphens."""
    with closing(http.client.HTTPConnection("127.0.0.1", preview.port, timeout=5)) as connection:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def watch(preview: Preview, path: str = "/stream.mjpg") -> http.client.HTTPResponse:
    """Open a stream; its body does not end."""
    return urllib.request.urlopen(f"http://127.0.0.1:{preview.port}{path}", timeout=5)


def next_picture(stream: http.client.HTTPResponse) -> Pixels:
    """Read a stream's next picture, up to the boundary after it."""
    content = b""
    while (line := stream.readline()) != b"--fer-edge-picture\r\n" or not content:
        assert line, "the stream ended"
        if line.startswith((b"Content-Type: image/jpeg", b"--")) or (line == b"\r\n" and not content):
            continue
        content += line
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


def next_event(stream: http.client.HTTPResponse) -> tuple[str, dict[str, object]]:
    """Read the next server-sent event: name and data."""
    name = ""
    while line := stream.readline().decode().rstrip("\n"):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            stream.readline()
            return name, json.loads(line.removeprefix("data: "))
        if line.startswith("retry: "):
            stream.readline()
    raise AssertionError("the events ended")


def silent_viewer(preview: Preview, path: str = "/stream.mjpg") -> socket.socket:
    """Request the stream, and never read it."""
    viewer = socket.create_connection(("127.0.0.1", preview.port), timeout=5)
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return viewer
