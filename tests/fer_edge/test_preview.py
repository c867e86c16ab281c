"""The live page's server: what it answers, to whom, and that nobody who watches holds up the camera."""

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from email.message import Message

import cv2
import numpy as np
import pytest

from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.recognizer import Face
from fer_edge.sinks.lines import as_json
from fer_edge.sources import Frame
from fer_edge.watch import Event, Result

pytest.importorskip("starlette", reason="needs the extra [preview]: pip install '.[preview]'")
pytest.importorskip("uvicorn", reason="needs the extra [preview]: pip install '.[preview]'")

from fer_edge.preview import server
from fer_edge.preview.server import Preview
from fer_edge.preview.state import About

ABOUT = About("front door", "edge, int8", "Raspberry Pi 5", EXPRESSIONS)
TOKEN = "abc-123-xyz"
GREY = np.full((48, 64, 3), 100, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
"""The largest JPEG there is of its size."""


def result(index: int = 0, frame_bgr: Pixels = GREY, **changes: object) -> Result:
    probabilities = dict.fromkeys(EXPRESSIONS, 0.0) | {"happiness": 1.0}
    face = Face((8, 8, 32, 32), "happiness", 1.0, probabilities, 0.9, id=3)
    frame = Frame("front door", index, index / 25, frame_bgr, 1.5, 0.0, None, 25.0)
    whole = Result(frame, [face], [], {"capture": 1.5, "detect": 2.0, "total": 3.5}, 7, 12.5)
    return replace(whole, **changes)


Open = Callable[..., Preview]


def get(preview: Preview, path: str, **headers: str) -> tuple[int, Message, bytes]:
    """Ask for a path; redirections are not followed. Underscores in a header's name stand for hyphens."""
    with closing(http.client.HTTPConnection("127.0.0.1", preview.port, timeout=5)) as connection:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def watch(preview: Preview, path: str = "/stream.mjpg") -> http.client.HTTPResponse:
    """Begin to watch; the answer's body goes on and on."""
    return urllib.request.urlopen(f"http://127.0.0.1:{preview.port}{path}", timeout=5)


def next_picture(stream: http.client.HTTPResponse) -> Pixels:
    """Read a stream's next picture, as far as the boundary behind it."""
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
    """Read the next server-sent event: its name and what it holds."""
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


def test_the_page_holds_everything_itself(started: Open) -> None:
    status, headers, page = get(started(), "/")

    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert re.findall(rb"https?://(?!www\.w3\.org/2000/svg)", page) == []
    assert b"--card:" in page  # the style that all pages share


def test_every_answer_is_strict(started: Open) -> None:
    preview = started()
    for path in ("/", "/latest.json", "/healthz", "/metrics", "/nothing"):
        _, headers, _ = get(preview, path)

        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-site"
        assert headers["Access-Control-Allow-Origin"] is None
        assert headers["Server"] is None


def test_latest_is_what_run_json_prints(started: Open) -> None:
    preview = started()
    assert get(preview, "/latest.json")[0] == 503

    preview.write(result(4))
    status, headers, body = get(preview, "/latest.json")

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == as_json(result(4))


def test_the_stream_shows_new_frames_with_their_boxes(started: Open) -> None:
    preview = started()
    preview.write(result(0, np.zeros((400, 400, 3), np.uint8), faces=[]))
    with watch(preview) as stream:
        assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
        assert next_picture(stream).max() < 10

        preview.write(result(1, np.zeros((400, 400, 3), np.uint8)))
        picture = next_picture(stream)

    assert picture.shape == (400, 400, 3)
    assert picture[:, :, 2].max() > 200  # the box


def test_nothing_is_encoded_while_nobody_watches(started: Open) -> None:
    preview = started()
    for index in range(50):
        preview.write(result(index))
    get(preview, "/")
    get(preview, "/latest.json")

    assert preview.pictures.encoded == 0


def test_a_second_viewer_costs_no_second_encoding(started: Open) -> None:
    preview = started()
    with watch(preview) as one, watch(preview) as other:
        for index in range(5):
            preview.write(result(index, np.full((48, 64, 3), 40 * index, np.uint8)))
            assert np.array_equal(next_picture(one), next_picture(other))

    assert preview.pictures.encoded == 5


def test_events_tell_all_about_results_changes_and_status(started: Open) -> None:
    preview = started()
    with watch(preview, "/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert next_event(stream) == ("about", ABOUT.as_json())
        name, status = next_event(stream)
        assert (name, status["frames"], status["fps"]) == ("status", 0, 0.0)

        one = result(1, events=[Event(0.04, 3, "neutral", "happiness"), Event(0.04, 2, "fear", None)])
        preview.write(one)
        assert next_event(stream) == ("", as_json(one))
        assert next_event(stream) == ("change", {"t": 0.04, "id": 3, "before": "neutral", "after": "happiness"})
        assert next_event(stream) == ("change", {"t": 0.04, "id": 2, "before": "fear", "after": None})


def test_whoever_comes_later_is_not_told_old_changes(started: Open) -> None:
    preview = started()
    preview.write(result(0, events=[Event(0.0, 1, None, "fear")]))
    with watch(preview, "/events") as stream:
        names = [next_event(stream)[0] for _ in range(3)]

    assert names == ["about", "", "status"]


def test_results_are_sampled_but_no_change_is_left_out(started: Open) -> None:
    preview = started()
    with watch(preview, "/events") as stream:
        next_event(stream), next_event(stream)
        begun = time.monotonic()
        for index in range(100):
            preview.write(result(index, events=[Event(0.0, index, None, "fear")]))
            time.sleep(0.006)
        took, seen, results = time.monotonic() - begun, [], 0
        while len(seen) < 100:
            name, document = next_event(stream)
            results += name == ""
            seen += [document["id"]] if name == "change" else []

    assert seen == list(range(100))
    assert results <= 15 * took + 2


def test_health_says_what_is_wrong(started: Open) -> None:
    preview = started(stale_after_s=60)
    preview.write(result())
    assert get(preview, "/healthz")[::2] == (200, b"ok\n")

    preview.state.clock = lambda: time.monotonic() + 100
    assert get(preview, "/healthz")[::2] == (503, b"no new frame for 100 s\n")


def test_metrics_are_what_prometheus_reads(started: Open) -> None:
    preview = started()
    for index, age_ms in enumerate([1.0, 12.0, 12.0, 9000.0]):
        preview.write(result(index, age_ms=age_ms, events=[Event(0.0, 1, None, "fear")]))
    status, headers, body = get(preview, "/metrics")
    lines = body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    sample = re.compile(r'fer_edge_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
    assert [line for line in lines if not line.startswith("#") and not sample.fullmatch(line)] == []
    assert values['fer_edge_info{source="front door",model="edge, int8"}'] == "1"
    assert (values["fer_edge_frames_total"], values["fer_edge_dropped_frames_total"]) == ("4", "7")
    assert (values["fer_edge_faces"], values["fer_edge_up"], values["fer_edge_changes_total"]) == ("1", "1", "4")
    assert values['fer_edge_stage_seconds_total{stage="detect"}'] == "0.008"
    assert 'fer_edge_stage_seconds_total{stage="total"}' not in values  # the sum of the others
    bucket = "fer_edge_frame_age_seconds_bucket"
    counts = [values[f'{bucket}{{le="{bound}"}}'] for bound in ("0.005", "0.01", "0.02", "5", "+Inf")]
    assert counts == ["1", "1", "3", "3", "4"]
    assert values["fer_edge_frame_age_seconds_count"] == "4"
    assert values["fer_edge_frame_age_seconds_sum"] == "9.025000"


def test_someone_elses_name_for_this_machine_is_refused(started: Open) -> None:
    preview = started()
    preview.write(result())
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "192.168.1.7", ""):
        status, _, body = get(preview, "/latest.json", Host=host)
        assert (status, b"faces" in body) == (403, False)
    for host in (f"localhost:{preview.port}", "LOCALHOST", "127.0.0.1:80", f"[::1]:{preview.port}"):
        assert get(preview, "/latest.json", Host=host)[0] == 200


@pytest.mark.parametrize("path", ["/", "/stream.mjpg", "/latest.json", "/events", "/healthz", "/metrics", "/nothing"])
def test_without_the_token_nothing_is_shown(started: Open, path: str) -> None:
    preview = started(token=TOKEN)
    preview.write(result())

    for wrong in (path, f"{path}?token=", f"{path}?token=wrong", f"{path}?token=%C3%A4"):
        status, headers, body = get(preview, wrong, Cookie=f"fer-edge-{preview.port}=wrong", Authorization="Bearer no")
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert TOKEN.encode() not in body
        assert len(body) < 10_000


def test_the_token_becomes_a_cookie_and_leaves_the_address(started: Open) -> None:
    preview = started(token=TOKEN)
    preview.write(result())
    status, headers, _ = get(preview, f"/?token={TOKEN}")
    cookie = headers["Set-Cookie"]

    assert (status, headers["Location"]) == (303, "./")
    assert re.search(r"HttpOnly.*SameSite=lax", cookie)
    assert get(preview, "/", Cookie=cookie.split(";")[0])[0] == 200
    assert get(preview, "/latest.json", Cookie=cookie.split(";")[0])[0] == 200
    assert get(preview, "/latest.json", Cookie=cookie.split(";")[0], Host="pi.example")[0] == 200


def test_programs_bring_the_token_in_the_address_or_in_a_header(started: Open) -> None:
    preview = started(token=TOKEN)
    preview.write(result())

    assert get(preview, f"/latest.json?token={TOKEN}")[0] == 200
    assert get(preview, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_an_address_that_others_reach_gets_a_token_of_its_own(started: Open) -> None:
    preview, other = started(host="0.0.0.0"), started(host="0.0.0.0")  # noqa: S104
    addresses = [re.fullmatch(r"http://[^/]+:\d+/\?token=([0-9a-f]{16})", one.address) for one in (preview, other)]

    assert addresses[0]
    assert addresses[1]
    assert addresses[0][1] != addresses[1][1]
    assert "//0." not in preview.address
    assert get(preview, "/")[0] == 401
    assert get(preview, f"/?token={addresses[0][1]}")[0] == 303


def test_on_this_machine_only_the_address_is_plain(started: Open) -> None:
    preview = started()

    assert preview.address == f"http://127.0.0.1:{preview.port}/"


@pytest.mark.parametrize("token", ["", "short", "with space", "a" * 129, "ä" * 10, "semi;colon"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="--preview-token takes 8 to 128 letters"):
        Preview(ABOUT, port=0, token=token)


def test_a_port_that_is_taken_is_one_line_with_another(started: Open) -> None:
    taken = started().port

    with pytest.raises(FerEdgeError, match=rf"port {taken} of 127\.0\.0\.1: another program has it") as error:
        Preview(ABOUT, port=taken)
    free = re.search(r"--preview-port (\d+)$", str(error.value))
    assert free
    assert started(port=int(free[1])).port == int(free[1])


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("192.0.2.7", r"this machine has no such address; type: --preview-host 0\.0\.0\.0"),
        ("no.such.host.invalid", r"--preview-host no\.such\.host\.invalid: .*; type: --preview-host"),
        ("a" * 300, r"--preview-host a+: .*; type: --preview-host"),
    ],
)
def test_a_host_that_is_not_this_machine_is_one_line(host: str, says: str) -> None:
    with pytest.raises(FerEdgeError, match=says):
        Preview(ABOUT, host=host, port=0)


def test_a_port_that_is_none_is_one_line() -> None:
    with pytest.raises(UsageError, match="ports go up to 65535"):
        Preview(ABOUT, port=70000)


def test_closing_frees_port_and_thread_though_somebody_watches(started: Open) -> None:
    threads = threading.active_count()
    preview = started()
    preview.write(result())
    with watch(preview) as stream, watch(preview, "/events") as events, silent_viewer(preview):
        next_picture(stream), next_event(events)
        for index in range(10):  # until the silent one has taken all that it takes
            preview.write(result(index, np.roll(NOISE, index, axis=0)))
            next_picture(stream)
        get(preview, "/healthz", Connection="close")  # its port rests a minute, were it not for SO_REUSEADDR
        begun = time.monotonic()
        preview.close()
        took = time.monotonic() - begun

    assert took < 1
    assert threading.active_count() == threads
    assert started(port=preview.port).port == preview.port
    preview.close()  # a second time does no harm
    preview.write(result())


def silent_viewer(preview: Preview, path: str = "/stream.mjpg") -> socket.socket:
    """Ask for the stream, and never read it."""
    viewer = socket.create_connection(("127.0.0.1", preview.port), timeout=5)
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return viewer


def test_a_viewer_who_does_not_read_holds_up_nobody(started: Open) -> None:
    preview = started()
    with silent_viewer(preview), silent_viewer(preview, "/events"), watch(preview) as reader:
        longest = 0.0
        for index in range(40):
            begun = time.perf_counter()
            preview.write(result(index, np.roll(NOISE, index, axis=0)))
            longest = max(longest, time.perf_counter() - begun)
            next_picture(reader)

    assert longest < 2  # a write that waited would wait for ever; the rest is what a busy machine does
    assert preview.pictures.encoded == 40


def test_a_viewer_who_left_without_a_word_is_forgotten(started: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("needs Linux, whose TCP gives up on whoever takes nothing")
    monkeypatch.setattr(server, "GONE_MS", 300)
    preview = started()
    with silent_viewer(preview):
        until = time.monotonic() + 10
        index = 0
        while not (index > 20 and not preview._server.server_state.connections) and time.monotonic() < until:
            preview.write(result(index := index + 1, np.roll(NOISE, index, axis=0)))
            time.sleep(0.02)

        assert not preview._server.server_state.connections


def test_a_head_request_ends(started: Open) -> None:
    preview = started()
    preview.write(result())
    for path in ("/", "/stream.mjpg", "/events"):
        request = urllib.request.Request(f"http://127.0.0.1:{preview.port}{path}", method="HEAD")
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            assert (answer.status, answer.read()) == (200, b"")
            time.sleep(0.05)
            assert (preview.pictures.encoded, len(preview._server.server_state.tasks)) == (0, 0)


def test_nothing_can_be_changed_from_outside(started: Open) -> None:
    preview = started()
    request = urllib.request.Request(f"http://127.0.0.1:{preview.port}/latest.json", data=b"{}")

    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=5)  # noqa: S310


def test_what_speaks_no_http_does_not_fill_the_log(started: Open, caplog: pytest.LogCaptureFixture) -> None:
    preview = started()
    with socket.create_connection(("127.0.0.1", preview.port), timeout=5) as stranger:
        stranger.sendall(b"\x16\x03\x01 hello?\r\n\r\n")
        assert b"400" in stranger.recv(100)

    assert get(preview, "/healthz")[0] == 200
    assert caplog.text == ""


@pytest.mark.parametrize("screen", [True, False])
def test_show_opens_a_browser_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch, screen: bool) -> None:
    opened: list[str] = []
    monkeypatch.setattr(server.sys, "platform", "linux")
    monkeypatch.setattr(server.webbrowser, "open", lambda address: not opened.append(address))
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", ":0")

    assert server.show("http://127.0.0.1:4912/") is screen
    assert opened == (["http://127.0.0.1:4912/"] if screen else [])


def test_the_loop_loads_no_server_before_it_is_asked_for() -> None:
    program = (
        "import sys, fer_edge.run, fer_edge.commands; print([m for m in ('starlette', 'uvicorn') if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert finished.stdout.strip() == "[]"
