"""Who may see the live page, where it listens, and who opens it."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.preview import server
from fer_edge.preview.server import Preview
from support.live_page import Open, get
from support.one_result import result

TOKEN = "abc-123-xyz"


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
def test_what_is_no_token_is_refused(about: Any, token: str) -> None:
    with pytest.raises(UsageError, match="--preview-token takes 8 to 128 letters"):
        Preview(about, port=0, token=token)


def test_a_port_that_is_taken_is_one_line_with_another(started: Open, about: Any) -> None:
    taken = started().port

    with pytest.raises(FerEdgeError, match=rf"cannot listen on 127\.0\.0\.1 port {taken}: it is in use") as error:
        Preview(about, port=taken)
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
def test_a_host_that_is_not_this_machine_is_one_line(about: Any, host: str, says: str) -> None:
    with pytest.raises(FerEdgeError, match=says):
        Preview(about, host=host, port=0)


def test_a_port_that_is_none_is_one_line(about: Any) -> None:
    with pytest.raises(UsageError, match="ports go up to 65535"):
        Preview(about, port=70000)


def test_nothing_can_be_changed_from_outside(started: Open) -> None:
    preview = started()
    request = urllib.request.Request(f"http://127.0.0.1:{preview.port}/latest.json", data=b"{}")

    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=5)  # noqa: S310


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
    program = "import sys, fer_edge.app.run, fer_edge.commands.run; print({'starlette', 'uvicorn'} & {*sys.modules})"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert finished.stdout.strip() == "set()"
