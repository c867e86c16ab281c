"""Sinks that write files: what they are called, and that nothing is lost or left half-written."""

import csv
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
from fer_edge.images import Pixels, read_picture
from fer_edge.recognizer import Face
from fer_edge.sinks.saver import Saver, new_video
from fer_edge.sinks.table import Table
from fer_edge.sources import Frame
from fer_edge.watch import Result

GREY = np.full((240, 320, 3), 100, np.uint8)
OLD = b"an older video, still wanted"
MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def result(path: Path | None, fps: float | None = None, picture: Pixels = GREY, index: int = 0, **more: Any) -> Result:
    t = more.pop("t", index / fps if fps else 0.0)
    name = path.name if path else "camera 0"
    return Result(Frame(name, index, t, picture, 0.0, 0.0, path, fps), more.pop("faces", []), **more)


def face(label: str = "happiness", number: int | None = 7) -> Face:
    probabilities = {"neutral": 0.2, "happiness": 0.8}
    return Face((1, 2, 30, 40), label, 0.8, probabilities, 0.9, number)


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


# Pictures and videos


def test_a_format_without_colour_becomes_a_png_beside_its_namesakes(source: Path, tmp_path: Path) -> None:
    saver = Saver(tmp_path / "out")
    for name, level in (("a.pgm", 1), ("a.png", 2), ("b.PGM", 3)):
        saver.write(result(source / name, picture=np.full((4, 4, 3), (0, 0, level), np.uint8)))
    saver.close()

    assert names(tmp_path / "out") == ["a.pgm.png", "a.png", "b.PGM.png"]
    assert read_picture(tmp_path / "out" / "a.pgm.png")[0, 0].tolist() == [0, 0, 1]


def save(folder: Path, *results: Result, stride: int = 1) -> Saver:
    saver = Saver(folder, stride)
    for one in results:
        saver.write(one)
    saver.close()
    return saver


def test_a_new_video_takes_the_place_of_an_older_one(source: Path, out: Path) -> None:
    save(out, *(result(source / "clip.avi", 10, index=index) for index in range(3)))

    assert names(out) == ["clip.mp4"]
    assert played(out / "clip.mp4") == (3, 10)


def test_what_a_camera_saw_is_never_written_over(tmp_path: Path) -> None:
    for _ in range(3):
        save(tmp_path, result(None, 10))

    assert names(tmp_path) == ["camera-0-2.mp4", "camera-0-3.mp4", "camera-0.mp4"]


def test_a_video_that_cannot_be_opened_leaves_the_older_one(
    source: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    row = np.zeros((1, 320, 3), np.uint8)  # MPEG-4 knows no picture of one row

    with pytest.raises(FerEdgeError, match=r"clip\.mp4: OpenCV makes no \.mp4 of 320x1 pixels"):
        save(out, result(source / "clip.avi", 10, row))

    assert capfd.readouterr().err == ""
    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_video_without_a_frame_leaves_the_older_one(out: Path) -> None:
    with pytest.raises(FerEdgeError, match="no frame of it arrived"), new_video(out / "clip.mp4", GREY, fps=10):
        pass

    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_file_that_may_not_grow_is_told_and_leaves_the_older_one(out: Path) -> None:
    program = f"""
import resource, signal
import numpy as np
from pathlib import Path
from fer_edge.sinks.saver import Saver
from fer_edge.sources import Frame
from fer_edge.watch import Result

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
noise = np.random.default_rng(0).integers(0, 256, (10, 240, 320, 3), np.uint8)
saver = Saver(Path({str(out)!r}))
for index, picture in enumerate(noise):
    saver.write(Result(Frame("clip.avi", index, index / 10, picture, 0.0, 0.0, Path("/dev/clip.avi"), 10.0), []))
saver.close()
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert "no frame of it arrived; is the disk full?" in finished.stderr.splitlines()[-1]
    assert (names(out), (out / "clip.mp4").read_bytes()) == (["clip.mp4"], OLD)


def test_a_disk_that_runs_full_ends_a_video_that_can_be_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = shutil.disk_usage(tmp_path)
    free = iter([10**9, 10**9, 17_000_000, 10**5, 10**5, 10**5])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk._replace(free=next(free)))
    saver = Saver(tmp_path)
    for index in range(3):
        saver.write(result(None, 10, index=index))

    with pytest.raises(FerEdgeError, match=r"camera-0\.mp4: the disk of .* is full .*until then can be played"):
        saver.write(result(None, 10, index=3))
    saver.close()

    assert played(tmp_path / "camera-0.mp4") == (3, 10)
    assert names(tmp_path) == ["camera-0.mp4"]


def test_a_disk_that_is_full_from_the_beginning_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk._replace(free=10**5))
    saver = Saver(tmp_path / "out")

    with pytest.raises(FerEdgeError, match=r"is full .*nothing of it could be kept"):
        saver.write(result(None, 10))
    saver.close()
    assert (names(tmp_path / "out"), saver.written) == ([], set())


def test_a_stream_that_changes_its_size_stays_one_video(tmp_path: Path) -> None:
    sizes = [(240, 320), (480, 640), (320, 240), (200, 1000)]
    pictures = [np.full((*size, 3), 50 + 50 * place, np.uint8) for place, size in enumerate(sizes)]
    save(tmp_path, *(result(None, 10, picture, index) for index, picture in enumerate(pictures)))

    assert played(tmp_path / "camera-0.mp4") == (4, 10)
    assert shown(tmp_path / "camera-0.mp4") == pytest.approx([50, 100, 150, 200], abs=12)


@pytest.mark.parametrize(
    ("times", "frames"),
    [
        ([0, 0.1, 0.2, 0.3], 4),  # as it was promised
        ([0, 0.14, 0.16, 0.34, 0.36], 5),  # a little early, a little late
        ([0, 0.4, 0.8, 1.2], 12),  # a machine that takes every fourth: as long as it lasted
        ([0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12], 2),  # faster than it said
        ([0, 0.1, 3600, 3600.1], 4),  # lost for an hour: cut
        ([100, 100.1, 3, 3.1], 4),  # the clock jumped
    ],
)
def test_a_video_lasts_as_long_as_what_was_seen(tmp_path: Path, times: list[float], frames: int) -> None:
    save(tmp_path, *(result(None, 10, index=index, t=t) for index, t in enumerate(times)))

    assert abs(played(tmp_path / "camera-0.mp4")[0] - frames) <= (1 if frames > 5 or len(times) > 5 else 0)


@pytest.mark.parametrize(
    ("fps", "stride", "saved"),
    [(25, 1, 25), (29.97002997, 1, 29.97), (107.9329, 1, 107.9), (999.99, 1, 1000), (25, 100, 0.25), (0.5, 100, 0.1)],
)
def test_every_believable_frame_rate_can_be_saved(
    source: Path, tmp_path: Path, fps: float, stride: int, saved: float
) -> None:
    save(tmp_path / "out", result(source / "clip.avi", fps), stride=stride)

    assert played(tmp_path / "out" / "clip.mp4") == (1, saved)


@pytest.mark.parametrize(("name", "fps"), [("a.png", None), ("clip.avi", 10)])
def test_nothing_is_saved_where_the_source_lies(source: Path, name: str, fps: float | None) -> None:
    (source / name).touch()

    with pytest.raises(FerEdgeError, match="would write over"):
        save(source, result(source / name, fps))

    assert names(source) == [name]


def test_nothing_is_saved_where_the_source_is_linked_from(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (source / "a.png").symlink_to(tmp_path / "a.png")

    with pytest.raises(FerEdgeError, match="would write over"):
        save(tmp_path, result(source / "a.png"))


def test_a_folder_that_opencv_would_crash_on_is_refused(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out\udcff"  # the byte 0xff, which is not UTF-8

    with pytest.raises(FerEdgeError, match="not UTF-8; rename it"):
        save(folder, result(source / "clip.avi", 10))

    assert names(folder) == []


# Tables


def table(path: Path, *results: Result, labels: tuple[str, ...] = ("neutral", "happiness")) -> list[dict[str, str]]:
    sink = Table(path, labels, lambda: MIDNIGHT)
    for one in results:
        sink.write(one)
    sink.close()
    with path.open(newline="") as rows:
        return list(csv.DictReader(rows))


def test_a_table_has_a_row_for_each_face_of_each_frame(tmp_path: Path) -> None:
    seen = result(None, 10, index=5, faces=[face(), face("uncertain", 8)], dropped=2)

    first, second = table(tmp_path / "new" / "faces.csv", seen, result(None, 10, index=6))

    assert first == {
        "time": "2026-01-01T00:00:00.000+00:00", "source": "camera 0", "frame": "5", "t": "0.5", "id": "7",
        "x": "1", "y": "2", "w": "30", "h": "40", "label": "happiness", "score": "0.8", "stable": "1",
        "detection_score": "0.9", "age_ms": "0.0", "dropped": "2", "probs.neutral": "0.2", "probs.happiness": "0.8",
    }  # fmt: skip
    assert (second["id"], second["label"], second["stable"]) == ("8", "uncertain", "0")


def test_a_table_that_is_there_grows(tmp_path: Path) -> None:
    for count in (1, 2):
        assert len(table(tmp_path / "faces.csv", result(None, 10, faces=[face()]))) == count


def test_a_name_with_a_comma_stays_one_field(tmp_path: Path) -> None:
    (row,) = table(tmp_path / "faces.csv", result(Path('a,"b".png'), faces=[face(number=None)]))

    assert (row["source"], row["id"]) == ('a,"b".png', "0")


@pytest.mark.parametrize("content", [b"name,age\nAnna,7\n", b"time", b"\n", b"\xff\xfe"])
def test_a_file_that_is_another_table_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "faces.csv"
    path.write_bytes(content)

    with pytest.raises(FerEdgeError, match=r"faces\.csv is another table.*name a new file"):
        table(path)

    assert path.read_bytes() == content


def test_a_table_of_a_model_with_other_classes_is_refused(tmp_path: Path) -> None:
    table(tmp_path / "faces.csv")

    with pytest.raises(FerEdgeError, match="other classes"):
        table(tmp_path / "faces.csv", labels=("neutral",))


def test_a_row_that_lacks_its_end_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    table(path, result(None, 10, faces=[face()]))
    path.write_bytes(path.read_bytes()[:-9])  # the plug was pulled

    assert [row["id"] for row in table(path, result(None, 10, faces=[face()]))] == ["7", "7"]


def test_a_full_disk_leaves_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    program = f"""
import resource, signal
from pathlib import Path
from fer_edge.errors import FerEdgeError
from fer_edge.recognizer import Face
from fer_edge.sinks.table import Table
from fer_edge.sources import Frame
from fer_edge.watch import Result
import numpy as np

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
face = Face((1, 2, 3, 4), "a", 1.0, {{"a": 1.0}}, 1.0)
table = Table(Path({str(path)!r}), ("a",))
try:
    for index in range(100):
        table.write(Result(Frame("camera 0", index, 0.0, np.zeros((9, 9, 3), np.uint8), 0.0, 0.0), [face]))
except FerEdgeError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert finished.stdout == f"cannot write {path}: File too large; name another folder, or mend its rights\n"
    content = path.read_text()
    assert content.endswith(",1.0\n")
    assert 900 < len(content) <= 1000
    assert len({line.count(",") for line in content.splitlines()}) == 1


@pytest.mark.parametrize(
    ("place", "fault"), [("/dev/null", "not a file"), ("/proc/x.csv", "cannot write"), (".", "cannot write")]
)
def test_a_table_that_cannot_be_written_is_an_error_at_once(place: str, fault: str) -> None:
    with pytest.raises(FerEdgeError, match=fault):
        Table(Path(place), ())


def test_the_clock_of_a_table_may_jump_back(tmp_path: Path) -> None:
    clock = iter([MIDNIGHT, MIDNIGHT - timedelta(days=1)])
    sink = Table(tmp_path / "faces.csv", ("neutral", "happiness"), lambda: next(clock))
    for one in (0, 1):
        sink.write(result(None, 10, index=one, faces=[face()]))
    sink.close()

    assert [line[:10] for line in (tmp_path / "faces.csv").read_text().splitlines()[1:]] == ["2026-01-01", "2025-12-31"]
