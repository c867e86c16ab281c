"""Saved pictures and videos: what they are called, and that nothing is lost or left half-written."""

import base64
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.imaging.images import Pixels, read_picture
from fer_edge.sinks.codec import BROWSERS_PLAY, MPEG4, Codec, choose_codec
from fer_edge.sinks.video import AnnotatedWriter, new_video
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Result
from support.videos import file_size_limit

GREY = np.full((240, 320, 3), 100, np.uint8)
OLD = b"an older video, still wanted"
MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)
CAMERA = "camera-0-20260101-000000.mp4"
"""What a camera saw from midnight on."""


def result(
    path: Path | None, fps: float | None = None, picture: Pixels = GREY, index: int = 0, t: float | None = None
) -> Result:
    name = path.name if path else "camera 0"
    seconds = (index / fps if fps else 0.0) if t is None else t
    return Result(Frame(name, index, seconds, picture, 0.0, 0.0, path, fps), [])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that holds an older clip.mp4."""
    path = tmp_path / "out"
    path.mkdir()
    (path / "clip.mp4").write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def played(path: Path) -> tuple[float, float]:
    """How many frames a video has, and how many a second."""
    capture = cv2.VideoCapture(str(path))
    return capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)


def shown(path: Path) -> list[int]:
    """How bright each frame of a video is in its middle."""
    capture = cv2.VideoCapture(str(path))
    levels: list[int] = []
    while True:
        there, picture = capture.read()
        if not there:
            return levels
        levels.append(int(picture[picture.shape[0] // 2, picture.shape[1] // 2].mean()))


def test_a_format_without_colour_becomes_a_png_beside_its_namesakes(source: Path, tmp_path: Path) -> None:
    saver = AnnotatedWriter(tmp_path / "out")
    for name, level in (("a.pgm", 1), ("a.png", 2), ("b.PGM", 3)):
        saver.write(result(source / name, picture=np.full((4, 4, 3), (0, 0, level), np.uint8)))
    saver.close()

    assert names(tmp_path / "out") == ["a.pgm.png", "a.png", "b.PGM.png"]
    assert read_picture(tmp_path / "out" / "a.pgm.png")[0, 0].tolist() == [0, 0, 1]


def test_two_pictures_of_one_name_do_not_take_each_others_place(source: Path, tmp_path: Path) -> None:
    saver = AnnotatedWriter(tmp_path / "out")
    for folder in ("a", "b"):
        (source / folder).mkdir()
    for _ in range(2):  # --loop
        for level, folder in enumerate(("a", "b")):
            saver.write(result(source / folder / "1.png", picture=np.full((4, 4, 3), 100 * level, np.uint8)))
    saver.close()

    assert names(tmp_path / "out") == ["1-2.png", "1.png"]
    assert [read_picture(tmp_path / "out" / name)[0, 0, 0] for name in ("1.png", "1-2.png")] == [0, 100]


def test_pictures_that_are_no_files_are_named_too(tmp_path: Path) -> None:
    saver = AnnotatedWriter(tmp_path)
    for name in ("door/1", "door/2"):
        saver.write(Result(Frame(name, 0, 0.0, GREY, 0.0, 0.0), []))
    saver.close()

    assert names(tmp_path) == ["door-1.png", "door-2.png"]


def save(folder: Path, *results: Result, stride: int = 1) -> AnnotatedWriter:
    saver = AnnotatedWriter(folder, stride, lambda: MIDNIGHT)
    for one in results:
        saver.write(one)
    saver.close()
    return saver


def test_a_new_video_leaves_an_older_one(source: Path, out: Path) -> None:
    save(out, *(result(source / "clip.avi", 10, index=index) for index in range(3)))

    assert names(out) == ["clip-2.mp4", "clip.mp4"]
    assert played(out / "clip-2.mp4") == (3, 10)
    assert (out / "clip.mp4").read_bytes() == OLD


def test_what_a_camera_saw_is_never_written_over(tmp_path: Path) -> None:
    for _ in range(3):
        save(tmp_path, result(None, 10))

    assert names(tmp_path) == [f"camera-0-20260101-000000{more}.mp4" for more in ("-2", "-3", "")]


def test_a_camera_gets_a_video_every_five_minutes_named_by_its_beginning(tmp_path: Path) -> None:
    kept: list[list[str]] = []
    saver = AnnotatedWriter(tmp_path, now=lambda: MIDNIGHT + timedelta(seconds=t))
    for t in (0, 1, 299, 300, 301, 4000, 4001, 10):  # in the end the clock jumps back by an hour
        saver.write(result(None, 1, t=float(t)))
        kept.append([name for name in names(tmp_path) if not name.startswith(".")])
    saver.close()

    times = ["000000", "000500", "010640", "000010"]
    videos = [f"camera-0-20260101-{time}.mp4" for time in times]
    assert kept[2:6] == [[], videos[:1], videos[:1], videos[:2]]  # complete ones only
    assert names(tmp_path) == sorted(videos)
    assert [played(tmp_path / video)[0] for video in videos] == [3, 2, 2, 1]
    assert saver.written == {tmp_path / video for video in videos}


def test_a_video_source_gives_one_file_however_long_it_is(source: Path, tmp_path: Path) -> None:
    save(tmp_path / "out", *(result(source / "clip.avi", 0.01, index=index) for index in range(9)))

    assert names(tmp_path / "out") == ["clip.mp4"]
    assert played(tmp_path / "out" / "clip.mp4")[0] == 9


def test_what_a_killed_run_left_is_removed_but_not_what_another_one_is_writing(tmp_path: Path) -> None:
    program = f"""
import os, signal
import numpy as np
from pathlib import Path
from fer_edge.sinks.video import AnnotatedWriter
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Result

saver = AnnotatedWriter(Path({str(tmp_path)!r}))
for t in (0.0, 1.0, 400.0):
    saver.write(Result(Frame("camera 0", 0, t, np.zeros((48, 64, 3), np.uint8), 0.0, 0.0, None, 1.0), []))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    left, whole = names(tmp_path)
    assert left.startswith(".writing-")
    assert played(tmp_path / whole)[0] == 2

    (tmp_path / "mine.mp4").touch()
    first = AnnotatedWriter(tmp_path)
    assert names(tmp_path) == sorted([whole, "mine.mp4"])
    first.write(result(None, 10))
    AnnotatedWriter(tmp_path)
    first.close()
    assert len(names(tmp_path)) == 3


def test_a_video_that_cannot_be_opened_leaves_the_older_one(
    source: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    row = np.zeros((1, 320, 3), np.uint8)  # MPEG-4 knows no picture of one row

    with pytest.raises(FerEdgeError, match=r"clip-2\.mp4: OpenCV makes no \.mp4 of 320x1 pixels"):
        save(out, result(source / "clip.avi", 10, row))

    assert capfd.readouterr().err == ""
    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_video_without_a_frame_leaves_the_older_one(out: Path) -> None:
    with pytest.raises(FerEdgeError, match="no frame was written"), new_video(out / "clip.mp4", GREY, fps=10):
        pass

    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_file_that_may_not_grow_is_told_and_leaves_the_older_one(source: Path, out: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 240, 320, 3), np.uint8)
    seen = [result(source / "clip.avi", 10, picture, index) for index, picture in enumerate(noise)]

    with file_size_limit(4000), pytest.raises(FerEdgeError, match=r"no frame was written; check the disk"):
        save(out, *seen)

    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_disk_that_runs_full_ends_a_video_that_can_be_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = shutil.disk_usage(tmp_path)
    free = iter([10**9, 10**9, 17_000_000, 10**5, 10**5, 10**5])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk._replace(free=next(free)))
    saver = AnnotatedWriter(tmp_path, now=lambda: MIDNIGHT)
    for index in range(3):
        saver.write(result(None, 10, index=index))

    with pytest.raises(FerEdgeError, match=r"only 16 MB left on its disk .*the video up to now can be played"):
        saver.write(result(None, 10, index=3))
    saver.close()

    assert played(tmp_path / CAMERA) == (3, 10)
    assert names(tmp_path) == [CAMERA]


def test_a_disk_that_is_full_from_the_beginning_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk._replace(free=10**5))
    saver = AnnotatedWriter(tmp_path / "out")

    with pytest.raises(FerEdgeError, match=r"only 16 MB left .*the video is lost"):
        saver.write(result(None, 10))
    saver.close()
    assert (names(tmp_path / "out"), saver.written) == ([], set())


def test_a_stream_that_changes_its_size_stays_one_video(tmp_path: Path) -> None:
    sizes = [(240, 320), (480, 640), (320, 240), (200, 1000)]
    pictures = [np.full((*size, 3), 50 + 50 * place, np.uint8) for place, size in enumerate(sizes)]
    save(tmp_path, *(result(None, 10, picture, index) for index, picture in enumerate(pictures)))

    assert played(tmp_path / CAMERA) == (4, 10)
    assert shown(tmp_path / CAMERA) == pytest.approx([50, 100, 150, 200], abs=12)


@pytest.mark.parametrize(
    ("times", "frames"),
    [
        ([0, 0.1, 0.2, 0.3], 4),  # as it was promised
        ([0, 0.14, 0.16, 0.34, 0.36], 5),  # a little early, a little late
        ([0, 0.4, 0.8, 1.2], 12),  # a machine that takes every fourth: as long as it lasted
        ([0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12], 2),  # faster than it said
        ([0, 0.1, 200, 200.1], 4),  # lost for three minutes: cut
        ([100, 100.1, 3, 3.1], 4),  # the clock jumped
    ],
)
def test_a_video_lasts_as_long_as_its_source(tmp_path: Path, times: list[float], frames: int) -> None:
    save(tmp_path, *(result(None, 10, index=index, t=t) for index, t in enumerate(times)))

    assert abs(played(tmp_path / CAMERA)[0] - frames) <= (1 if frames > 5 or len(times) > 5 else 0)


@pytest.mark.parametrize(
    ("fps", "stride", "saved"),
    [(25, 1, 25), (29.97002997, 1, 29.97), (107.9329, 1, 107.9), (999.99, 1, 1000), (25, 100, 0.25), (0.5, 100, 0.1)],
)
def test_every_believable_frame_rate_can_be_saved(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float, stride: int, saved: float
) -> None:
    monkeypatch.setattr("fer_edge.sinks.video.choose_codec", lambda *_: MPEG4)
    save(tmp_path / "out", result(source / "clip.avi", fps), stride=stride)

    assert played(tmp_path / "out" / "clip.mp4") == (1, saved)


@pytest.mark.parametrize(("name", "fps"), [("a.png", None), ("clip.avi", 10)])
def test_nothing_is_saved_where_the_source_lies(source: Path, name: str, fps: float | None) -> None:
    (source / name).touch()

    with pytest.raises(FerEdgeError, match="would be overwritten"):
        save(source, result(source / name, fps))

    assert names(source) == [name]


def test_nothing_is_saved_where_the_source_is_linked_from(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (source / "a.png").symlink_to(tmp_path / "a.png")

    with pytest.raises(FerEdgeError, match="would be overwritten"):
        save(tmp_path, result(source / "a.png"))


def test_a_folder_that_opencv_would_crash_on_is_refused(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out\udcff"  # the byte 0xff, which is not UTF-8

    with pytest.raises(FerEdgeError, match="needs a UTF-8 path for a video; rename it"):
        save(folder, result(source / "clip.avi", 10))

    assert names(folder) == []


@pytest.mark.parametrize("codec", BROWSERS_PLAY, ids=lambda codec: codec.name)
def test_videos_play_in_a_browser(
    tmp_path: Path, browser: Any, codec: Codec, capfd: pytest.CaptureFixture[str]
) -> None:
    frame_bgr = np.full((120, 160, 3), 90, np.uint8)
    path = tmp_path / f"clip{codec.suffix}"
    try:
        with new_video(path, frame_bgr, 10, codec) as writer:
            for _ in range(20):
                writer.write(frame_bgr)
    except FerEdgeError:
        pytest.skip(f"this OpenCV encodes no {codec.name}")
    assert capfd.readouterr().err == ""
    page = browser.new_page()
    page.set_content("<video muted></video>")
    content = base64.b64encode(path.read_bytes()).decode()
    script = """async ([type, content]) => {
        const video = document.querySelector("video");
        video.src = `data:video/${type};base64,${content}`;
        return await new Promise(done => {
            video.onloadeddata = () => done([video.videoWidth, Math.round(video.duration)]);
            video.onerror = () => done(video.error.message);
        });
    }"""
    assert page.evaluate(script, [codec.suffix[1:], content]) == [160, 2]
    page.close()


def test_slow_machine_falls_back_to_mpeg_4_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"H.264": 0.0, "VP9": 4.0, "VP8": 20.0}
    monkeypatch.setattr("fer_edge.sinks.codec._encoding_fps", lambda codec, _: rates[codec.name])
    lines: list[str] = []
    frame_bgr = np.zeros((8, 8, 3), np.uint8)
    assert choose_codec(frame_bgr, 15, lines.append).name == "VP8"
    assert choose_codec(frame_bgr, 25, lines.append).name == "MPEG-4"
    assert lines == [
        "videos are saved as MPEG-4, which browsers do not play (this machine encodes VP9 4, VP8 20 frames a second, "
        "25 come)"
    ]


def test_folder_that_is_deleted_ends_the_saver_only(out: Path, source: Path) -> None:
    writer = AnnotatedWriter(out)
    writer.write(result(source / "clip.avi", 10, index=0))
    shutil.rmtree(out)
    with pytest.raises(FerEdgeError, match="cannot write"):
        writer.write(result(source / "clip.avi", 10, index=1))
    with pytest.raises(FerEdgeError):
        writer.close()
