import numpy as np
import numpy.typing as npt
import pandas as pd

from fer_edge_train.data.settings import DataSettings
from fer_edge_train.data.split import assign, draw, groups_in_several_splits, split_warnings

Labels = npt.NDArray[np.str_]


def faces(counts: dict[str, int]) -> tuple[Labels, Labels]:
    """Labels, and a group of its own for each face."""
    labels = np.repeat(list(counts), list(counts.values()))
    return labels, np.array([f"photo{i:05}" for i in range(len(labels))])


def test_no_face_is_no_draw() -> None:
    assert draw(np.array([], str), np.array([], str), 0.2, 0).tolist() == []


def test_every_class_has_its_share() -> None:
    labels, groups = faces({"anger": 100, "fear": 50, "neutral": 850})
    drawn = draw(labels, groups, 0.2, 0)
    assert {name: int(drawn[labels == name].sum()) for name in ("anger", "fear", "neutral")} == {
        "anger": 20,
        "fear": 10,
        "neutral": 170,
    }


def test_the_split_has_its_share_where_classes_do_not_divide() -> None:
    labels, groups = faces(dict.fromkeys("abcdefgh", 13))
    assert draw(labels, groups, 0.2, 0).sum() == 21  # of 104


def test_rare_class_still_has_a_testing_face() -> None:
    labels, groups = faces({"contempt": 2, "neutral": 998})
    drawn = draw(labels, groups, 0.2, 0)
    assert drawn[labels == "contempt"].sum() == 1


def test_class_of_one_group_stays_in_training() -> None:
    labels = np.array(["contempt"] * 7 + ["neutral"] * 93)
    groups = np.array(["one person"] * 7 + [f"photo{i}" for i in range(93)])
    assert not draw(labels, groups, 0.2, 0)[labels == "contempt"].any()


def test_groups_are_never_torn() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(["anger", "fear", "neutral"], 2000)
    groups = np.char.add("person", rng.integers(0, 150, 2000).astype(str))
    drawn = draw(labels, groups, 0.2, 0)
    assert groups_in_several_splits(groups, np.where(drawn, "testing", "training")) == 0
    assert 380 <= drawn.sum() <= 400


def test_large_group_leaves_a_class_with_a_face_on_either_side() -> None:
    labels = np.array(["fear"] * 40)
    groups = np.array(["a"] * 20 + ["b"] * 20)  # a fifth is 8 faces, but no group is that small
    assert draw(labels, groups, 0.2, 0).sum() == 20


def test_same_seed_draws_the_same_faces_in_any_order() -> None:
    labels, groups = faces({"anger": 30, "neutral": 70})
    order = np.random.default_rng(5).permutation(100)
    drawn = draw(labels, groups, 0.2, 3)
    assert (draw(labels[order], groups[order], 0.2, 3) == drawn[order]).all()
    assert (draw(labels, groups, 0.2, 4) != drawn).any()


def test_draw_is_the_same_on_every_machine() -> None:
    labels, groups = faces({"neutral": 20})
    assert np.flatnonzero(draw(labels, groups, 0.2, 0)).tolist() == [4, 5, 10, 11]


def rows(labels: Labels, groups: Labels, split: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"label": labels, "group": groups, "split": split})


def test_validation_is_a_tenth_of_the_training_faces() -> None:
    labels, groups = faces({"anger": 500, "neutral": 500})
    split = assign(rows(labels, groups, [""] * 1000), DataSettings())
    names, counts = np.unique(split, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "testing": 200,
        "training": 720,
        "validation": 80,
    }


def test_splits_that_the_data_brings_stay() -> None:
    labels, groups = faces({"neutral": 4})
    brought = ["training", "training", "validation", "testing"]
    assert assign(rows(labels, groups, brought), DataSettings()).tolist() == brought


def test_validation_is_drawn_from_training_where_only_testing_is_brought() -> None:
    labels, groups = faces({"neutral": 40})
    split = assign(rows(labels, groups, ["training"] * 30 + ["testing"] * 10), DataSettings())
    assert split[30:].tolist() == ["testing"] * 10
    assert (split[:30] == "validation").sum() == 3


def test_no_testing_is_drawn_where_training_and_validation_are_brought() -> None:
    labels, groups = faces({"neutral": 4})
    brought = ["training", "training", "training", "validation"]
    assert "testing" not in assign(rows(labels, groups, brought), DataSettings())


def told(labels: list[str], groups: list[str], settings: DataSettings, brought: list[str] | None = None) -> list[str]:
    table = rows(np.array(labels), np.array(groups), brought or [""] * len(labels))
    table["picture"] = [f"{i}.jpg" for i in range(len(labels))]
    return split_warnings(table, assign(table, settings), settings)


def test_good_split_raises_no_doubt() -> None:
    labels, groups = faces({"anger": 20, "neutral": 40})
    assert told(labels.tolist(), groups.tolist(), DataSettings()) == []


def test_split_that_stays_empty_is_told() -> None:
    assert told(["anger"] * 9, ["one photo"] * 9, DataSettings()) == [
        "no validation face: all faces of a class are of one photo, and are kept together",
        "no testing face: all faces of a class are of one photo, and are kept together",
    ]


def test_class_that_a_split_lacks_is_told() -> None:
    labels, groups = faces({"fear": 1, "contempt": 2, "neutral": 40})
    assert told(labels.tolist(), groups.tolist(), DataSettings()) == [
        "no validation face of contempt, fear: their recall cannot be measured",
        "no testing face of fear: their recall cannot be measured",
    ]


def test_splits_that_the_data_brings_need_not_be_all_three() -> None:
    labels = ["anger", "neutral"] * 20
    groups = [f"photo{i}" for i in range(40)]
    assert told(labels, groups, DataSettings(), ["training"] * 20 + ["validation"] * 20) == []
    assert told(labels, groups, DataSettings(), ["testing"] * 40) == []
    assert told([*labels, "fear"], [*groups, "x"], DataSettings(), ["training"] * 20 + ["testing"] * 21)[0] == (
        "no training face of fear: they cannot be learned"
    )
