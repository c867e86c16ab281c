import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import DataError, SourceError
from fer_edge.imaging.images import write_picture
from fer_edge.settings import Rotation
from fer_edge.sources import Frame, View, find_source, open_source
from fer_edge.sources.frame import believable_fps
from fer_edge.sources.playback import paced
from fer_edge.sources.reader import LiveReader, frames
from fer_edge.synthetic.render import clip
from support.videos import grey, write_video

GREY = grey()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten frames at 5 per second; frame i has brightness 20 * i."""
    return write_video(tmp_path / "clip.mp4", (grey(20 * number) for number in range(10)), 5)


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", GREY)

    (frame,) = open_source(str(tmp_path / "a.png"))

    assert (frame.name, frame.index, frame.t, frame.fps) == (str(tmp_path / "a.png"), 0, 0.0, None)
    np.testing.assert_array_equal(frame.bgr, GREY)
    assert frame.capture_ms > 0


def test_a_folder_gives_its_pictures_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "c.PNG"):
        write_picture(tmp_path / name.lower(), GREY)
    (tmp_path / "c.png").rename(tmp_path / "c.PNG")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()

    (tmp_path / "clip.mp4").touch()
    (tmp_path / "more").mkdir()
    lines: list[str] = []
    found = [(frame.index, frame.name) for frame in find_source(str(tmp_path), log=lines.append).open()]
    assert found == [(index, str(tmp_path / name)) for index, name in enumerate(("a.jpg", "b.png", "c.PNG"))]
    assert lines == [
        f"{tmp_path}: skipped 1 other file, 1 subfolder, 1 video; to read subfolders, type: --source "
        f"'{tmp_path}/**/*.jpg'"
    ]


def test_an_unreadable_picture_of_a_folder_is_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "good.png", GREY)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    lines: list[str] = []

    assert [frame.name for frame in find_source(str(tmp_path), log=lines.append).open()] == [str(tmp_path / "good.png")]

    assert [line.split(": ", 1)[0] for line in lines[:2]] == ["skipped", "skipped"]
    assert lines[2:] == ["2 of 3 images could not be read"]
    list(open_source(str(tmp_path)))  # without a callback it is logged
    assert [record.getMessage() for record in caplog.records if record.name == "fer_edge"] == lines
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_folder_without_one_readable_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png"):
        list(open_source(str(tmp_path)))

    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match="none of its 2 images can be read"):
        list(open_source(str(tmp_path)))


def test_a_video_gives_frames_with_their_time(video: Path) -> None:
    frames = list(open_source(str(video)))

    assert [frame.index for frame in frames] == list(range(10))
    assert [round(frame.t, 3) for frame in frames[:3]] == [0, 0.2, 0.4]
    assert [round(frame.bgr.mean() / 20) for frame in frames] == list(range(10))
    assert frames[0].fps == 5


def test_stride_keeps_the_numbers_and_times_of_a_video(video: Path) -> None:
    frames = list(open_source(str(video), vid_stride=4))

    assert [(frame.index, round(frame.t, 1), round(frame.bgr.mean() / 20)) for frame in frames] == [
        (0, 0.0, 0),
        (4, 0.8, 4),
        (8, 1.6, 8),
    ]


def test_a_frame_rate_that_cannot_be_one_is_not_believed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [GREY] * 2, 5000)

    assert [(frame.t, frame.fps) for frame in open_source(str(path))] == [(0, 25), (0.04, 25)]


@pytest.mark.parametrize("stated", [0, -1, 0.01, 90_000, float("nan"), float("inf")])
def test_only_a_believable_frame_rate_is_taken(stated: float) -> None:
    assert believable_fps(stated, 30) == 30
    assert believable_fps(0.5, 30) == 0.5


def test_a_text_file_named_mp4_is_refused_with_a_line_that_can_be_typed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my video.mp4").write_text("hello")

    with pytest.raises(
        DataError, match=r"OpenCV cannot read this video; convert it: ffmpeg -i '/.*/my video\.mp4' conv"
    ):
        open_source(str(tmp_path / "my video.mp4"))
    assert capfd.readouterr().err == ""


def test_a_video_whose_name_opencv_would_crash_on_is_refused(video: Path) -> None:
    path = video.rename(video.with_name("clip\udcff.mp4"))  # the byte 0xff, which is not UTF-8

    with pytest.raises(DataError, match="needs a UTF-8 path for a video; rename it"):
        open_source(str(path))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("none.jpg", "no such file or folder; --source takes an image"),
        ("notes.txt", "neither an image nor a video"),
        ("best.keras", "pass a model as --model"),
        ("empty", "no images in this folder"),
        ("pipe.png", "neither a file nor a folder"),
        ("pipe.mp4", "neither a file nor a folder"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "best.keras").touch()
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.mp4")

    with pytest.raises(SourceError, match=complaint) as refused:
        open_source(str(tmp_path / name))
    assert refused.value.exit_code == 4


@pytest.mark.parametrize("text", ["77", "/dev/video77"])
def test_a_camera_that_is_not_there_is_refused_quietly(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="cannot open camera 77"):
        open_source(text)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["99999999999", "12345", "/dev/video99999999999", "\u0663", "-1"])
def test_a_number_that_no_camera_has_is_no_such_file(text: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(text)


def test_a_folder_named_as_a_number_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "2024" / "a.png", GREY)
    monkeypatch.chdir(tmp_path)

    assert [frame.name for frame in open_source("2024")] == ["2024/a.png"]


def test_a_pattern_gives_the_pictures_that_match_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.jpg", "old/c.jpg", "notes.txt", ".hidden.jpg"):
        write_picture(tmp_path / "photos" / name, GREY) if "txt" not in name else (tmp_path / "photos" / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def names(pattern: str) -> list[str]:
        return [Path(frame.name).name for frame in open_source(pattern)]

    assert names("photos/*") == ["a.jpg", "b.png"]
    assert names("photos/?.jpg") == ["a.jpg"]
    assert names("photos/**/*.jpg") == ["a.jpg", "c.jpg"]
    assert names(f"{tmp_path}/photos/[ab].*") == ["a.jpg", "b.png"]
    assert names("~/photos/*.png") == ["b.png"]
    assert [frame.name for frame in open_source("photos/**/*.jpg")] == ["photos/a.jpg", "photos/old/c.jpg"]
    with pytest.raises(SourceError, match=r"~nobodyhere/.*: matches no image"):
        names("~nobodyhere/*.png")


def test_a_picture_whose_name_looks_like_a_pattern_is_a_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "a[1].png", GREY)
    assert [frame.name for frame in open_source(str(tmp_path / "a[1].png"))] == [str(tmp_path / "a[1].png")]


@pytest.mark.parametrize("pattern", ["*.jpg", "none/*.jpg", "*.txt", "a**b"])
def test_a_pattern_that_nothing_matches_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="matches no image; list the folder: ls"):
        find_source(pattern)


CORNER = np.zeros((48, 64, 3), np.uint8)
CORNER[:10, :10] = 255
"""White at its upper left."""


@pytest.mark.parametrize(
    ("rotate", "mirror", "corner", "shape"),
    [
        (0, False, (0, 0), (48, 64, 3)),
        (0, True, (0, -1), (48, 64, 3)),
        (90, False, (0, -1), (64, 48, 3)),  # clockwise
        (180, False, (-1, -1), (48, 64, 3)),
        (270, False, (-1, 0), (64, 48, 3)),
        (90, True, (0, 0), (64, 48, 3)),  # first turned, then mirrored
    ],
)
def test_pictures_are_turned_and_mirrored(
    tmp_path: Path, rotate: Rotation, mirror: bool, corner: tuple[int, int], shape: tuple[int, ...]
) -> None:
    write_picture(tmp_path / "a.png", CORNER)
    view = View(rotate=rotate, mirror=mirror)
    for source in ("a.png", "."):
        (frame,) = find_source(str(tmp_path / source), view).open()
        assert frame.bgr.shape == shape
        assert frame.bgr[corner].tolist() == [255, 255, 255]
        assert frame.bgr.sum() == 255 * 10 * 10 * 3


def test_a_video_is_turned(video: Path) -> None:
    assert next(find_source(str(video), View(rotate=90)).open()).bgr.shape == (64, 48, 3)


def test_a_video_begins_again_and_its_numbers_and_times_go_on(video: Path) -> None:
    found = list(islice(find_source(str(video), View(loop=True, vid_stride=4)).open(), 7))

    assert [frame.index for frame in found] == [0, 4, 8, 12, 16, 20, 24]
    assert [round(frame.t, 1) for frame in found] == [0.0, 0.8, 1.6, 2.4, 3.2, 4.0, 4.8]
    assert [round(frame.bgr.mean() / 20) for frame in found] == [0, 4, 8, 0, 4, 8, 0]


def test_pictures_begin_again_and_a_broken_one_is_told_once(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", GREY)
    (tmp_path / "b.png").touch()
    told: list[str] = []

    found = list(islice(find_source(str(tmp_path), View(loop=True), told.append).open(), 3))

    assert [(frame.index, frame.name) for frame in found] == [(index, str(tmp_path / "a.png")) for index in (0, 2, 4)]
    assert [line.startswith("skipped") for line in told] == [True]
    one = find_source(str(tmp_path / "a.png"), View(loop=True)).open()
    assert [frame.index for frame in islice(one, 3)] == [0, 1, 2]


def test_a_loop_over_what_cannot_be_read_ends(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="none of its 2 images"):
        list(find_source(str(tmp_path), View(loop=True)).open())


def test_a_damaged_frame_is_not_the_end_of_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", (grey(20 * number) for number in range(6)), 5)
    content = bytearray(path.read_bytes())
    third, fourth = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"][2:4]
    content[third : fourth - 8] = bytes(fourth - 8 - third)  # all but the 8 bytes that tell of the next
    path.write_bytes(content)

    with frames(find_source(str(path)), print) as reading:
        found = [(frame.index, round(frame.bgr.mean() / 20)) for frame in reading]

    assert found == [(0, 0), (1, 1), (3, 3), (4, 4), (5, 5)]
    assert reading.dropped == 1


class Clock:
    """A clock that only sleeping moves, and whatever the test adds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


def test_a_paced_video_waits_for_each_frame_and_a_late_one_catches_up() -> None:
    clock = Clock()

    def video() -> Iterator[Frame]:
        for index, decoding in enumerate((5.0, 0.05, 0.35, 0.0, 0.0, 0.0)):
            clock.now += decoding
            yield Frame("video", index, index / 10, GREY, 1.0, 0.0, None, 10)

    captured = [round(frame.captured, 3) for frame in paced(video(), clock, clock.sleep)]

    assert captured == [1005.0, 1005.1, 1005.45, 1005.45, 1005.45, 1005.5]  # the third is late by two frames
    assert clock.slept == [0.05, 0.05]


def test_in_real_time_a_video_takes_as_long_as_its_recording_and_a_slow_reader_misses_frames(video: Path) -> None:
    with frames(find_source(str(video), View(realtime=True)), print) as live:
        assert isinstance(live, LiveReader)
        live._thread.join(20)  # no frame is taken meanwhile
        found = list(live)
    assert [frame.index for frame in found] == [9]
    assert live.dropped == 9
    assert found[0].t == pytest.approx(1.8)


def test_drawn_faces_are_the_same_video_each_time_and_go_on_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.sources.synthetic.CLIP_S", 0.2)
    source = find_source("fake", View(size=(64, 48), fps=10))
    assert (source.name, source.live) == ("fake", False)

    found = list(islice(source.open(), 5))

    seen = [(frame.index, round(frame.t, 1), frame.fps) for frame in found]
    assert seen == [(0, 0.0, 10), (1, 0.1, 10), (2, 0.2, 10), (3, 0.3, 10), (4, 0.4, 10)]
    expected = [picture for seed in range(3) for picture, _ in clip(2, seed, (64, 48), scale=1)]
    for frame, picture in zip(found, expected, strict=False):
        np.testing.assert_array_equal(frame.bgr, picture)


def test_drawn_faces_can_be_turned_strided_and_live() -> None:
    source = find_source("fake", View(size=(64, 48), rotate=90, vid_stride=2, realtime=True))
    assert source.live
    first, second = islice(source.open(), 2)
    assert first.bgr.shape == (64, 48, 3)
    assert second.index == 2
