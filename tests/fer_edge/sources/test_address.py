import socket

import pytest

from fer_edge.errors import SourceError, UsageError
from fer_edge.sources import View, address, find_source
from fer_edge.sources.address import redact
from fer_edge.sources.reader import frames


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://10.0.0.9/live", "rtsp://10.0.0.9/live"),
        ("rtsp://me:s3cret@10.0.0.9:554/live", "rtsp://***@10.0.0.9:554/live"),
        ("rtsp://me@10.0.0.9/live", "rtsp://***@10.0.0.9/live"),
        ("rtsp://me:s3@cret@10.0.0.9/live", "rtsp://***@10.0.0.9/live"),  # an @ in the password
        ("rtsp://me:s3/cret?@10.0.0.9/live", "rtsp://***@10.0.0.9/live"),
        ("rtsp://me:s3 cret@10.0.0.9/live", "rtsp://***@10.0.0.9/live"),
        ("http://cam/video?user=me&pwd=s3cret&channel=2", "http://cam/video?user=***&pwd=***&channel=2"),
        ("http://cam/video?token=s3/cr?et", "http://cam/video?token=***"),
        ("http://cam/video?action=stream#token=s3cret", "http://cam/video?action=stream#token=***"),
        ("http://cam/video?loginuse=me;loginpas=s3cret", "http://cam/video?loginuse=***;loginpas=***"),
        (
            "http://cam/video?mail=me@home&key=s3cret",
            "http://cam/video?mail=***&key=***",
        ),
        (
            "rtsp://cam/user=me_password=s3_cret_channel=1_stream=0.sdp?real_stream",
            "rtsp://cam/user=***_password=***_channel=1_stream=0.sdp?real_stream",
        ),
        ("mqtt://me:s3cret@broker:1883/home", "mqtt://***@broker:1883/home"),
        ("cannot read http://me:s3cret@cam/x?key=s3cret now", "cannot read http://***@cam/x?key=*** now"),
        ("photos/me@home/a.jpg", "photos/me@home/a.jpg"),
    ],
)
def test_no_password_is_left_in_a_masked_text(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ftp://me:s3cret@cam/live", r"ftp://\*\*\*@cam/live: --source reads rtsp://, rtsps://, http://"),
        ("rtsp://", "host or port missing; for example rtsp://"),
        ("tcp://pi/live", "host or port missing"),
        ("http://cam:65536/", "the port must be at most 65535"),
        (
            "http://me:s3/cret@cam/",
            r"http://\*\*\*@cam/: invalid address.* a password must escape @ / : # \? as %40 %2F",
        ),
        ("http://me:33/cret@cam/", r"a password must escape @ / : # \? as %40"),  # 33 would be a port of the host "me"
        ("http://me:cret\udcff@cam/", "invalid address"),  # OpenCV would end the process
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_opened(text: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as refused:
        find_source(text)
    assert "cret" not in str(refused.value)
    assert "33" not in str(refused.value)
    assert refused.value.__cause__ is None  # a traceback would show what urlsplit says of the password
    assert refused.value.__context__ is None


def test_the_name_of_a_stream_and_what_it_prints_as_hold_no_password() -> None:
    source = find_source("rtsp://me:s3cret@10.0.0.9/live?key=s3cret")

    assert source.live
    assert source.name == "rtsp://***@10.0.0.9/live?key=***"
    assert "s3cret" not in repr(source)


def test_a_host_that_does_not_let_in_is_an_error_with_exit_code_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceError, match=rf"127.0.0.1 port {port} \(Connection refused\)") as gone:
        find_source(f"rtsp://me:s3cret@127.0.0.1:{port}/live").open()
    assert gone.value.exit_code == 4
    assert "s3cret" not in str(gone.value)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "cannot resolve cam.invalid"),
        (TimeoutError("timed out"), "cannot connect to cam.invalid port 554 (no answer)"),
    ],
    ids=["unknown name", "silence"],
)
def test_a_host_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch, error: OSError, told: str) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    assert told in address.why_silent("rtsp://me:s3cret@cam.invalid/x")


def test_a_host_that_answers_without_video_is_asked_about_path_and_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "check path, user and password" in address.why_silent(f"http://127.0.0.1:{port}/x")


def test_a_stream_takes_no_size() -> None:
    with pytest.raises(UsageError, match="--size does not apply to an address; remove it"):
        find_source("rtsp://cam/live", View(size=(640, 480)))


def test_a_stream_that_is_not_there_at_first_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        pytest.raises(SourceError, match="Connection refused"),
        frames(find_source(f"http://127.0.0.1:{port}/"), print),
    ):
        pass
