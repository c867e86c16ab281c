import re
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EXPRESSIONS
from fer_edge_train.data.persons import person_of
from fer_edge_train.data.readers import read_table
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.table import COLUMNS, Skipped
from fer_edge_train.prepare.prepare import load_faces
from support.tiny_data_sets import (
    class_folders,
    expressions,
    expw,
    ferplus,
    legend,
    picture,
    write_picture,
    write_pictures,
)

ANY = DataSettings()


def skipped(root: Path) -> list[tuple[str, str]]:
    return [(row.origin, row.reason) for row in read_table(root, ANY).skipped]


def test_expw_box_order_is_top_left_right_bottom(tmp_path: Path) -> None:
    table = read_table(expw(tmp_path, ["a.jpg 0 5 10 30 45 50.5 3"]), ANY)
    row = table.rows.iloc[0]
    assert (row["x"], row["y"], row["w"], row["h"]) == (10, 5, 20, 40)
    assert (row["label"], row["confidence"], row["picture"], row["group"]) == (
        "happiness",
        50.5,
        "origin/a.jpg",
        "origin/a.jpg",
    )
    assert row["origin"] == "label.lst:1"
    assert table.format == "expw"
    assert table.licence == "non-commercial research (ExpW)"


def test_expw_numbers_name_their_classes(tmp_path: Path) -> None:
    rows = [f"{number}.jpg 0 0 0 40 40 50 {number}" for number in range(7)]
    table = read_table(expw(tmp_path, rows), ANY)
    assert list(table.rows["label"]) == ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]


def test_expw_name_may_hold_spaces(tmp_path: Path) -> None:
    (tmp_path / "label.lst").write_text("an angry man.jpg 0 0 0 40 40 50 0\n")
    assert list(read_table(tmp_path, ANY).rows["picture"]) == ["origin/an angry man.jpg"]


def test_expw_faces_below_min_confidence_are_dropped_and_counted(tmp_path: Path) -> None:
    root = expw(tmp_path, ["a.jpg 0 0 0 40 40 4.9 0", "b.jpg 0 0 0 40 40 5 0", "c.jpg 0 0 0 40 40 60 0"])
    assert read_table(root, ANY).dropped == 1
    assert list(read_table(root, ANY).rows["confidence"]) == [5, 60]
    assert read_table(root, DataSettings(min_box_confidence=60)).dropped == 2


def test_expw_holds_no_persons_but_those_of_a_pattern(tmp_path: Path) -> None:
    root = expw(tmp_path, ["angry_1.jpg 0 0 0 40 40 50 0"])
    with pytest.raises(UsageError, match=r"ExpW's file names hold no persons; leave it out, or give --person-pattern"):
        read_table(root, DataSettings(group="person"))
    table = read_table(root, DataSettings(group="person", person_pattern=r"/([a-z]+)_"))
    assert list(table.rows["group"]) == ["angry"]


def test_legend_folds_case_and_synonyms(tmp_path: Path) -> None:
    table = read_table(legend(tmp_path, ["1,a.jpg,HAPPINESS", "1,b.jpg,happiness", "1,c.jpg, Sad "]), ANY)
    assert list(table.rows["label"]) == ["happiness", "happiness", "sadness"]
    assert table.classes == EXPRESSIONS


def test_legend_picture_listed_twice_with_one_label_counts_once(tmp_path: Path) -> None:
    table = read_table(legend(tmp_path, ["1,a.jpg,ANGER", "2,a.jpg,anger"]), ANY)
    assert list(table.rows["picture"]) == ["images/a.jpg"]
    assert table.skipped == (
        Skipped("data/legend.csv:3", "images/a.jpg is listed already, with the same label, in line 2", "repeated"),
    )


def test_legend_picture_with_contradictory_labels_is_left_out(tmp_path: Path) -> None:
    table = read_table(legend(tmp_path, ["1,a.jpg,anger", "1,b.jpg,fear", "2,a.jpg,disgust"]), ANY)
    reason = "images/a.jpg has contradictory labels (anger in line 2, disgust in line 4)"
    assert list(table.rows["picture"]) == ["images/b.jpg"]
    assert table.skipped == (
        Skipped("data/legend.csv:2", reason, "contradictory"),
        Skipped("data/legend.csv:4", reason, "contradictory"),
    )


def test_ferplus_keeps_the_raw_votes_of_the_eight_emotions(tmp_path: Path) -> None:
    faces = load_faces(ferplus(tmp_path, {"FER2013Train": ["4,0,0,1,3,2,0,0,1,0"]}), size=48)
    assert faces.votes.tolist() == [[4, 0, 0, 1, 3, 2, 0, 0]]
    assert faces.classes == EXPRESSIONS


@pytest.mark.parametrize(
    ("votes", "agreed"),
    [
        ("6,0,1,1,0,0,0,0,2,0", True),  # 6 of 8 once single votes are dropped
        ("4,0,0,1,3,2,0,0,0,0", False),  # 4 of 9
        ("5,5,0,0,0,0,0,0,0,0", False),  # exactly half is not more than half
        ("2,0,0,0,0,0,0,0,8,0", False),  # most say unknown
        ("1,1,1,1,1,1,1,1,1,1", False),  # nothing remains
    ],
)
def test_ferplus_majority_protocol(tmp_path: Path, votes: str, agreed: bool) -> None:
    table = read_table(ferplus(tmp_path, {"FER2013Train": [votes]}), ANY)
    assert list(table.rows["agreed"]) == [agreed]


def test_ferplus_folders_are_its_splits(tmp_path: Path) -> None:
    votes = ["9,1,0,0,0,0,0,0,0,0"]
    root = ferplus(tmp_path, {"FER2013Train": votes * 20, "FER2013Valid": votes, "FER2013Test": votes * 2})
    faces = load_faces(root, size=48)
    assert [len(faces.part(split)) for split in ("training", "validation", "testing")] == [20, 1, 2]


def test_ferplus_bad_rows_are_listed_with_file_and_line(tmp_path: Path) -> None:
    rows = ["9,1,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,10,0", "9,1,0"]
    no_votes = [f"{votes},1,0,0,0,0,0,0,0,0" for votes in ("x", "9" * 400, "9" * 12, "-1", "1e3", "nan")]
    assert skipped(ferplus(tmp_path, {"FER2013Train": [*rows, *no_votes]})) == [
        ("data/FER2013Train/label.csv:2", "no vote for one of the eight emotions"),
        ("data/FER2013Train/label.csv:3", "too few columns: 3 votes instead of 10"),
        *((f"data/FER2013Train/label.csv:{line}", "votes are not whole numbers") for line in range(4, 10)),
    ]


def write_fer2013(root: Path) -> None:
    pixels = [" ".join([str(value)] * 48**2) for value in (10, 20, 30)]
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = [f"0,{text},{usage}" for text, usage in zip(pixels, usages, strict=True)]
    (root / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines, "0,1 2 3,Training", ""]))
    heading = f"Usage,Image name,{','.join(EXPRESSIONS)},unknown,NF"
    rows = [f"{usage},fer000000{i}.png,0,0,0,0,9,1,0,0,0,0" for i, usage in enumerate(usages)]
    rows += ["Training,,0,0,0,0,0,0,0,0,0,10", "Training,fer0000003.png,0,0,0,0,9,1,0,0,0,0"]
    (root / "fer2013new.csv").write_text("\n".join([heading, *rows, ""]))


def test_ferplus_reads_pixels_from_fer2013_csv(tmp_path: Path) -> None:
    write_fer2013(tmp_path)
    faces = load_faces(tmp_path, size=48)
    assert list(zip(faces.names, faces.split, faces.faces[:, 0, 0].tolist(), strict=True)) == [
        ("fer0000000.png", "training", 10),
        ("fer0000001.png", "validation", 20),
        ("fer0000002.png", "testing", 30),
    ]
    assert skipped(tmp_path) == [
        ("fer2013.csv:5", "pixels are not 48x48 values from 0 to 255"),
        ("fer2013new.csv:5", "fer2013.csv has no Training picture (no name)"),
        ("fer2013new.csv:6", "fer2013.csv has no Training picture fer0000003.png"),
    ]


def test_label_csv_goes_before_fer2013new_csv(tmp_path: Path) -> None:
    write_fer2013(tmp_path)
    table = read_table(ferplus(tmp_path, {"FER2013Train": ["9,1,0,0,0,0,0,0,0,0"]}), ANY)
    assert list(table.rows["label"]) == ["neutral"]


def test_class_folders_fold_their_names(tmp_path: Path) -> None:
    table = read_table(class_folders(tmp_path, {"Happy": 1, "sad": 2}), ANY)
    assert table.classes == EXPRESSIONS
    assert list(table.rows["label"]) == ["happiness", "sadness", "sadness"]
    assert list(table.rows["split"]) == ["", "", ""]


def test_class_names_are_folded_one_by_one(tmp_path: Path) -> None:
    table = read_table(class_folders(tmp_path, {"train/Suprise": 1, "train/Happy": 1, "test/happy": 1}), ANY)
    assert table.classes == ("happiness", "Suprise")
    assert list(table.rows["label"]) == ["happiness", "happiness", "Suprise"]


def test_class_names_that_differ_in_case_and_unicode_form_only_are_one_class(tmp_path: Path) -> None:
    nfc, nfd = "col\u00e8re", "cole\u0300re"
    folders = {f"train/{nfd}": 1, f"test/{nfc}": 1, "train/Wink": 1, "test/wi\u200bnk": 1}
    table = read_table(class_folders(tmp_path, folders), ANY)
    assert table.classes == ("Wink", nfc)
    assert sorted(table.rows["label"]) == ["Wink", "Wink", nfc, nfc]


def test_class_name_that_no_model_file_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"class name '\\x07': empty, or with characters that cannot be printed; rename"
    ):
        read_table(class_folders(tmp_path, {"\a": 1, "sad": 1}), ANY)


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("training", "training"),
        ("Train", "training"),
        ("val", "validation"),
        ("valid", "validation"),
        ("validation", "validation"),
        ("test", "testing"),
        ("testing", "testing"),
        ("PublicTest", "validation"),
        ("PrivateTest", "testing"),
        ("dev", "validation"),
    ],
)
def test_folder_above_the_classes_names_the_split(tmp_path: Path, folder: str, split: str) -> None:
    table = read_table(class_folders(tmp_path, {f"{folder}/sad": 1, f"{folder}/happy": 1}), ANY)
    assert list(table.rows["split"]) == [split, split]


def test_hidden_and_other_files_are_no_pictures(tmp_path: Path) -> None:
    root = class_folders(tmp_path, {"happy": 1, "sad": 1, ".cache/sad": 1})
    (root / "sad/notes.txt").write_text("no picture")
    (root / "sad/._sad0.jpg").write_text("no picture")
    assert len(read_table(root, ANY).rows) == 2


def test_table_has_the_same_columns_for_every_layout(tmp_path: Path) -> None:
    votes = [f"votes.{name}" for name in EXPRESSIONS]
    roots = [
        expw(tmp_path / "expw", ["a.jpg 0 5 10 30 45 50.5 3"]),
        legend(tmp_path / "legend", ["1,a.jpg,anger"]),
        class_folders(tmp_path / "folders", {"happy": 1, "sad": 1}),
    ]
    assert [list(read_table(root, ANY).rows) for root in roots] == [list(COLUMNS)] * 3
    root = ferplus(tmp_path / "ferplus", {"FER2013Train": ["9,1,0,0,0,0,0,0,0,0"]})
    assert list(read_table(root, ANY).rows) == [*COLUMNS, *votes]


def test_unknown_layout_names_all(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["loose.jpg", "one/deeper/a.jpg"])
    with pytest.raises(DataError) as error:
        read_table(tmp_path, ANY)
    assert all(name in str(error.value) for name in ("expw", "legend", "ferplus", "fer2013", "folders"))


def test_subfolders_of_a_class_are_read(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["smile/anna/1.jpg", "smile/ben/2021/2.jpg", "frown/3.jpg"])
    (tmp_path / "smile/again").symlink_to(tmp_path, target_is_directory=True)
    assert read_table(tmp_path, ANY).rows["label"].tolist() == ["frown", "smile", "smile"]


@pytest.mark.parametrize("parts", [("train/happy", "train/sad", "test/sad"), ("happy", "sad")])
def test_folder_above_a_data_set_says_what_to_type(tmp_path: Path, parts: tuple[str, ...]) -> None:
    class_folders(tmp_path / "my data", dict.fromkeys(parts, 1))
    write_picture(tmp_path / "cover.jpg", picture(0))
    with pytest.raises(DataError, match=re.escape(f"holds 1 data set; give one: --data '{tmp_path / 'my data'}'")):
        read_table(tmp_path, ANY)


@pytest.mark.parametrize("above", [".", ".."])
def test_folders_of_data_sets_are_not_taken_for_classes(tmp_path: Path, above: str) -> None:
    root = tmp_path / "downloads" / "expw"
    expw(root, ["1.jpg 0 5 5 55 55 50.0 3"])
    write_pictures(tmp_path / "downloads" / "other", ["1.jpg"])

    with pytest.raises(DataError, match=re.escape(f"holds 1 data set; give one: --data {root}")):
        read_table((root.parent / above).resolve(), ANY)


def test_data_set_among_class_folders_is_listed_picture_by_picture(tmp_path: Path) -> None:
    class_folders(tmp_path, {"smile": 1, "frown": 1, "kaggle/train/happy": 2, "kaggle/test/sad": 1})
    reason = f"is in a data set of its own; read it with --data {tmp_path / 'kaggle'}"
    assert [why for _, why in skipped(tmp_path)] == [reason] * 3
    assert read_table(tmp_path, ANY).classes == ("frown", "smile")


PIXELS = " ".join(["7"] * 48 * 48)


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("fer2013.csv", "emotion,pixels,Usage", "{0},{1},{2}"),
        ("icml_face_data.csv", "emotion, Usage, pixels", "{0}, {2}, {1}"),
        ("fer2013.csv", '"emotion","pixels","Usage"', '"{0}","{1}","{2}"'),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_fer2013_alone_is_read(tmp_path: Path, name: str, header: str, row: str, as_file: bool) -> None:
    rows = [(3, PIXELS, "Training"), (6, PIXELS, "PublicTest"), (0, PIXELS, "PrivateTest"), (7, PIXELS, "Training")]
    rows += [(1, "7 7", "Training"), (1, PIXELS, "Holdout")]
    (tmp_path / name).write_text("\n".join([header, *(row.format(*values) for values in rows)]))
    table = read_table(tmp_path / name if as_file else tmp_path, ANY)
    assert table.format == "fer2013"
    assert table.rows["label"].tolist() == ["happiness", "neutral", "anger"]
    assert table.rows["split"].tolist() == ["training", "validation", "testing"]
    assert [(row.origin, row.reason) for row in table.skipped] == [
        (f"{name}:5", "unknown emotion '7'; FER2013 has 0 to 6"),
        (f"{name}:6", "pixels are not 48x48 values from 0 to 255"),
        (f"{name}:7", "unknown Usage 'Holdout'; FER2013 has Training, PublicTest, PrivateTest"),
    ]
    assert load_faces(tmp_path, size=48).faces[0].tolist() == [[7] * 48] * 48


def test_fer2013_without_usage_has_no_splits(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f"emotion,pixels\n3,{PIXELS}\n")
    assert read_table(tmp_path, ANY).rows["split"].tolist() == [""]


def test_format_overrides_what_is_recognised(tmp_path: Path) -> None:
    root = class_folders(legend(tmp_path, ["1,a.jpg,anger"]), {"happy": 1, "sad": 1})
    assert read_table(root, ANY).format == "legend"
    assert read_table(root, DataSettings(format="folders")).format == "folders"


def test_format_of_a_layout_that_is_not_there_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label\.lst: No such file"):
        read_table(tmp_path, DataSettings(format="expw"))


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("images/Colin_Powell_0116.jpg", "Colin_Powell"),
        ("images/Dileep_48.jpg", "Dileep"),
        ("fear/S010_004_00000017.png", "S010"),
        ("KA.AN1.39.tiff", "KA"),
        ("AF01ANS.JPG", "F01"),
        ("BM35SAFL.JPG", "M35"),
        ("Rafd090_01_Caucasian_female_angry_frontal.jpg", "01"),
        ("1001_DFA_ANG_XX_frame7.jpg", "1001"),
        ("images/facial-expressions_2868588k.jpg", None),
    ],
)
def test_person_is_read_from_the_names_of_known_data_sets(name: str, person: str | None) -> None:
    assert person_of(name) == person


def test_picture_without_a_person_is_a_person_of_its_own(tmp_path: Path) -> None:
    root = legend(tmp_path, ["1,S010_004_00000017.jpg,fear", "1,S010_005_00000001.jpg,fear", "1,x.jpg,fear"])
    table = read_table(root, DataSettings(group="person"))
    assert table.rows["group"].tolist() == ["S010", "S010", "images/x.jpg"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "'(': missing ), unterminated subpattern"), ("anna", "'anna' has no group; give a regular expression")],
)
def test_bad_person_pattern_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    root = legend(tmp_path, expressions(1))
    with pytest.raises(UsageError, match=re.escape(message)):
        read_table(root, DataSettings(group="person", person_pattern=pattern))
    with pytest.raises(UsageError, match="--person-pattern needs --group person"):
        read_table(root, DataSettings(person_pattern="(a)"))


def test_licence_is_the_first_line_of_the_licence_file(tmp_path: Path) -> None:
    root = legend(tmp_path, expressions(1))
    assert read_table(root, ANY).licence == "unknown"
    (root / "LICENSE").write_text("\n   Apache License\n  Version 2.0\n")
    assert read_table(root, ANY).licence == "Apache License"


def test_one_label_is_one_vote(tmp_path: Path) -> None:
    votes = read_table(legend(tmp_path, ["1,a.jpg,surprise"]), ANY).votes
    assert votes.dtype == np.float32
    assert votes.tolist() == [[0, 0, 1, 0, 0, 0, 0, 0]]


def test_one_class_folder_is_read_if_it_is_named_like_an_expression(tmp_path: Path) -> None:
    table = read_table(class_folders(tmp_path / "one", {"test/Happy": 2}), ANY)
    assert list(table.rows["label"]) == ["happiness", "happiness"]
    with pytest.raises(DataError, match="unknown data set layout"):
        read_table(class_folders(tmp_path / "holidays", {"beach": 2}), ANY)


def test_class_folders_with_names_that_a_model_knows_keep_them(tmp_path: Path) -> None:
    table = read_table(class_folders(tmp_path, {"happy": 1, "calm": 1}), ANY, known=("calm", "happy", "tongue"))
    assert table.classes == ("calm", "happy", "tongue")
    assert list(table.rows["label"]) == ["calm", "happy"]
