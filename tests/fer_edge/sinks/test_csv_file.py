"""The table of faces: rows that can be read, whatever is in them and whenever the disk runs full."""

import csv
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks.csv_file import CsvSink
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Result
from support.videos import file_size_limit

MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def face(label: str = "happiness", number: int | None = 7) -> Face:
    probabilities = {"neutral": 0.2, "happiness": 0.8}
    return Face((1, 2, 30, 40), label, 0.8, probabilities, 0.9, id=number)


def result(*faces: Face, index: int = 0, name: str = "camera 0", dropped: int = 0) -> Result:
    frame = Frame(name, index, index / 10, np.zeros((4, 4, 3), np.uint8), 0.0, 0.0, None, 10)
    return Result(frame, list(faces), dropped=dropped)


def table(path: Path, *results: Result, labels: tuple[str, ...] = ("neutral", "happiness")) -> list[dict[str, str]]:
    sink = CsvSink(path, labels, lambda: MIDNIGHT)
    for one in results:
        sink.write(one)
    sink.close()
    with path.open(newline="") as rows:
        return list(csv.DictReader(rows))


def test_a_table_has_a_row_for_each_face_of_each_frame(tmp_path: Path) -> None:
    seen = result(face(), face("uncertain", 8), index=5, dropped=2)

    first, second = table(tmp_path / "new" / "faces.csv", seen, result(index=6))

    assert first == {
        "time": "2026-01-01T00:00:00.000+00:00", "source": "camera 0", "frame": "5", "t": "0.5", "id": "7",
        "x": "1", "y": "2", "w": "30", "h": "40", "label": "happiness", "score": "0.8", "stable": "1",
        "detection_score": "0.9", "age_ms": "0.0", "dropped": "2", "probs.neutral": "0.2", "probs.happiness": "0.8",
    }  # fmt: skip
    assert (second["id"], second["label"], second["stable"]) == ("8", "uncertain", "0")


def test_a_table_that_is_there_grows(tmp_path: Path) -> None:
    for count in (1, 2):
        assert len(table(tmp_path / "faces.csv", result(face()))) == count


def test_a_name_with_a_comma_stays_one_field(tmp_path: Path) -> None:
    (row,) = table(tmp_path / "faces.csv", result(face(number=None), name='a,"b".png'))

    assert (row["source"], row["id"]) == ('a,"b".png', "0")


@pytest.mark.parametrize("content", [b"name,age\nAnna,7\n", b"time", b"\n", b"\xff\xfe"])
def test_a_file_that_is_another_table_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "faces.csv"
    path.write_bytes(content)

    with pytest.raises(FerEdgeError, match=r"faces\.csv: it has other columns.*choose a new file"):
        table(path)

    assert path.read_bytes() == content


def test_a_table_of_a_model_with_other_classes_is_refused(tmp_path: Path) -> None:
    table(tmp_path / "faces.csv")

    with pytest.raises(FerEdgeError, match="another model's classes"):
        table(tmp_path / "faces.csv", labels=("neutral",))


def test_a_row_that_lacks_its_end_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    table(path, result(face()))
    path.write_bytes(path.read_bytes()[:-9])  # the plug was pulled

    assert [row["id"] for row in table(path, result(face()))] == ["7", "7"]


def test_a_full_disk_leaves_complete_rows(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"

    with file_size_limit(1000), pytest.raises(FerEdgeError) as full:
        table(path, *(result(face(), index=index) for index in range(100)))

    assert str(full.value) == f"cannot write {path}: File too large; choose another folder, or fix its permissions"
    content = path.read_text()
    assert content.endswith(",0.8\n")
    assert 900 < len(content) <= 1000
    assert len({line.count(",") for line in content.splitlines()}) == 1


@pytest.mark.parametrize(
    ("place", "fault"), [("/dev/null", "not a regular file"), ("/proc/x.csv", "cannot write"), (".", "cannot write")]
)
def test_a_table_that_cannot_be_written_is_an_error_at_once(place: str, fault: str) -> None:
    with pytest.raises(FerEdgeError, match=fault):
        CsvSink(Path(place), ())


def test_the_clock_of_a_table_may_jump_back(tmp_path: Path) -> None:
    clock = iter([MIDNIGHT, MIDNIGHT - timedelta(days=1)])
    sink = CsvSink(tmp_path / "faces.csv", ("neutral", "happiness"), lambda: next(clock))
    for one in (0, 1):
        sink.write(result(face(), index=one))
    sink.close()

    assert [line[:10] for line in (tmp_path / "faces.csv").read_text().splitlines()[1:]] == ["2026-01-01", "2025-12-31"]
