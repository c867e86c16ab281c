import os
import pty
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError, SourceError
from fer_edge.imaging.images import Pixels, encode_picture
from fer_edge.sources import View, find_source
from fer_edge.sources.reader import LiveReader, SequentialReader, frames
from fer_edge.sources.stdin import jpegs


def grey(value: int, size_wh: tuple[int, int] = (64, 48)) -> Pixels:
    return np.full((size_wh[1], size_wh[0], 3), value, np.uint8)


def jpeg(value: int, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    return encode_picture(grey(value, size_wh), ".jpg")


VIDEO = [jpeg(20 * number) for number in range(5)]
CUT = jpeg(250)[:-40]
HEADER_ONLY = jpeg(250)[:100]
MULTIPART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 12\r\n\r\n"
Feed = Callable[[bytes], None]


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Put bytes into a file that is standard input then."""
    opened = []

    def put(content: bytes) -> None:
        (tmp_path / "stdin").write_bytes(content)
        opened.append((tmp_path / "stdin").open())
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield put
    for file in opened:
        file.close()


def brightness(view: View | None = None) -> list[int]:
    """Mean of each frame of standard input."""
    return [round(frame.bgr.mean()) for frame in find_source("-", view).open()]


@pytest.mark.parametrize("between", [b"", b"\r\n" + MULTIPART, b"\xff\x00\xff\xd8 and other noise\xff"])
def test_jpeg_pictures_are_found_by_their_bytes(feed: Feed, between: bytes) -> None:
    feed(between.join([b"", *VIDEO]))
    assert brightness() == [0, 20, 40, 60, 80]


def test_a_redirected_file_is_read_frame_by_frame_at_the_frame_rate_that_was_said(feed: Feed) -> None:
    feed(b"".join(VIDEO))
    with frames(find_source("-", View(fps=10, vid_stride=2)), print) as reading:
        assert isinstance(reading, SequentialReader)
        assert [(frame.name, frame.index, frame.t, frame.fps) for frame in reading] == [
            ("standard input", 0, 0.0, 10),
            ("standard input", 2, 0.2, 10),
            ("standard input", 4, 0.4, 10),
        ]


@pytest.mark.parametrize("damage", [CUT, HEADER_ONLY, b"\xff\xd8\xff\xe0 no picture \xff\xda at all \xff\xd9"])
def test_a_damaged_picture_is_left_out_and_counted(feed: Feed, damage: bytes) -> None:
    video = [*VIDEO, *VIDEO]
    feed(b"".join([*video[:3], damage, *video[3:]]))

    with frames(find_source("-"), print) as reading:
        found = [round(frame.bgr.mean()) for frame in reading]

    assert found[:3] == [0, 20, 40]
    assert found[-5:] == [0, 20, 40, 60, 80]  # it has found its way back
    assert reading.dropped == 1


def test_a_truncated_stream_gives_the_complete_pictures(feed: Feed) -> None:
    feed(VIDEO[0] + VIDEO[1] + CUT)
    assert brightness() == [0, 20]


def test_only_damaged_pictures_are_an_error(feed: Feed) -> None:
    feed(CUT + CUT)
    with pytest.raises(DataError, match="none of its 2 images can be read"):
        brightness()


def test_a_stream_may_change_its_size(feed: Feed) -> None:
    feed(VIDEO[0] + jpeg(9, (32, 16)))
    assert [frame.bgr.shape for frame in find_source("-").open()] == [(48, 64, 3), (16, 32, 3)]


def test_the_thumbnail_within_a_picture_is_no_frame(feed: Feed) -> None:
    small, large = jpeg(200, (16, 16)), jpeg(100)
    exif = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    feed((large[:2] + exif + large[2:]) * 2)
    assert brightness() == [100, 100]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1000])
def test_where_the_pieces_of_a_stream_are_cut_makes_no_difference(size: int) -> None:
    content = b"".join([MULTIPART, VIDEO[0], CUT, *VIDEO[1:3]])
    chunks = (content[begin : begin + size] for begin in range(0, len(content), size))
    assert list(jpegs(chunks)) == [VIDEO[0], None, VIDEO[1], VIDEO[2]]


@pytest.mark.parametrize("damage", [CUT, HEADER_ONLY, b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\x00\xff\xff"])
def test_damage_does_not_hold_up_the_next_picture(damage: bytes) -> None:
    def chunks() -> Iterator[bytes]:
        yield damage + VIDEO[0]
        pytest.fail("everything was there already")

    reading = jpegs(chunks())
    assert next(reading) is None
    assert next(reading) == VIDEO[0]


def test_raw_frames_of_a_size_that_was_said(feed: Feed) -> None:
    picture = np.arange(48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)
    feed(picture.tobytes() + grey(7).tobytes() + b"a cut one")

    first, second = find_source("-", View(size=(64, 48))).open()

    np.testing.assert_array_equal(first.bgr, picture)
    np.testing.assert_array_equal(second.bgr, grey(7))


@pytest.mark.parametrize("begin", [b"", MULTIPART])
def test_jpeg_pictures_are_known_also_where_a_size_was_said(feed: Feed, begin: bytes) -> None:
    feed(begin + b"".join(VIDEO))
    assert brightness(View(size=(640, 480))) == [0, 20, 40, 60, 80]


def test_frames_are_turned(feed: Feed) -> None:
    picture = grey(0)
    picture[:, :32] = 255
    feed(picture.tobytes())
    (frame,) = find_source("-", View(size=(64, 48), mirror=True)).open()
    assert frame.bgr[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("content", "size_wh", "kind", "complaint"),
    [
        (b"", None, SourceError, "standard input is empty; check the program before the pipe"),
        (bytes(100), None, SourceError, "no JPEG images; for raw bgr24 frames give the size: --size 640x480"),
        (b"\x00\x00\x00\x01\x67 an h264 stream", None, SourceError, "convert anything else: ffmpeg -i - -f mjpeg -"),
        (bytes(100), (64, 48), DataError, "ended after 100 bytes; a 64x48 frame of bgr24 has 9,216"),
    ],
)
def test_what_holds_no_frames_is_refused(
    feed: Feed, content: bytes, size_wh: tuple[int, int] | None, kind: type[Exception], complaint: str
) -> None:
    feed(content)
    with pytest.raises(kind) as refused:
        list(find_source("-", View(size=size_wh)).open())
    assert complaint in str(refused.value)


def test_the_keyboard_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(SourceError, match="standard input is a terminal; pipe frames into it, for example"):
            find_source("-").open()
    os.close(master)


def test_a_closed_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        find_source("-").open()


def test_through_a_pipe_every_frame_comes_at_the_assumed_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    lines: list[str] = []
    with os.fdopen(reader) as pipe, os.fdopen(writer, "wb") as sender:
        monkeypatch.setattr(sys, "stdin", pipe)
        sender.write(b"".join(VIDEO))
        sender.close()
        with frames(find_source("-", log=lines.append), print) as reading:
            assert [frame.t for frame in reading] == [index / 25 for index in range(5)]
    assert lines == ["standard input: assuming 25 frames per second; to say another, type: --fps"]


def test_through_a_pipe_that_is_live_the_newest_frame_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as pipe, os.fdopen(writer, "wb") as camera:
        monkeypatch.setattr(sys, "stdin", pipe)
        sender = threading.Thread(target=lambda: (camera.write(b"".join(VIDEO)), camera.close()))
        sender.start()
        with frames(find_source("-", View(live=True)), print) as live:
            assert isinstance(live, LiveReader)
            sender.join(10)
            live._thread.join(10)  # it has read all of them
            assert [round(frame.bgr.mean()) for frame in live] == [80]
            assert live.dropped == 4


def test_a_large_picture_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.sources.stdin.LARGEST_JPEG", 5000)
    endless = iter(lambda: bytes(1000), b"")
    beginning = cv2.imencode(".jpg", grey(1))[1].tobytes()[:-2]
    with pytest.raises(DataError, match="the stream is damaged"):
        list(jpegs(iter([beginning, *(next(endless) for _ in range(9))])))
