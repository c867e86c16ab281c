import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError, SourceError
from fer_edge.images import write_picture
from fer_edge.sources import believable_fps, open_source

GREY = np.full((48, 64, 3), 100, np.uint8)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten frames at 5 per second; frame i has brightness 20 * i."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", GREY)

    (frame,) = open_source(str(tmp_path / "a.png"))

    assert (frame.name, frame.index, frame.t, frame.fps) == ("a.png", 0, 0.0, None)
    np.testing.assert_array_equal(frame.bgr, GREY)
    assert frame.capture_ms > 0


def test_a_folder_gives_its_pictures_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "c.PNG"):
        write_picture(tmp_path / name.lower(), GREY)
    (tmp_path / "c.png").rename(tmp_path / "c.PNG")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()

    assert [(frame.index, frame.name) for frame in open_source(str(tmp_path))] == [
        (0, "a.jpg"),
        (1, "b.png"),
        (2, "c.PNG"),
    ]


def test_an_unreadable_picture_of_a_folder_is_told_and_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "good.png", GREY)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")

    assert [frame.name for frame in open_source(str(tmp_path))] == ["good.png"]

    lines = capfd.readouterr().err.splitlines()
    assert [line.split(": ", 1)[0] for line in lines[:2]] == ["left out", "left out"]
    assert lines[2:] == ["2 of 3 pictures could not be read"]


def test_a_folder_without_one_readable_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()

    with pytest.raises(DataError, match="none of its 1 pictures can be read"):
        list(open_source(str(tmp_path)))


def test_a_video_gives_frames_with_their_time(video: Path) -> None:
    frames = list(open_source(str(video)))

    assert [frame.index for frame in frames] == list(range(10))
    assert [round(frame.t, 3) for frame in frames[:3]] == [0, 0.2, 0.4]
    assert [round(frame.bgr.mean() / 20) for frame in frames] == list(range(10))
    assert frames[0].fps == 5


def test_stride_keeps_the_numbers_and_times_of_a_video(video: Path) -> None:
    frames = list(open_source(str(video), stride=4))

    assert [(frame.index, round(frame.t, 1), round(frame.bgr.mean() / 20)) for frame in frames] == [
        (0, 0.0, 0),
        (4, 0.8, 4),
        (8, 1.6, 8),
    ]


def test_a_frame_rate_that_cannot_be_one_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5000, (64, 48))
    for _ in range(2):
        writer.write(GREY)
    writer.release()

    assert [(frame.t, frame.fps) for frame in open_source(str(path))] == [(0, 25), (0.04, 25)]


@pytest.mark.parametrize("stated", [0, -1, 0.01, 90_000, float("nan"), float("inf")])
def test_only_a_believable_frame_rate_is_taken(stated: float) -> None:
    assert believable_fps(stated, 30) == 30
    assert believable_fps(0.5, 30) == 0.5


def test_a_text_file_named_mp4_is_refused_with_a_line_that_can_be_typed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my film.mp4").write_text("hello")

    with pytest.raises(
        DataError, match=r"OpenCV cannot read this video; convert it: ffmpeg -i '/.*/my film\.mp4' conv"
    ):
        open_source(str(tmp_path / "my film.mp4"))
    assert capfd.readouterr().err == ""


def test_a_video_whose_name_opencv_would_crash_on_is_refused(video: Path) -> None:
    path = video.rename(video.with_name("clip\udcff.mp4"))  # the byte 0xff, which is not UTF-8

    with pytest.raises(DataError, match="not UTF-8; rename it"):
        open_source(str(path))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("none.jpg", "no such file or folder; --source takes a picture"),
        ("notes.txt", "neither a picture nor a video"),
        ("best.keras", "a model goes behind --model"),
        ("empty", "no picture in this folder"),
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
    with pytest.raises(SourceError, match="camera 77 does not open"):
        open_source(text)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["99999999999", "12345", "/dev/video99999999999", "\u0663", "-1"])
def test_a_number_that_no_camera_has_is_no_such_file(text: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(text)


def test_a_folder_named_as_a_number_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "2024" / "a.png", GREY)
    monkeypatch.chdir(tmp_path)

    assert [frame.name for frame in open_source("2024")] == ["a.png"]
