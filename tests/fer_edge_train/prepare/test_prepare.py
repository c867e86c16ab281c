import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import fer_edge_train.data.crops
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, FerEdgeError, UsageError
from fer_edge.files import sha256
from fer_edge.imaging.images import read_picture, write_picture
from fer_edge_train.data.crops import face_box
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.table import Framing
from fer_edge_train.prepare.check import check
from fer_edge_train.prepare.prepare import load_faces, prepare
from support.command import FerEdge
from support.tiny_data_sets import class_folders, expressions, expw, ferplus, legend, picture


def manifest(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open() as stream:
        return list(csv.DictReader(stream))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_prepare_writes_training_and_testing_class_folders(tmp_path: Path) -> None:
    report = prepare(legend(tmp_path / "data", expressions(10)), tmp_path / "out")
    for split, count in (("training", 8), ("testing", 2)):
        for label in ("anger", "fear", "neutral"):
            assert len(list((tmp_path / "out" / split / label).iterdir())) == count
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.csv",
        "report.html",
        "report.json",
        "testing",
        "training",
    ]
    assert report.total == 30


def test_uncropped_pictures_are_copied_unchanged(tmp_path: Path) -> None:
    root = legend(tmp_path / "data", expressions(5))
    prepare(root, tmp_path / "out")
    for row in manifest(tmp_path / "out"):
        content = (tmp_path / "out" / row["file"]).read_bytes()
        assert content == (root / row["source"]).read_bytes()
        assert row["digest"] == sha256(content)
        assert row["box"] == "0 0 60 60"
        assert row["file"].startswith(f"{row['split']}/{row['class']}/")


def test_size_writes_square_grey_faces(tmp_path: Path) -> None:
    prepare(legend(tmp_path / "data", expressions(5)), tmp_path / "out", size=32)
    face = cv2.imread(str(tmp_path / "out" / manifest(tmp_path / "out")[0]["file"]), cv2.IMREAD_UNCHANGED)
    assert face is not None
    assert face.shape == (32, 32)


def test_boxed_faces_are_cropped_and_keep_their_pixels(tmp_path: Path) -> None:
    rows = [f"{i}.png 0 10 10 50 50 60 {i % 2}" for i in range(10)]
    prepare(expw(tmp_path / "data", rows), tmp_path / "out")
    for row in manifest(tmp_path / "out"):
        assert read_picture(tmp_path / "out" / row["file"]).shape == (37, 37, 3)  # 0.92 of 40 pixels
        assert row["box"] == "11.6 13.2 36.8 36.8"


def test_faces_of_one_photo_stay_on_one_side_and_have_their_own_files(tmp_path: Path) -> None:
    rows = [f"{i}.png {face} {10 + face} 10 {40 + face} 50 60 {face}" for i in range(20) for face in range(3)]
    prepare(expw(tmp_path / "data", rows), tmp_path / "out")
    sides: dict[str, set[str]] = {}
    for row in manifest(tmp_path / "out"):
        sides.setdefault(row["source"], set()).add(row["split"])
    assert [len(side) for side in sides.values()] == [1] * 20
    assert len(files(tmp_path / "out/training")) == 48
    assert len(files(tmp_path / "out/testing")) == 12


def test_same_seed_gives_the_same_folder(tmp_path: Path) -> None:
    root = legend(tmp_path / "data", expressions(10))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(root, tmp_path / name, DataSettings(seed=seed))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (tmp_path / "a/manifest.csv").read_bytes() == (tmp_path / "b/manifest.csv").read_bytes()
    assert files(tmp_path / "a") != files(tmp_path / "c")


def test_order_of_the_listing_changes_nothing(tmp_path: Path) -> None:
    rows = expressions(10)
    a = load_faces(legend(tmp_path / "a", rows), size=48)
    b = load_faces(legend(tmp_path / "b", rows[::-1]), size=48)
    assert a.names.tolist() == b.names.tolist()
    assert a.split.tolist() == b.split.tolist()


def test_group_person_keeps_a_person_on_one_side(tmp_path: Path) -> None:
    rows = [f"1,Person_{chr(65 + i % 10)}_{i:04}.jpg,{('anger', 'fear')[i % 2]}" for i in range(60)]
    faces = load_faces(legend(tmp_path, rows), size=48, settings=DataSettings(group="person"))
    sides = {(name.split("_")[1], split) for name, split in zip(faces.names, faces.split, strict=True)}
    assert len(sides) == 10
    assert len(faces.part("testing")) == 12


def test_split_sets_the_share_of_testing_faces(tmp_path: Path) -> None:
    report = prepare(legend(tmp_path / "data", expressions(10)), tmp_path / "out", DataSettings(test_split=0.5))
    assert report.faces["testing"]["fear"] == 5


def test_link_shares_the_files(tmp_path: Path) -> None:
    root = legend(tmp_path / "data", expressions(5))
    report = prepare(root, tmp_path / "out", link=True)
    for row in manifest(tmp_path / "out"):
        assert (tmp_path / "out" / row["file"]).samefile(root / row["source"])
    assert report.notes == []


def test_link_falls_back_to_copies_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    report = prepare(legend(tmp_path / "data", expressions(5)), tmp_path / "out", link=True)
    assert report.notes == [f"15 pictures were copied, not linked: {tmp_path / 'out'} is on another disk"]
    assert len(files(tmp_path / "out/training")) == 12


@pytest.mark.parametrize(("out", "size"), [("set.npz", None), ("out", 48)])
def test_link_of_changed_pictures_is_refused(tmp_path: Path, out: str, size: int | None) -> None:
    with pytest.raises(UsageError, match="--link does not change pictures"):
        prepare(legend(tmp_path / "data", expressions(2)), tmp_path / out, size=size, link=True)


def spoil(root: Path) -> None:
    """Spoil four of the pictures of `expressions(5)`, each in its own way."""
    images = root / "images"
    (images / "anger0.jpg").unlink()
    (images / "anger1.jpg").write_bytes(b"")
    (images / "anger2.jpg").write_text("this is text")
    content = (images / "anger3.jpg").read_bytes()
    (images / "anger3.jpg").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_bad_pictures_are_skipped_counted_and_listed_with_file_and_line(tmp_path: Path, out: str) -> None:
    root = legend(tmp_path / "data", expressions(5))
    spoil(root)
    report = prepare(root, tmp_path / out)
    listed = [(row.origin, row.reason.removeprefix(f"{root}/images/")) for row in report.skipped_rows]
    assert listed == [
        ("data/legend.csv:2", "anger0.jpg: No such file or directory"),
        ("data/legend.csv:3", "anger1.jpg: the file is empty"),
        ("data/legend.csv:4", "anger2.jpg: not an image that OpenCV can read"),
        (
            "data/legend.csv:5",
            "anger3.jpg: the picture is damaged (premature end of data segment); copy it again",
        ),
    ]
    assert report.skipped == {"unusable": 4, "repeated": 0, "contradictory": 0}
    assert report.total == 11


def test_report_json_says_what_the_run_did(tmp_path: Path) -> None:
    rows = ["a.jpg 0 0 0 40 40 1 0", "b.jpg 0 0 0 40 40 50 9", "c.jpg 0 0 0 40 40 50 0", "d.jpg 0 0 0 40 40 50 0"]
    report = prepare(expw(tmp_path / "data", rows), tmp_path / "out")
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert written == report.as_json()
    assert written["dropped"] == 1
    assert written["skipped_rows"] == [
        {"origin": "label.lst:2", "reason": "unknown label '9'; ExpW has 0 to 6", "kind": "unusable"}
    ]
    assert written["faces"]["training"]["anger"] == 1
    assert written["source"]["settings"]["min_confidence"] == 5.0


def test_boxes_are_clipped_to_the_picture() -> None:
    frame_bgr = picture(0, width=60, height=50)
    assert face_box(frame_bgr, (-20, -10, 60, 80), Framing()) == (0, 0, 40, 50)


@pytest.mark.parametrize("box", [(60, 0, 20, 20), (-20, 0, 20, 20), (0, 50, 20, 20), (0, -30, 20, 20)])
def test_box_outside_the_picture_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(DataError, match="is outside of the 60x50 picture"):
        face_box(picture(0, width=60, height=50), box, Framing())


def test_nothing_usable_is_an_error_that_names_the_first_reason(tmp_path: Path) -> None:
    root = expw(tmp_path / "data", ["a.jpg 0 0 0 40 40 50 9"])
    for out in (tmp_path / "out", tmp_path / "set.npz"):
        with pytest.raises(DataError, match=r"no usable face; the first of 1 skipped rows: label\.lst:1"):
            prepare(root, out)
        assert not out.exists()


def test_all_faces_below_min_confidence_is_an_error(tmp_path: Path) -> None:
    root = expw(tmp_path / "data", ["a.jpg 0 0 0 40 40 50 0"])
    with pytest.raises(DataError, match="1 faces are below --min-box-confidence"):
        prepare(root, tmp_path / "out", DataSettings(min_box_confidence=99))


def ctrl_c() -> None:
    raise KeyboardInterrupt


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)  # the main thread hears it before the last picture is read, on a busy machine, too


@pytest.mark.parametrize(("out", "stop"), [("out", ctrl_c), ("set.npz", ctrl_c), ("out", sigterm)])
def test_ctrl_c_and_sigterm_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, stop: Callable[[], None]
) -> None:
    root = legend(tmp_path / "data", expressions(10))
    read = fer_edge_train.data.crops.read_content

    def stop_at_fear(path: Path) -> bytes:
        if path.name == "fear3.jpg":
            stop()
        return read(path)

    monkeypatch.setattr(fer_edge_train.data.crops, "read_content", stop_at_fear)
    with pytest.raises(KeyboardInterrupt):
        prepare(root, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("mine", "out"), [("out/mine.txt", "out"), ("my set.npz", "my set.npz")])
def test_what_is_there_is_never_touched(tmp_path: Path, mine: str, out: str) -> None:
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).write_text("mine")
    with pytest.raises(FerEdgeError, match=rf"{out} already exists; choose another, or remove it: rm -r .*{out}"):
        prepare(legend(tmp_path / "data", expressions(2)), tmp_path / out)
    assert (tmp_path / mine).read_text() == "mine"
    assert [path.name for path in (tmp_path / mine).parent.iterdir() if path.name != "data"] == [Path(mine).name]


def frames(root: Path, names: str, count: int = 20) -> Path:
    """A legend.csv data set of two classes whose pictures are named by `names`, "frame_{:03}.jpg"."""
    return legend(root, [f"1,{names.format(i)},{('anger', 'fear')[i % 2]}" for i in range(count)])


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_one_person_cannot_be_divided_by_person(tmp_path: Path, out: str) -> None:
    root = frames(tmp_path / "data", "frame_{:03}.jpg")
    with pytest.raises(DataError, match=r"by their file names, all 20 faces are of one person, frame, .*leave out"):
        prepare(root, tmp_path / out, DataSettings(group="person"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert prepare(root, tmp_path / out).notes == []


@pytest.mark.parametrize("out", ["out", "set.npz"])
def test_splits_that_mislead_are_told(tmp_path: Path, out: str) -> None:
    rows = [f"1,frame_{i:03}.jpg,{('anger', 'fear')[i % 2]}" for i in range(20)]
    root = legend(tmp_path / "data", [*rows, "1,Ann_Lee_0001.jpg,anger", "1,Bo_Li_0001.jpg,disgust"])
    notes = prepare(root, tmp_path / out, DataSettings(group="person")).notes
    assert notes[0] == (
        "20 of 22 faces are of one person by their file names, frame; if that is not a person, leave out --group person"
    )
    assert "no testing face of disgust, fear: their recall cannot be measured" in notes


def test_command_warns_of_what_misleads(fer_edge: FerEdge, tmp_path: Path) -> None:
    root = frames(tmp_path / "data", "holiday{}.jpg")
    arguments = ["prepare", "--data", str(root), "--out", str(tmp_path / "out"), "--group", "person"]
    result = fer_edge(*arguments)
    assert result.code == 0
    assert (
        "warning: --group person had no effect: no file name holds a person, such as images/holiday0.jpg; say where it "
        "is: --person-pattern REGEX" in result.stderr
    )


def test_names_without_a_person_are_counted(tmp_path: Path) -> None:
    names = [f"S{i:03}_00{j}_0000001{j}.jpg" for i in range(6) for j in range(3)]
    rows = [f"1,{name},{('anger', 'fear')[i % 2]}" for i, name in enumerate([*names, "a.jpg"])]
    report = check(legend(tmp_path / "data", rows), None, DataSettings(group="person"))
    assert report.torn_groups == 0
    assert report.notes == [
        "1 of 19 file names hold no person, such as images/a.jpg: each counts as a person of its own; say where it is: "
        "--person-pattern REGEX"
    ]


def test_misspelt_class_is_asked_about(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", {"Suprise": 10, "happy": 10})
    assert "class Suprise: did you mean surprise? Then rename it" in prepare(root, tmp_path / "out").notes


def test_equal_names_from_different_folders_both_survive(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for seed, name in enumerate(["Sad/a.jpg", "sadness/a.jpg", "happy/a.jpg"]):
        write_picture(root / name, picture(seed))
    prepare(root, tmp_path / "out", DataSettings(test_split=0))
    assert files(tmp_path / "out/training") == ["happiness/a.jpg", "sadness/a-2.jpg", "sadness/a.jpg"]


def test_a_name_that_is_not_utf8_is_listed_and_the_others_kept(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", {"smile": 3, "frown": 3})
    Path(root / "smile/smile0.jpg").rename(root / "smile" / os.fsdecode(b"caf\xe9.jpg"))
    report = prepare(root, tmp_path / "out")
    listed = [(row.origin, row.reason) for row in report.skipped_rows]
    assert listed == [(r"smile/caf\udce9.jpg", "its name is not UTF-8; rename it")]
    assert report.total == 5


def test_prepared_set_holds_all_splits(tmp_path: Path) -> None:
    prepare(legend(tmp_path / "data", expressions(20)), tmp_path / "set.npz", size=24)
    faces = FaceSet.load(tmp_path / "set.npz")
    assert faces.size == 24
    assert [len(faces.part(split)) for split in ("training", "validation", "testing")] == [43, 5, 12]


def test_prepared_set_is_48_pixels_by_default(tmp_path: Path) -> None:
    prepare(legend(tmp_path / "data", expressions(2)), tmp_path / "set.npz")
    assert FaceSet.load(tmp_path / "set.npz").size == 48


def test_load_faces_takes_a_prepared_set_as_it_is(tmp_path: Path) -> None:
    root = legend(tmp_path / "data", expressions(5))
    prepare(root, tmp_path / "set.npz", size=24)
    loaded, read = load_faces(tmp_path / "set.npz", size=24), load_faces(root, size=24)
    assert (loaded.faces == read.faces).all()
    assert loaded.split.tolist() == read.split.tolist()
    assert loaded.source == read.source


def test_prepared_set_of_another_size_is_refused(tmp_path: Path) -> None:
    prepare(legend(tmp_path / "data", expressions(2)), tmp_path / "set.npz", size=24)
    with pytest.raises(DataError, match="holds faces of 24 pixels, not 48; prepare it again: --imgsz 48"):
        load_faces(tmp_path / "set.npz", size=48)


def test_prepared_folder_is_read_back_with_its_splits_and_groups(tmp_path: Path) -> None:
    rows = [f"{i}.png {face} {10 + face} 10 {40 + face} 50 60 {face}" for i in range(20) for face in range(2)]
    prepare(expw(tmp_path / "data", rows), tmp_path / "out", size=48)
    faces = load_faces(tmp_path / "out", size=48)
    assert len(faces.part("testing")) == 8
    assert len(set(faces.group.tolist())) == 20
    assert len(set(zip(faces.group.tolist(), faces.split.tolist(), strict=True))) == 20


def test_source_says_where_the_faces_came_from(tmp_path: Path) -> None:
    root = legend(tmp_path / "mine", expressions(2))
    source = load_faces(root, size=48, settings=DataSettings(seed=7, jobs=1)).source
    digest = source.pop("digest")
    assert source == {
        "name": "mine",
        "format": "legend",
        "licence": "unknown",
        "seed": 7,
        "split": 0.2,
        "settings": {
            "format": None,
            "min_confidence": 5.0,
            "group": "photo",
            "person_pattern": None,
            "split": 0.2,
            "validation": 0.1,
            "seed": 7,
        },
    }
    assert len(digest) == 64


def test_digest_changes_with_a_picture_and_with_a_label(tmp_path: Path) -> None:
    digests = [load_faces(legend(tmp_path / "a", expressions(2)), size=48).source["digest"]]
    write_picture(tmp_path / "a/images/fear0.jpg", picture(99))
    digests.append(load_faces(tmp_path / "a", size=48).source["digest"])
    rows = [row.replace("fear0.jpg,fear", "fear0.jpg,anger") for row in expressions(2)]
    digests.append(load_faces(legend(tmp_path / "b", rows), size=48).source["digest"])
    assert len(set(digests)) == 3


def test_jobs_change_nothing(tmp_path: Path) -> None:
    root = legend(tmp_path, expressions(10))
    one, four = (load_faces(root, size=48, settings=DataSettings(jobs=jobs)) for jobs in (1, 4))
    assert (one.faces == four.faces).all()


def test_groups_that_the_data_set_itself_tears_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for seed, name in enumerate(["train/sad/Ann_Lee_0001.jpg", "test/sad/Ann_Lee_0002.jpg", "train/happy/Bo_0001.jpg"]):
        write_picture(root / name, picture(seed))
    assert prepare(root, tmp_path / "out", DataSettings(group="person")).torn_groups == 1


def test_validation_that_the_data_brings_is_written_too(tmp_path: Path) -> None:
    votes = ["9,1,0,0,0,0,0,0,0,0"]
    report = prepare(ferplus(tmp_path / "data", {"FER2013Train": votes * 3, "FER2013Valid": votes}), tmp_path / "out")
    assert {split: counts["neutral"] for split, counts in report.faces.items()} == {"training": 3, "validation": 1}
    assert len(files(tmp_path / "out/validation/neutral")) == 1


def test_pictures_that_stand_in_a_table_become_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pixels = " ".join(["77"] * 48**2)
    (tmp_path / "data/fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{pixels},Training\n")
    (tmp_path / "data/fer2013new.csv").write_text("Usage,Image name\nTraining,fer0000000.png,9,1,0,0,0,0,0,0,0,0\n")
    prepare(tmp_path / "data", tmp_path / "out")
    assert np.unique(read_picture(tmp_path / "out/training/neutral/fer0000000.png")).tolist() == [77]


def test_command_prints_one_json_document_and_a_table_for_people(fer_edge: FerEdge, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", {"happy": 5, "sad": 5})
    result = fer_edge("prepare", "--data", root, "--out", tmp_path / "out", "--json")
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["total"] == 10
    assert "happiness" in result.stderr
    assert str(tmp_path / "out") in result.stderr.replace("\n", "")


def test_a_folder_cut_from_a_cut_folder_still_names_the_photos(tmp_path: Path) -> None:
    rows = [f"{i}.png {face} {10 + face} 10 {40 + face} 50 60 {face}" for i in range(10) for face in range(2)]
    root = expw(tmp_path / "data", rows)
    prepare(root, tmp_path / "once", size=48)
    prepare(tmp_path / "once", tmp_path / "twice", size=32)
    photos = {sha256(path.read_bytes()) for path in (root / "origin").iterdir()}
    for out in ("once", "twice"):
        assert {row["digest"] for row in manifest(tmp_path / out)} == photos
    loaded = [load_faces(tmp_path / name, size=24) for name in ("data", "once", "twice", "twice/training")]
    assert len({frozenset(faces.photos.tolist()) for faces in loaded[:3]}) == 1
    assert set(loaded[3].photos) < set(loaded[0].photos)


def test_a_damaged_manifest_tells_no_photos(tmp_path: Path) -> None:
    prepare(legend(tmp_path / "data", expressions(2)), tmp_path / "out", size=24)
    listed = (tmp_path / "out/manifest.csv").read_text()
    for changed in (listed.replace(manifest(tmp_path / "out")[0]["digest"], "?"), "file,group\n", "", "\0"):
        (tmp_path / "out/manifest.csv").write_text(changed)
        assert len(load_faces(tmp_path / "out", size=24).photos) == 6
