"""The eight expressions, their order, and the other names that data sets have for them."""

from collections.abc import Iterable

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""Class names in FER+'s column order (Barsoum et al. 2016), which is our output order."""

SYNONYMS = {
    "neutrality": "neutral",
    "calm": "neutral",
    "happy": "happiness",
    "joy": "happiness",
    "surprised": "surprise",
    "sad": "sadness",
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "contemptuous": "contempt",
}


def fold(name: str) -> str | None:
    """Fold a data set's class name onto one of `EXPRESSIONS`, or None where it is none of them.

    >>> fold(" HAPPINESS "), fold("angry"), fold("tongue")
    ('happiness', 'anger', None)
    """
    name = name.strip().lower()
    name = SYNONYMS.get(name, name)
    return name if name in EXPRESSIONS else None


def class_list(names: Iterable[str], known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Name the classes of a data set whose labels are `names`: the eight, or, if one does not fold, its own, sorted.

    Those that are `known`, to a model, stay as they are.

    >>> class_list(["Happy", "sad"]) == EXPRESSIONS
    True
    >>> class_list(["smile", "frown"])
    ('frown', 'smile')
    >>> class_list(["happy"], known=("happy", "tongue"))
    ('happy', 'tongue')
    """
    own = {name.strip() for name in names}
    if own <= set(known):
        return known
    return EXPRESSIONS if all(fold(name) for name in own) else tuple(sorted(own))
