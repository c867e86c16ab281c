"""Data sets as people have them: whatever is wrong with a row or a picture is counted and named, and nothing is lost.

In every test the faces written and the rows skipped add up to the rows that were listed.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import DataError
from fer_edge.imaging.images import write_picture
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.check import check
from fer_edge_train.prepare.prepare import load_faces, prepare
from fer_edge_train.prepare.report import Report
from support.command import FerEdge
from support.tiny_data_sets import class_folders, expressions, expw, ferplus, legend, picture, write_pictures

ANY = DataSettings()


def left_out(report: Report) -> list[tuple[str, str, str]]:
    return [(row.origin, row.reason, row.kind) for row in report.skipped_rows]


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_every_face_of_a_photo_that_cannot_be_read_is_listed(tmp_path: Path, out: str) -> None:
    rows = [f"{name}.jpg {face} 5 {5 + face} 45 45 50 {face}" for name in "ab" for face in range(3)]
    root = expw(tmp_path / "data", rows)
    (root / "origin/a.jpg").unlink()
    report = prepare(root, tmp_path / out)
    assert [row.origin for row in report.skipped_rows] == ["label.lst:1", "label.lst:2", "label.lst:3"]
    assert (report.total, report.skipped["unusable"]) == (3, 3)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('1,"anger1.jpg,anger', "too few columns: 2 instead of 3"),
        ('"1,anger1.jpg,anger', "too few columns: 1 instead of 3"),
        ('1,anger1.jpg","anger', 'images/anger1.jpg": No such file or directory'),
    ],
)
def test_stray_quote_costs_its_own_line_and_no_other(tmp_path: Path, row: str, reason: str) -> None:
    rows = expressions(5)
    root = legend(tmp_path / "data", rows)
    rows[1] = row
    (root / "data/legend.csv").write_text("\n".join(["user.id,image,emotion", *rows, ""]))
    report = prepare(root, tmp_path / "out")
    assert [(row.origin, row.reason.removeprefix(f"{root}/")) for row in report.skipped_rows] == [
        ("data/legend.csv:3", reason)
    ]
    assert report.total == 14


def test_stray_quote_in_ferplus_costs_its_own_line_and_no_other(tmp_path: Path) -> None:
    root = ferplus(tmp_path / "data", {"FER2013Train": ["9,1,0,0,0,0,0,0,0,0"] * 9})
    table = root / "data/FER2013Train/label.csv"
    lines = table.read_text().splitlines()
    lines[2] = lines[2].replace(')"', ")")
    table.write_text("\n".join(lines))
    read = read_table(root, ANY)
    assert len(read.rows) == 8
    assert read.skipped[0][:2] == ("data/FER2013Train/label.csv:3", "too few columns: 0 votes instead of 10")


def test_face_listed_twice_in_expw_with_one_label_counts_once(tmp_path: Path) -> None:
    rows = ["a.jpg 0 5 10 45 50 50 0", "b.jpg 0 5 10 45 50 50 0", "a.jpg 1 5 10 45 50 60 0", "a.jpg 2 5 11 45 50 50 3"]
    table = read_table(expw(tmp_path, rows), ANY)
    assert list(table.rows["origin"]) == ["label.lst:1", "label.lst:4", "label.lst:2"]
    reason = "origin/a.jpg, box x 10, y 5, w 35, h 45, is listed already, with the same label, in line 1"
    assert table.skipped == (("label.lst:3", reason, "repeated"),)


def test_face_listed_in_expw_with_contradictory_labels_is_left_out(tmp_path: Path) -> None:
    rows = ["a.jpg 0 5 10 45 50 50 0", "b.jpg 0 5 10 45 50 50 0", "a.jpg 1 5 10 45 50 60 3"]
    table = read_table(expw(tmp_path, rows), ANY)
    assert list(table.rows["picture"]) == ["origin/b.jpg"]
    reason = "origin/a.jpg, box x 10, y 5, w 35, h 45, has contradictory labels (anger in line 1, happiness in line 3)"
    assert table.skipped == (("label.lst:1", reason, "contradictory"), ("label.lst:3", reason, "contradictory"))


def test_face_listed_twice_in_ferplus_follows_the_same_rule(tmp_path: Path) -> None:
    root = ferplus(tmp_path, {"FER2013Train": ["9,1,0,0,0,0,0,0,0,0"] * 3})
    table = root / "data/FER2013Train/label.csv"
    first, second, third = table.read_text().splitlines()
    table.write_text("\n".join([first, second, third, first, second.replace("9,1", "8,2")]))
    read = read_table(root, ANY)
    assert [(row.origin.rpartition(":")[2], row.kind) for row in read.skipped] == [
        ("2", "contradictory"),
        ("4", "repeated"),
        ("5", "contradictory"),
    ]
    assert "has contradictory votes (neutral in line 2, neutral in line 5)" in read.skipped[0].reason
    assert len(read.rows) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"legend\.csv:1: the header is ''; it needs columns image and emotion"),
        (b"1,a.jpg,anger\n", r"the header is '1,a.jpg,anger'; it needs columns"),
        (b"user.id,picture,emotion\n1,a.jpg,anger\n", r"the header is 'user.id,picture,emotion'; it needs columns"),
        (b"user.id;image;emotion\n1;a.jpg;anger\n", r"the header is 'user.id;image;emotion'; it needs columns"),
        (
            "user.id,image,emotion\n".encode("utf-16"),
            r"legend\.csv:1: the header is .* needs columns image and emotion",
        ),
        (b"user.id,image,emotion\n", r"no usable face; data/legend\.csv list none"),
        (b"\xef\xbb\xbf\r\n\r\n", r"legend\.csv:1: the header is ''"),
    ],
)
def test_legend_without_a_row_that_can_be_used_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    root = legend(tmp_path / "data", ["1,a.jpg,anger"])
    (root / "data/legend.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        prepare(root, tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfuser.id,image,emotion\r\n1,anger0.jpg,anger\r\n1,fear0.jpg,fear\r\n",
        b"Emotion,IMAGE\nanger,anger0.jpg\nfear,fear0.jpg",
        b'"image","emotion","user.id"\n"anger0.jpg","anger",1\n"fear0.jpg","fear",1\n\n\n',
        b"image,emotion,comment\nanger0.jpg,anger,\xe9\nfear0.jpg,fear,\xff\xfe\n",
        b"image,emotion\ranger0.jpg,anger\rfear0.jpg,fear\r",
    ],
    ids=["byte order mark and CRLF", "other order", "quoted", "Latin-1", "old Mac"],
)
def test_legend_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    root = legend(tmp_path / "data", expressions(1))
    (root / "data/legend.csv").write_bytes(content)
    table = read_table(root, ANY)
    assert (list(table.rows["label"]), table.skipped) == (["anger", "fear"], ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../secret.jpg", "images/../../secret.jpg: outside of the data set; name pictures inside it"),
        ("SECRET", "No such file or directory"),
        ("a\0b.jpg", "contains a NUL character"),
        ("caf\xe9.jpg", "No such file or directory"),
        ("gone.jpg", "No such file or directory"),
        ("", "not a regular file"),
        ("x" * 300 + ".jpg", "File name too long"),
    ],
)
def test_name_that_leads_nowhere_or_elsewhere_is_listed(tmp_path: Path, name: str, reason: str) -> None:
    write_picture(tmp_path / "secret.jpg", picture(0))
    root = legend(tmp_path / "data", expressions(2))
    row = f"1,{name},anger\n".replace("SECRET", str(tmp_path / "secret.jpg"))
    with (root / "data/legend.csv").open("ab") as stream:
        stream.write(row.encode("latin-1"))
    report = prepare(root, tmp_path / "out")
    assert (report.total, [row.origin for row in report.skipped_rows]) == (6, ["data/legend.csv:8"])
    assert reason in report.skipped_rows[0].reason


def test_empty_cells_are_rows_like_others(tmp_path: Path) -> None:
    root = legend(tmp_path, expressions(1))
    with (root / "data/legend.csv").open("a") as stream:
        stream.write(",,\n\n   \n")
    assert read_table(root, ANY).skipped == (("data/legend.csv:5", "unknown label ''", "unusable"),)


def png_of(depth: int, colour: int, samples: int) -> bytes:
    """A 40x40 PNG with `samples` channels of `depth` bits, all bright."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + b"\xc8" * (40 * samples * depth // 8)
    header = struct.pack(">IIBBBBB", 40, 40, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 40)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("grey16.png", png_of(16, 0, 1)),
        ("colour16.png", png_of(16, 2, 3)),
        ("alpha.png", png_of(8, 6, 4)),
        ("grey_alpha16.png", png_of(16, 4, 2)),
        ("UPPER.PNG", png_of(8, 0, 1)),
    ],
)
def test_unusual_picture_is_a_face_like_others(tmp_path: Path, name: str, content: bytes) -> None:
    root = legend(tmp_path / "data", [f"1,{name},anger", "1,b.jpg,fear"])
    (root / "images" / name).write_bytes(content)
    faces = load_faces(root, size=24)
    assert len(faces) == 2
    assert np.unique(faces.faces[faces.names == f"images/{name}"]).tolist() == [200]


@pytest.mark.parametrize("name", ["a.jfif", "a", ".hidden.jpg", "._a.png"])
def test_file_with_an_unusual_name_is_read_back_from_the_folder_that_prepare_wrote(tmp_path: Path, name: str) -> None:
    root = legend(tmp_path / "data", [*expressions(2), "1,z.jpg,anger"])
    (root / "images/z.jpg").rename(root / "images" / name)
    legend_csv = root / "data/legend.csv"
    legend_csv.write_text(legend_csv.read_text().replace("z.jpg", name))
    report = prepare(root, tmp_path / "out")
    again = read_table(tmp_path / "out", ANY)
    assert (report.total, len(again.rows), again.skipped) == (7, 7, ())


@pytest.mark.parametrize(
    ("side", "reason"),
    [(1, "a face of 1x1 pixels is too small; the minimum is 8x8"), (7, "a face of 7x7 pixels is too small")],
)
def test_picture_too_small_for_a_face_is_listed(tmp_path: Path, side: int, reason: str) -> None:
    root = legend(tmp_path / "data", expressions(1))
    write_picture(root / "images/anger0.jpg", picture(0, side, side))
    report = prepare(root, tmp_path / "out")
    assert (report.total, report.skipped_rows[0].origin) == (2, "data/legend.csv:2")
    assert reason in report.skipped_rows[0].reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg 0 5 5 45 45 50 -1", "unknown label '-1'; ExpW has 0 to 6"),
        ("a.jpg 0 5 5 45 45 50 7", "unknown label '7'; ExpW has 0 to 6"),
        ("a.jpg 0 5 5 45 45 50 99999999999999999999", "unknown label '99999999999999999999'; ExpW has 0 to 6"),
        ("a.jpg 0 5 5 45 45 50", "too few columns: 7 instead of 8"),
        ("a.jpg 0 5 zero 45 45 50 0", "box and confidence are not numbers: 5 zero 45 45 50"),
        ("a.jpg 0 5 5 45 45 nan 0", "box and confidence are not numbers: 5 5 45 45 nan"),
        ("a.jpg 0 5 5 inf 45 50 0", "box and confidence are not numbers: 5 5 inf 45 50"),
        ("a.jpg 0 5 5 5 45 50 0", "the box is empty: top 5, left 5, right 5, bottom 45"),
        ("a.jpg 0 45 45 5 5 50 0", "the box is empty: top 45, left 45, right 5, bottom 5"),
        ("a.jpg 0 -50 -50 -5 -5 50 0", "is outside of the 60x60 picture"),
        ("a.jpg 0 1e300 1e300 1e301 1e301 50 0", "is outside of the 60x60 picture"),
        ("a.jpg 0 -40 -40 4 4 50 0", "a face of 4x4 pixels is too small; the minimum is 8x8"),
        ("../a.jpg 0 5 5 45 45 50 0", "outside of the data set"),
    ],
)
def test_bad_row_of_expw_is_listed(tmp_path: Path, row: str, reason: str) -> None:
    root = expw(tmp_path / "data", ["b.jpg 0 5 5 45 45 50 0", "a.jpg 0 5 5 45 45 50 0"])
    write_picture(root / "a.jpg", picture(3))
    (root / "label.lst").write_text(f"b.jpg 0 5 5 45 45 50 0\n\n{row}\n")
    report = prepare(root, tmp_path / "out")
    assert (report.total, [row.origin for row in report.skipped_rows]) == (1, ["label.lst:3"])
    assert reason in report.skipped_rows[0].reason


def test_box_far_over_the_edge_is_clipped_to_the_picture(tmp_path: Path) -> None:
    root = expw(tmp_path, ["a.jpg 0 -1e308 -1e308 1e308 1e308 50 0", "b.jpg 0 -20 -10 40 50 50 1"])
    assert len(load_faces(root, size=48)) == 2


def test_what_class_folders_hold_besides_pictures_is_listed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", {"train/happy": 2, "train/sad": 2, "train/sad/deeper": 1, "extra": 1})
    write_pictures(root / "train/happy", ["c.JPG", "folder.jpg/inside.jpg"])
    for name in ("train/happy/video.mp4", "train/happy/.DS_Store", "notes.txt"):
        (root / name).write_bytes(b"GIF89a")
    for name in ("loose.jpg", "train/loose.jpg"):
        write_picture(root / name, picture(0))
    report = prepare(root, tmp_path / "out")
    assert report.total == 7
    assert left_out(report) == [
        ("extra/extra0.jpg", "is beside training or testing folders; move it into one of them", "unusable"),
        ("loose.jpg", "is in no class folder", "unusable"),
        ("train/happy/video.mp4", "not a picture by its extension", "unusable"),
        ("train/loose.jpg", "is in no class folder", "unusable"),
    ]


def test_linked_pictures_are_followed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", {"happy": 2, "sad": 2})
    write_picture(tmp_path / "elsewhere/c.jpg", picture(9))
    (root / "sad/c.jpg").symlink_to("../../elsewhere/c.jpg")
    (root / "sad/broken.jpg").symlink_to("nowhere.jpg")
    (root / "sad/loop.jpg").symlink_to("loop.jpg")
    report = prepare(root, tmp_path / "out", link=True)
    assert (report.total, [row.origin for row in report.skipped_rows]) == (5, ["sad/broken.jpg", "sad/loop.jpg"])
    written = next((tmp_path / "out").rglob("c.jpg"))
    assert written.read_bytes() == (tmp_path / "elsewhere/c.jpg").read_bytes()


def test_folder_named_license_is_no_licence(tmp_path: Path) -> None:
    root = legend(tmp_path, expressions(1))
    (root / "LICENSES").mkdir()
    assert read_table(root, ANY).licence == "unknown"


def test_command_names_what_it_skipped_in_one_line_each(fer_edge: FerEdge, tmp_path: Path) -> None:
    root = legend(tmp_path / "data", [*expressions(2), "1,gone.jpg,anger"])
    (root / "images/gone.jpg").unlink()
    finished = fer_edge("prepare", "--data", root, "--out", tmp_path / "out", code=0)
    assert "skipped: 1 unusable; the first of them:\n" in finished.stderr
    assert f"  data/legend.csv:8: {root}/images/gone.jpg: No such file or directory\n" in finished.stderr


def test_animated_gif_is_its_first_picture_or_listed(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow to write an animated GIF")
    root = legend(tmp_path / "data", expressions(2))
    with (root / "data/legend.csv").open("a") as stream:
        stream.write("1,z.gif,anger\n")
    pictures = [image.new("L", (40, 40), value) for value in (200, 0)]
    pictures[0].save(root / "images/z.gif", save_all=True, append_images=pictures[1:])
    report = prepare(root, tmp_path / "out")
    faces = load_faces(tmp_path / "out", size=24)
    assert len(faces) == report.total == 7 - len(report.skipped_rows)  # OpenCV reads GIF from 4.11 on
    if not report.skipped_rows:
        assert np.unique(faces.faces[np.char.endswith(faces.names, "z.gif")]).tolist() == [200]


def test_jpeg_in_cmyk_is_a_face_like_others(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow to write a CMYK JPEG")
    root = legend(tmp_path, expressions(1))
    image.new("CMYK", (40, 40), (0, 0, 0, 55)).save(root / "images/anger0.jpg")
    faces = load_faces(root, size=24)
    assert abs(int(faces.faces[0].mean()) - 200) < 10
    assert cv2.imread(str(root / "images/anger0.jpg")) is not None


def noisy_jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 2))[1].tobytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda jpeg: jpeg[: len(jpeg) // 3] + jpeg[-2:], "premature end of data segment"),  # a gap, then the end
        (lambda jpeg: jpeg[: len(jpeg) // 3] + bytes(2 * len(jpeg) // 3) + jpeg[-2:], "premature end of data segment"),
        (lambda jpeg: jpeg[: len(jpeg) // 2], "premature end of data segment"),
        (lambda jpeg: jpeg[:-2], None),  # without its end marker
        (lambda jpeg: jpeg[:-2] + bytes(200) + jpeg[-2:], None),  # zeros in front of it
        (lambda jpeg: jpeg + bytes(4096), None),  # zeros behind it
    ],
)
def test_jpeg_is_checked_by_what_decodes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Callable[[bytes], bytes], reason: str | None
) -> None:
    root = class_folders(tmp_path / "data", {"happy": 1, "sad": 1})
    (root / "sad/x.jpg").write_bytes(change(noisy_jpeg()))
    report = check(root, None, ANY)
    damaged = f"{root / 'sad/x.jpg'}: the picture is damaged ({reason}); copy it again"
    assert [row.reason for row in report.skipped_rows] == ([] if reason is None else [damaged])
    assert "JPEG data" not in capfd.readouterr().err
