import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import fer_edge_train.data.leaks
from fer_edge.data.faceset import FaceSet
from fer_edge.imaging.images import Pixels, write_picture
from fer_edge_train.data.fingerprints import Hashes, hashes_of
from fer_edge_train.data.leaks import NEAR_BITS, Leak, find_leaks, leak_warning, persons_of
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.leak_sheet import DrawnPair, leak_sheet
from fer_edge_train.prepare.prepare import load_faces, prepare
from support.command import FerEdge
from support.tiny_data_sets import class_folders, expw, legend


def portrait(seed: int) -> Pixels:
    """A smooth grey picture, 48x48, another one for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC), np.uint8)


def as_jpeg(face: Pixels) -> Pixels:
    content = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def leaks_in(
    faces: list[Pixels], split: list[str], photos: list[int] | None = None, persons: list[str] | None = None
) -> dict[str, Leak]:
    found = find_leaks(
        hashes_of(faces),
        np.array(split, "U10"),
        np.array(photos if photos is not None else range(len(faces))),
        np.array(persons if persons is not None else [""] * len(faces), str),
    )
    return {leak.kind: leak for leak in found}


def test_different_faces_and_equal_ones_in_one_split_are_no_leak() -> None:
    assert leaks_in([], []) == {}
    faces = [portrait(seed) for seed in range(60)]
    assert leaks_in(faces, ["training"] * 30 + ["validation"] * 15 + ["testing"] * 15) == {}
    assert leaks_in([portrait(0)] * 3, ["training"] * 3, persons=["Ann_Lee"] * 3) == {}


def test_equal_faces_in_two_splits_are_found_and_counted() -> None:
    faces = [portrait(seed) for seed in (0, 0, 1, 0, 1, 2)]
    leaks = leaks_in(faces, ["training", "training", "training", "testing", "validation", "testing"])
    assert list(leaks) == ["copy"]
    assert leaks["copy"].pairs == 3
    assert leaks["copy"].faces == {"validation": 1, "testing": 1}
    assert [(pair.earlier, pair.later, pair.bits) for pair in leaks["copy"].listed] == [(0, 3, 0), (2, 4, 0)]


def test_equal_faces_in_validation_and_testing_are_a_leak_too() -> None:
    assert leaks_in([portrait(0)] * 2, ["validation", "testing"])["copy"].faces == {"testing": 1}


@pytest.mark.parametrize(
    "change",
    [
        as_jpeg,
        lambda face: cv2.resize(cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA), (48, 48)),
        lambda face: np.clip(face * 0.8 + 30, 0, 255).astype(np.uint8),
        lambda face: cv2.GaussianBlur(face, (3, 3), 0),
    ],
    ids=["jpeg", "smaller", "light", "blur"],
)
def test_changed_picture_is_nearly_equal(change: Any) -> None:
    faces = [portrait(seed) for seed in range(20)]
    leaks = leaks_in([*faces, *(change(face) for face in faces)], ["training"] * 20 + ["testing"] * 20)
    assert list(leaks) == ["near"]
    assert leaks["near"].pairs == 20
    assert {(pair.earlier, pair.later) for pair in leaks["near"].listed} == {(i, i + 20) for i in range(20)}


def test_other_face_of_the_same_photo_is_found() -> None:
    leaks = leaks_in([portrait(0), portrait(1), portrait(0)], ["training", "testing", "testing"], photos=[7, 7, 7])
    assert leaks["photo"].pairs == 1
    assert leaks["copy"].pairs == 1  # which is the same photo, of course, and not counted again


def test_same_person_in_another_photo_is_found() -> None:
    faces = [portrait(seed) for seed in range(4)]
    split, persons = ["training", "training", "testing", "testing"], ["Ann_Lee", "Bo_Li", "Ann_Lee", ""]
    leaks = leaks_in(faces, split, persons=persons)
    assert list(leaks) == ["person"]
    assert [(pair.earlier, pair.later) for pair in leaks["person"].listed] == [(0, 2)]


def test_listing_is_capped_and_counting_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fer_edge_train.data.leaks, "LISTED", 5)
    faces = [portrait(seed % 40) for seed in range(120)]
    leak = leaks_in(faces, ["training", "training", "testing"] * 40)["copy"]
    assert len(leak.listed) == 5
    assert leak.faces == {"testing": 40}
    near = leaks_in(faces + [as_jpeg(face) for face in faces], ["training"] * 120 + ["testing"] * 120)["near"]
    assert (near.pairs, near.faces, len(near.listed)) == (40 * 9, {"testing": 120}, 5)


def random_hashes(n: int) -> Hashes:
    """Marks in families: each is 25 to 40 bits away from its parent."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, (n, 256)).astype(np.uint8)
    for row in range(n // 2, n):
        bits[row] = bits[row - n // 2]
        bits[row, rng.permutation(256)[: rng.integers(25, 41)]] ^= 1
    words = np.packbits(bits, axis=1).view(np.uint64)
    return np.column_stack([words, np.arange(n, dtype=np.uint64)])


@pytest.mark.parametrize("old_numpy", [False, True])
def test_search_in_blocks_finds_what_comparing_all_bits_finds(monkeypatch: pytest.MonkeyPatch, old_numpy: bool) -> None:
    monkeypatch.setattr(fer_edge_train.data.leaks, "PAIRS_AT_ONCE", 1000)
    if old_numpy:
        monkeypatch.delattr(np, "bitwise_count", raising=False)
    hashes = random_hashes(400)
    split: npt.NDArray[np.str_] = np.random.default_rng(4).choice(["training", "validation", "testing"], 400)
    order = {"training": 0, "validation": 1, "testing": 2}
    bits = np.unpackbits(np.ascontiguousarray(hashes[:, :4]).view(np.uint8), axis=1)
    expected = [
        int((bits[a] != bits[b]).sum())
        for a in range(400)
        for b in range(400)
        if order[str(split[a])] < order[str(split[b])] and (bits[a] != bits[b]).sum() <= NEAR_BITS
    ]
    (near,) = find_leaks(hashes, split, np.arange(400), np.full(400, ""))
    assert len(expected) > 20
    assert near.pairs == len(expected)
    assert near.listed[0].bits == min(expected)


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("images/Colin_Powell_0116.jpg", "Colin_Powell"),
        ("Dominique_de_Villepin_0001.jpg", "Dominique_de_Villepin"),
        ("img_0001.jpg", ""),
        ("DSC_0001.jpg", ""),
        ("angry_boy_12.jpg", ""),
        ("IMG_20200101_0001.jpg", ""),
        ("fer0000001.png", ""),
        (".png", ""),
    ],
)
def test_only_a_name_like_first_last_number_tells_a_person(name: str, person: str) -> None:
    assert persons_of(np.array([name, "other.png"]), np.array(["a", "b"]), {"format": "legend"}).tolist() == [
        person,
        "",
    ]


def test_word_that_most_files_begin_with_is_no_person() -> None:
    names = np.array([f"Test_Face_{i}.jpg" for i in range(8)] + ["Ann_Lee_1.jpg", "Ann_Lee_2.jpg"])
    assert persons_of(names, names, {}).tolist() == [""] * 8 + ["Ann_Lee"] * 2


def test_names_of_expw_tell_no_persons() -> None:
    names = np.array(["Angry_Boy_1.jpg", "Angry_Boy_2.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert persons_of(names, names, {"format": "expw"}).tolist() == [""] * 5


def people(root: Path, count: int = 120) -> Path:
    """A legend.csv data set of ten people and two classes."""
    return legend(
        root, [f"1,Person_{chr(65 + i % 10)}_{i:04}.jpg,{('anger', 'fear')[i // 10 % 2]}" for i in range(count)]
    )


def test_a_person_in_two_splits_is_one_line_that_says_what_to_type_and_group_person_mends_it(tmp_path: Path) -> None:
    root = people(tmp_path)
    warning = leak_warning(load_faces(root, size=48), ["my data"])
    assert warning is not None
    assert "of 24 testing faces 24 have one of the same person by file name in training or validation" in warning
    assert "\n" not in warning
    assert "--group person" in warning
    assert warning.endswith("see fer-edge prepare --check --data 'my data'")
    assert leak_warning(load_faces(root, size=48, settings=DataSettings(group="person")), ["my data"]) is None


def test_what_the_data_sets_own_splits_tear_cannot_be_mended_by_group(tmp_path: Path) -> None:
    for name in ("train/sad/a.png", "train/happy/b.png", "valid/sad/c.png"):
        write_picture(tmp_path / name, portrait(0 if "sad" in name else 1))
    warning = leak_warning(load_faces(tmp_path, size=48), ["data"])
    assert warning is not None
    assert warning.startswith("of 1 validation faces 1 has an equal one in training; ")
    assert "these are the data set's own splits, so --group cannot fix them" in warning


def test_set_that_tells_no_photos_is_searched_too() -> None:
    faces = np.stack([portrait(0), portrait(0), portrait(1)])
    split, names = np.array(["training", "testing", "testing"]), np.array(["a", "b", "c"])
    old = FaceSet(faces, np.eye(2, dtype=np.float32)[[0, 1, 1]], np.ones(3, bool), split, names, names, ("a", "b"))
    assert (leak_warning(old, ["old.npz"]) or "").startswith("of 2 testing faces 1 has an equal one")


def test_train_warns_in_one_line_before_it_starts(fer_edge: FerEdge, tmp_path: Path) -> None:
    faces = load_faces(people(tmp_path / "data"), size=48)
    faces.take(faces.split != "validation").save(tmp_path / "set.npz")  # which train refuses, right after
    arguments = ["train", "--data", str(tmp_path / "set.npz"), "--project", str(tmp_path / "runs")]
    result = fer_edge(*arguments)
    assert "has no validation face" in result.stderr
    lines = [line for line in result.stderr.splitlines() if "same person" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: of 24 testing faces 24 have one of the same person by file name in training")
    assert not (tmp_path / "runs").exists()


def test_check_finds_leaks_a_success_and_writes_nothing_unless_asked_to(fer_edge: FerEdge, tmp_path: Path) -> None:
    check = ("prepare", "--check", "--data", people(tmp_path / "data"))
    result = fer_edge(*check, "--json", code=0)
    report = json.loads(result.stdout)
    assert report["out"] is None
    assert report["leaks"]["person"]["faces"]["testing"] == 24
    assert set(report["leaks"]["person"]["listed"][0]) == {"earlier", "earlier_split", "later", "later_split", "bits"}
    assert "of 24 testing faces 24 have one of the same person" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]

    fer_edge(*check, "--out", tmp_path / "out", code=0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["leaks.png", "report.html", "report.json"]
    sheet = cv2.imread(str(tmp_path / "out/leaks.png"))
    assert sheet is not None
    assert sheet.shape == (40 + 4 * 110, 900, 3)


def test_check_of_data_without_leaks_leaves_no_sheet(fer_edge: FerEdge, tmp_path: Path) -> None:
    root, out = people(tmp_path / "data"), tmp_path / "out"
    fer_edge("prepare", "--check", "--data", root, "--group", "person", "--out", out, code=0)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    assert json.loads((out / "report.json").read_text())["leaks"] == {"near_bits": 32}


def test_check_sees_the_split_that_prepare_makes(fer_edge: FerEdge, tmp_path: Path) -> None:
    root = expw(tmp_path / "data", [f"{i}.png 0 10 10 50 50 60 {i % 2}" for i in range(20)])
    prepare(root, tmp_path / "set.npz", DataSettings(seed=5))
    of_set, of_data = (
        fer_edge("prepare", "--check", "--data", str(tmp_path / name), "--seed", "5", "--json")
        for name in ("set.npz", "data")
    )
    assert json.loads(of_set.stdout)["faces"] == json.loads(of_data.stdout)["faces"]


def test_check_never_touches_a_folder_that_is_there(fer_edge: FerEdge, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    root = class_folders(tmp_path / "data", {"happy": 2, "sad": 2})
    told = fer_edge("prepare", "--check", "--data", root, "--out", tmp_path / "out", code=1).stderr
    assert "already exists" in told


@pytest.mark.filterwarnings("error")
def test_sheet_draws_any_file_name() -> None:
    names = ("$_$", "a$^$", "two\nlines", "\x1b[31m", "bad \udcff byte", "x" * 300, "喜")
    pairs = [DrawnPair(portrait(0), portrait(1)[:20, :20], ("training:", name)) for name in names]
    sheet = cv2.imdecode(np.frombuffer(leak_sheet({"heading $x$": pairs}), np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    assert sheet.shape == (40 + 4 * 110, 900, 3)
    assert sheet.std() > 20
