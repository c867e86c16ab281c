import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.data.metrics import proportion_interval
from fer_edge.imaging.images import read_picture, write_picture
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.html_report import kind_of_reason
from fer_edge_train.prepare.prepare import prepare
from fer_edge_train.prepare.report import small_class_lines
from support.command import FerEdge
from support.tiny_data_sets import class_folders, expressions, expw, legend, picture


def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_prepared_set_has_its_report_beside_it(tmp_path: Path) -> None:
    report = prepare(legend(tmp_path / "data", expressions(10)), tmp_path / "my.set.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data",
        "my.set.npz",
        "my.set_report.html",
        "my.set_report.json",
    ]
    assert json.loads((tmp_path / "my.set_report.json").read_text())["total"] == report.total == 30


def test_report_in_a_folder_is_no_part_of_the_data(tmp_path: Path) -> None:
    prepare(legend(tmp_path / "data", expressions(10)), tmp_path / "out")
    assert prepare(tmp_path / "out", tmp_path / "again").skipped_rows == []


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_page_needs_no_network_and_no_script(tmp_path: Path, out: str) -> None:
    prepare(legend(tmp_path / "data", expressions(10)), tmp_path / out)
    text = page(tmp_path / "out/report.html" if out == "out" else tmp_path / "set_report.html")
    assert set(re.findall(r"(?:src|href)=['\"]?(.{5})", text)) == {"data:"}
    assert "<script" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_samples_of_each_class_are_shown(tmp_path: Path) -> None:
    prepare(class_folders(tmp_path / "data", {"smile": 20, "tongue": 3}), tmp_path / "out")
    text = page(tmp_path / "out/report.html")
    assert "alt='12 faces of smile'" in text
    assert "alt='3 faces of tongue'" in text


def test_names_from_files_stay_text(tmp_path: Path) -> None:
    root = tmp_path / "<u>data$title"
    for seed, name in enumerate(["<img src=x onerror=alert(1)>", "a' onload='alert(2)"]):
        for number in range(3):
            write_picture(root / name / f"{number}.png", picture(seed))  # equal ones: a leak
        (root / name / "<script>alert(3)<").write_bytes(b"")
        (root / name / "<script>alert(4)<.png").write_bytes(b"no picture")
    prepare(root, tmp_path / "out", DataSettings(test_split=0.4))
    text = page(tmp_path / "out/report.html")
    assert "alert(1)" in text
    assert "alert(3)" in text
    assert "alert(4)" in text
    for raw in ("<img src=x", "<script", "<u>", "' onload="):
        assert raw not in text


def test_names_that_are_no_utf8_do_not_stop_it(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_picture(tmp_path / f"data/{name}/x.png", picture(seed))
    (tmp_path / "data/a/bad \udcff.png").write_bytes(b"no picture")
    (tmp_path / "data").rename(tmp_path / "data \udcff")
    assert prepare(tmp_path / "data \udcff", tmp_path / "set.npz").total == 2
    assert "Data set data ?" in page(tmp_path / "set_report.html")


def test_rare_class_is_told_loudly(fer_edge: FerEdge, tmp_path: Path) -> None:
    rows = [*expressions(200), *(f"1,c{i}.jpg,contempt" for i in range(7))]
    root = legend(tmp_path / "data", [row for row in rows if ",neutral" in row or ",contempt" in row])
    result = fer_edge("prepare", "--data", root, "--out", tmp_path / "out")
    told = (
        "contempt has 7 faces: with 1 for testing, its recall is uncertain by ±45 points "
        "(1 of 1 correct may still mean 21%); 6 for training are hardly enough"
    )
    assert f"warning: {told}" in result.stderr
    assert "neutral has" not in result.stderr
    text = page(tmp_path / "out/report.html")
    assert f"<li>{told}</li>" in text
    assert "<tr class='few'><td>contempt</td>" in text
    assert "<tr class=''><td>neutral</td>" in text


def test_class_without_any_face_is_no_news() -> None:
    assert small_class_lines({"training": {"contempt": 0}, "testing": {"contempt": 0}}) == []


def test_class_is_evaluated_on_validation_without_a_testing_split() -> None:
    (line,) = small_class_lines({"training": {"fear": 500}, "validation": {"fear": 12}})
    assert line.startswith("fear has 512 faces: with 12 for validation, its recall is uncertain by ±25 points")


def test_without_held_out_faces_only_learning_is_doubted() -> None:
    assert small_class_lines({"training": {"fear": 1}}) == ["fear has 1 face: 1 for training are hardly enough"]


@pytest.mark.parametrize(
    ("found", "n", "expected"),  # Wilson's interval, from R's prop.test(..., correct = FALSE)
    [(0, 0, (0, 1)), (0, 10, (0, 0.2775)), (5, 10, (0.2366, 0.7634)), (19, 20, (0.7639, 0.9911))],
)
def test_interval_of_a_proportion(found: int, n: int, expected: tuple[float, float]) -> None:
    assert proportion_interval(found, n) == pytest.approx(expected, abs=5e-5)


def test_sizes_are_those_in_the_photo_and_confidence_that_of_the_data_set(tmp_path: Path) -> None:
    rows = [f"{i}.png 0 10 10 50 50 {20 + i} {i % 2}" for i in range(10)]
    for out in ("out", "set.npz"):
        histograms = prepare(expw(tmp_path / "data" / out, rows), tmp_path / out).histograms
        side = histograms["side"]
        assert dict(zip(side.edges, side.counts, strict=False))[32] == 10  # 0.92 of 40 pixels
        assert histograms["confidence"].counts == [0, 0, 10]
        assert sum(histograms["brightness"].counts) == 10


def test_confidence_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    assert set(prepare(legend(tmp_path / "data", expressions(2)), tmp_path / "out").histograms) == {
        "side",
        "brightness",
    }


def test_faces_beyond_the_last_edge_count_too(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_picture(tmp_path / f"data/{name}/x.png", picture(seed, 1500, 1500))
    assert prepare(tmp_path / "data", tmp_path / "out").histograms["side"].counts[-1] == 2


def test_brightness_is_the_mean_of_the_face(tmp_path: Path) -> None:
    for name, grey in (("a", 0), ("b", 255)):
        write_picture(tmp_path / f"data/{name}/x.png", np.full((50, 50), grey, np.uint8))
    counts = prepare(tmp_path / "data", tmp_path / "out").histograms["brightness"].counts
    assert (counts[0], counts[-1], sum(counts)) == (1, 1, 2)


def test_rows_left_out_are_grouped_by_reason_with_examples(tmp_path: Path) -> None:
    rows = [f"1,{name}.jpg,anger" for name in "abcdefgh"] + ["1,z.jpg,fear", "1,z.jpg,sadness"]
    root = legend(tmp_path / "my data", rows)
    for name in "abcd":
        (root / f"images/{name}.jpg").write_bytes(b"")
    prepare(root, tmp_path / "out", DataSettings(test_split=0.3))
    text = page(tmp_path / "out/report.html")
    assert "the file is empty: <b>4</b>" in text
    assert len(re.findall(r"images/.\.jpg: the file is empty", text)) == 3
    assert "contradictory: 2" in text
    assert text.index("contradictory: 2") < text.index("unusable: 4")
    assert "z.jpg has contradictory labels (fear in line 10, sadness in line 11)" in text


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (
            "a face of 3.5x4 pixels is too small; the minimum is 8x8",
            "a face of #x# pixels is too small; the minimum is #x#",
        ),
        ("unknown label 'glee'", "unknown label …"),
        ("/a/b c.d.jpg: not an image that OpenCV can read", "not an image that OpenCV can read"),
        (
            "a.jpg, box x 1, y 2, w 3, h 4, has contradictory labels (a in line 1, b in line 2)",
            "…, box x #, y #, w #, h #, has contradictory labels …",
        ),
    ],
)
def test_reasons_lose_names_and_numbers(reason: str, kind: str) -> None:
    assert kind_of_reason(reason) == kind


def test_leaks_stand_in_the_page_with_a_picture(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("test", "ad")):
        for name in names:
            write_picture(tmp_path / f"data/{split}/sad/{name}.png", picture(ord(name)))
    report = prepare(tmp_path / "data", tmp_path / "out")
    text = page(tmp_path / "out/report.html")
    assert [(leak.kind, leak.pairs) for leak in report.leaks] == [("copy", 1)]
    assert "<li>of 2 testing faces 1 has an equal one in training or validation</li>" in text
    assert "alt='Pairs of faces from different splits'" in text
    assert "<td class=name>training: train/sad/a.png</td><td class=name>testing: test/sad/a.png</td>" in text
    assert "at most 32 of the 256 bits" in text


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_picture_and_its_crop_have_the_same_fingerprint(tmp_path: Path, out: str) -> None:
    write_picture(tmp_path / "data/train/sad/a.png", picture(0))
    write_picture(tmp_path / "data/test/sad/b.bmp", picture(0))  # equal pixels in another file
    write_picture(tmp_path / "data/train/happy/c.png", picture(1))
    assert [leak.kind for leak in prepare(tmp_path / "data", tmp_path / out).leaks] == ["copy"]


def test_pictures_of_the_page_can_be_decoded(tmp_path: Path) -> None:
    import base64

    prepare(legend(tmp_path / "data", expressions(5)), tmp_path / "out")
    for content in re.findall(r"base64,([^']+)'", page(tmp_path / "out/report.html")):
        sheet = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        assert sheet is not None
        assert sheet.shape == (72, 5 * 72, 3)
    assert read_picture(next((tmp_path / "out/training/fear").iterdir())).shape == (60, 60, 3)
