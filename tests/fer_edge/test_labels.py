import pytest

from fer_edge.labels import EXPRESSIONS, SYNONYMS, class_list, fold


def test_expressions_keep_the_column_order_of_ferplus() -> None:
    assert EXPRESSIONS == ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HAPPINESS", "happiness"),  # legend.csv
        ("angry", "anger"),  # ExpW
        (" sad\n", "sadness"),
        ("tongue", None),
        ("", None),
    ],
)
def test_names_fold_onto_the_eight(name: str, expected: str | None) -> None:
    assert fold(name) == expected


def test_every_synonym_leads_to_an_expression() -> None:
    assert set(SYNONYMS.values()) <= set(EXPRESSIONS)


def test_strange_name_keeps_the_others_folded() -> None:
    assert class_list(["smile", "happy", "frown"]) == ("happiness", "frown", "smile")


def test_names_that_a_model_knows_are_not_folded() -> None:
    known = ("calm", "happy", "neutral", "tongue")

    assert class_list(["happy", "calm"], known) == known
    assert class_list(["happiness", "fearful"], known) == (*known, "fear")
