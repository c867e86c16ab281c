"""What the live page answers, and that no viewer delays the camera."""

import json
import re
import socket
import threading
import time
import urllib.request
from typing import Any

import numpy as np
import pytest

from fer_edge.preview import server
from fer_edge.sinks.stdout import as_json
from fer_edge.tracking.pipeline import Event
from support.live_page import NOISE, Open, get, next_event, next_picture, silent_viewer, watch
from support.one_result import result


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


def test_nothing_is_encoded_without_viewers(started: Open) -> None:
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


def test_events_tell_all_about_results_changes_and_status(started: Open, about: Any) -> None:
    preview = started()
    with watch(preview, "/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert next_event(stream) == ("about", about.as_json())
        name, status = next_event(stream)
        assert (name, status["frames"], status["fps"]) == ("status", 0, 0.0)

        one = result(1, events=[Event(0.04, 3, "neutral", "happiness"), Event(0.04, 2, "fear", None)])
        preview.write(one)
        assert next_event(stream) == ("", as_json(one))
        assert next_event(stream) == ("change", {"t": 0.04, "id": 3, "before": "neutral", "after": "happiness"})
        assert next_event(stream) == ("change", {"t": 0.04, "id": 2, "before": "fear", "after": None})


def test_a_later_viewer_gets_no_old_changes(started: Open) -> None:
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


def test_closing_frees_port_and_thread_with_a_viewer_connected(started: Open) -> None:
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


def test_a_viewer_that_does_not_read_delays_nothing(started: Open) -> None:
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
        pytest.skip("needs Linux, whose TCP gives up on a client that reads nothing")
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


def test_what_speaks_no_http_does_not_fill_the_log(started: Open, caplog: pytest.LogCaptureFixture) -> None:
    preview = started()
    with socket.create_connection(("127.0.0.1", preview.port), timeout=5) as stranger:
        stranger.sendall(b"\x16\x03\x01 hello?\r\n\r\n")
        assert b"400" in stranger.recv(100)

    assert get(preview, "/healthz")[0] == 200
    assert caplog.text == ""
