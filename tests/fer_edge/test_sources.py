from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError, SourceError
from fer_edge.images import write_picture
from fer_edge.sources import open_source

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


def test_a_text_file_named_mp4_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("hello")

    with pytest.raises(DataError, match=r"a\.mp4: OpenCV cannot read this video"):
        open_source(str(tmp_path / "a.mp4"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("none.jpg", "no such file or folder; --source takes a picture"),
        ("notes.txt", "neither a picture nor a video"),
        ("best.keras", "a model goes behind --model"),
        ("empty", "no picture in this folder"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "best.keras").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(SourceError, match=complaint) as refused:
        open_source(str(tmp_path / name))
    assert refused.value.exit_code == 4


@pytest.mark.parametrize("text", ["77", "/dev/video77"])
def test_a_camera_that_is_not_there_is_refused_quietly(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="camera 77 does not open"):
        open_source(text)
    assert capfd.readouterr().err == ""
