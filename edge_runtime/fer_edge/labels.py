"""The eight expressions, their order, and synonyms in data sets."""

from collections.abc import Iterable

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""Class names in FER+'s column order (Barsoum et al. 2016), the output order of fer-edge's models."""

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
    """Map a data set's class name to one of `EXPRESSIONS`; None if there is no match.

    >>> fold(" HAPPINESS "), fold("angry"), fold("tongue")
    ('happiness', 'anger', None)
    """
    name = name.strip().lower()
    name = SYNONYMS.get(name, name)
    return name if name in EXPRESSIONS else None


def class_list(names: Iterable[str], known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the classes of a data set with labels `names`: the eight if all match, else its own, sorted.

    If all are in `known`, a model's classes, these are returned.

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
