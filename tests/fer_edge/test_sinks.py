"""Saving: what it is called, and that nothing old is lost for something that cannot be played."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.images import Pixels, read_picture
from fer_edge.sinks import Saver, new_video
from fer_edge.sources import Frame

GREY = np.full((48, 64, 3), 100, np.uint8)
OLD = b"an older video, still wanted"


def frame(path: Path, fps: float | None = None, picture: Pixels = GREY) -> Frame:
    return Frame(path.name, 0, 0.0, picture, 0.0, 0.0, path, fps)


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


def test_a_format_without_colour_becomes_a_png_beside_its_namesakes(source: Path, tmp_path: Path) -> None:
    with Saver(tmp_path / "out") as saver:
        for name, level in (("a.pgm", 1), ("a.png", 2), ("b.PGM", 3)):
            saver.write(frame(source / name), np.full((4, 4, 3), (0, 0, level), np.uint8))

    assert names(tmp_path / "out") == ["a.pgm.png", "a.png", "b.PGM.png"]
    assert read_picture(tmp_path / "out" / "a.pgm.png")[0, 0].tolist() == [0, 0, 1]


def test_a_new_video_takes_the_place_of_an_older_one(source: Path, out: Path) -> None:
    with Saver(out) as saver:
        for _ in range(3):
            saver.write(frame(source / "clip.avi", 10), GREY)

    assert names(out) == ["clip.mp4"]
    assert played(out / "clip.mp4") == (3, 10)


def test_a_video_that_cannot_be_opened_leaves_the_older_one(
    source: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    row = np.zeros((1, 320, 3), np.uint8)  # MPEG-4 knows no picture of one row

    with pytest.raises(FerEdgeError, match=r"clip\.mp4: OpenCV makes no \.mp4 of 320x1 pixels"), Saver(out) as saver:
        saver.write(frame(source / "clip.avi", 10), row)

    assert capfd.readouterr().err == ""
    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_video_without_a_frame_leaves_the_older_one(out: Path) -> None:
    with pytest.raises(FerEdgeError, match="no frame of it arrived"), new_video(out / "clip.mp4", GREY, fps=10):
        pass

    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_full_disk_is_told_and_leaves_the_older_one(out: Path) -> None:
    program = f"""
import resource, signal
import numpy as np
from pathlib import Path
from fer_edge.sinks import Saver
from fer_edge.sources import Frame

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
noise = np.random.default_rng(0).integers(0, 256, (10, 240, 320, 3), np.uint8)
with Saver(Path({str(out)!r})) as saver:
    for picture in noise:
        saver.write(Frame("clip.avi", 0, 0.0, picture, 0.0, 0.0, Path("/dev/clip.avi"), 10.0), picture)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert "no frame of it arrived; is the disk full?" in finished.stderr.splitlines()[-1]
    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


@pytest.mark.parametrize(
    ("fps", "stride", "saved"),
    [(25, 1, 25), (29.97002997, 1, 29.97), (107.9329, 1, 107.9), (999.99, 1, 1000), (25, 100, 0.25), (0.5, 100, 0.1)],
)
def test_every_believable_frame_rate_can_be_saved(
    source: Path, tmp_path: Path, fps: float, stride: int, saved: float
) -> None:
    with Saver(tmp_path / "out") as saver:
        saver.write(frame(source / "clip.avi", fps), GREY, stride)

    assert played(tmp_path / "out" / "clip.mp4") == (1, saved)


@pytest.mark.parametrize(("name", "fps"), [("a.png", None), ("clip.avi", 10)])
def test_nothing_is_saved_where_the_source_lies(source: Path, name: str, fps: float | None) -> None:
    (source / name).touch()

    with pytest.raises(FerEdgeError, match="would write over"), Saver(source) as saver:
        saver.write(frame(source / name, fps), GREY)

    assert names(source) == [name]


def test_nothing_is_saved_where_the_source_is_linked_from(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (source / "a.png").symlink_to(tmp_path / "a.png")

    with pytest.raises(FerEdgeError, match="would write over"), Saver(tmp_path) as saver:
        saver.write(frame(source / "a.png"), GREY)


def test_a_folder_that_opencv_would_crash_on_is_refused(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out\udcff"  # the byte 0xff, which is not UTF-8

    with pytest.raises(FerEdgeError, match="not UTF-8; rename it"), Saver(folder) as saver:
        saver.write(frame(source / "clip.avi", 10), GREY)

    assert names(folder) == []
