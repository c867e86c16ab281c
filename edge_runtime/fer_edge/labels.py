"""The eight expressions, their order, and synonyms in data sets."""

import difflib
import unicodedata
from collections.abc import Iterable

from fer_edge.errors import DataError

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


def clean(name: str) -> str:
    """Normalise a class name: Unicode NFC, single spaces, no invisible characters (Unicode category Cf).

    >>> clean(" very\u00a0angry "), clean("zero\u200bwidth"), len(clean("cole\u0300re"))
    ('very angry', 'zerowidth', 6)

    Raises:
        DataError: Nothing is left of it, or it has characters that cannot be printed: a model file holds none.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    name = "".join(character for character in name if unicodedata.category(character) != "Cf")
    if not name or not name.isprintable():
        raise DataError(f"class name {name!r}: empty, or with characters that cannot be printed; rename it")
    return name


def fold(name: str) -> str | None:
    """Map a data set's class name to one of `EXPRESSIONS`; None if there is no match.

    >>> fold(" HAPPINESS "), fold("angry"), fold("tongue")
    ('happiness', 'anger', None)
    """
    name = name.strip().lower()
    name = SYNONYMS.get(name, name)
    return name if name in EXPRESSIONS else None


def match(name: str, classes: Iterable[str]) -> str | None:
    """Find the one of `classes` that `name` means: equal but for case, Unicode form and synonyms.

    >>> match("Happy", ("happiness", "Tongue")), match("tongue", ("happiness", "Tongue")), match("wink", ("Tongue",))
    ('happiness', 'Tongue', None)
    """
    wanted = _key(name)
    return next((label for label in classes if _key(label) == wanted), None)


def union(names: Iterable[str], known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Join class names that may mean the same, each folded by itself: `known`, the eight, then others as they come.

    >>> union(["Happy", "smirk", "SMIRK", "happiness", "neutral"])
    ('neutral', 'happiness', 'smirk')
    >>> union(["happiness", "wink"], known=("happy", "tongue"))
    ('happy', 'tongue', 'wink')
    """
    classes = list(known)
    for name in map(clean, names):
        if match(name, classes) is None:
            classes.append(fold(name) or name)
    own = classes[len(known) :]
    return (*known, *(name for name in EXPRESSIONS if name in own), *(name for name in own if name not in EXPRESSIONS))


def class_list(names: Iterable[str], known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Name the classes of a data set whose labels are `names`: the eight, or, if one does not fold, those it has.

    Names that a model knows are as in `known`.

    >>> class_list(["Happy", "sad"]) == EXPRESSIONS
    True
    >>> class_list(["smile", "frown", "Happy"])
    ('happiness', 'frown', 'smile')
    """
    names = sorted(set(names))
    if not known and all(fold(clean(name)) for name in names):
        return EXPRESSIONS
    return union(names, known)


def suggestion(name: str) -> str | None:
    """Find the expression of which `name` may be a misspelling, or None.

    >>> suggestion("Suprise"), suggestion("happyness"), suggestion("smile"), suggestion("happy")
    ('surprise', 'happiness', None, None)
    """
    if fold(name):
        return None
    close = difflib.get_close_matches(name.strip().lower(), [*EXPRESSIONS, *SYNONYMS], n=1, cutoff=0.8)
    return fold(close[0]) if close else None


def _key(name: str) -> str:
    name = clean(name)
    return fold(name) or name.casefold()
