"""Several data sets at once: one list of classes, and what each data set can say about them."""

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.labels import EXPRESSIONS
from fer_edge_train.training.class_union import annotated_classes, joined


def face_set(name: str, labels: list[str], classes: tuple[str, ...], *, photos: bool = True) -> FaceSet:
    n = len(labels)
    return FaceSet(
        faces=np.zeros((n, 8, 8), np.uint8),
        votes=np.eye(len(classes), dtype=np.float32)[[classes.index(label) for label in labels]],
        agreed=np.ones(n, bool),
        split=np.array(["training"] * (n - 1) + ["testing"]),
        group=np.array([f"{row}.jpg" for row in range(n)]),
        names=np.array([f"{row}.jpg" for row in range(n)]),
        classes=classes,
        source={"name": name, "digest": f"digest of {name}", "licence": f"terms of {name}", "split": 0.2},
        photos=np.arange(n, dtype=np.uint64) if photos else np.zeros(0, np.uint64),
    )


def test_one_data_set_stays_as_it_is() -> None:
    alone = face_set("a", ["smile", "frown"], ("frown", "smile"))
    assert joined([alone]) is alone
    assert [row.tolist() for row in annotated_classes([alone], alone.classes)] == [[True, True]]


def test_pictures_of_the_same_name_in_two_data_sets_stay_two() -> None:
    both = joined([face_set("a", ["smile"] * 2, ("smile",)), face_set("b", ["smile"] * 2, ("smile",))])
    assert both.names.tolist() == ["a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"]
    assert both.group.tolist() == both.names.tolist()


def test_two_folders_of_the_same_name_are_told_apart() -> None:
    both = joined([face_set("faces", ["smile"], ("smile",)), face_set("faces", ["smile"], ("smile",))])
    assert both.names.tolist() == ["faces/0.jpg", "faces-2/0.jpg"]
    assert both.source["name"] == "faces + faces-2"


def test_votes_follow_their_class_into_the_common_order() -> None:
    both = joined([face_set("a", ["smile"], ("smile",)), face_set("b", ["frown", "smile"], ("frown", "smile"))])
    assert both.classes == ("smile", "frown")
    assert both.votes.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_names_that_mean_the_same_are_one_class_in_the_order_of_the_run_to_resume() -> None:
    sets = [
        face_set("a", ["Happy", "wink"], ("Happy", "wink")),
        face_set("b", ["happiness", "Wink"], ("happiness", "Wink")),
    ]
    assert joined(sets).classes == ("happiness", "wink")
    both = joined(sets, ("wink", "happy"))
    assert both.classes == ("wink", "happy")
    assert both.labels.tolist() == [1, 0, 1, 0]
    assert joined(sets[:1], ("wink", "happy")).labels.tolist() == [1, 0]


def test_expressions_keep_their_order_before_own_classes() -> None:
    both = joined([face_set("a", ["tongue"], ("tongue",)), face_set("b", ["fear"], EXPRESSIONS)])
    assert both.classes == (*EXPRESSIONS, "tongue")


def test_a_class_that_one_data_set_never_uses_and_another_does_was_not_asked_for() -> None:
    without = face_set("expw", ["neutral", "fear"], EXPRESSIONS)
    with_contempt = face_set("legend", ["contempt", "fear"], EXPRESSIONS)
    expw, legend = annotated_classes([without, with_contempt], EXPRESSIONS)
    assert not expw[EXPRESSIONS.index("contempt")]
    assert expw[EXPRESSIONS.index("neutral")]
    assert not legend[EXPRESSIONS.index("neutral")]


def test_an_unused_class_counts_as_annotated_everywhere() -> None:
    expw, legend = annotated_classes([face_set(name, ["fear"], EXPRESSIONS) for name in "ab"], EXPRESSIONS)
    assert expw.all()
    assert legend.all()


def test_where_the_faces_came_from_names_every_data_set_and_its_terms() -> None:
    sets = [face_set("a", ["smile"], ("smile",)), face_set("b", ["smile"], ("smile",))]
    source = joined(sets).source
    assert source["name"] == "a + b"
    assert source["licence"] == "terms of a; terms of b"
    assert source["sets"] == [faces.source for faces in sets]
    assert source["digest"] != joined(sets[::-1]).source["digest"]


@pytest.mark.parametrize(("second", "told"), [(True, 4), (False, 0)])
def test_pictures_are_known_only_where_every_data_set_tells_them(second: bool, told: int) -> None:
    sets = [face_set("a", ["smile"] * 2, ("smile",)), face_set("b", ["smile"] * 2, ("smile",), photos=second)]
    assert len(joined(sets).photos) == told
