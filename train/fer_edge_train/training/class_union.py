"""Several data sets at once: one list of classes, and what each data set can say about them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import Floats, summary
from fer_edge.files import sha256
from fer_edge.labels import EXPRESSIONS


def joined(sets: Sequence[FaceSet]) -> FaceSet:
    """Put data sets together; pictures and groups get the name of their data set in front.

    Args:
        sets: Faces of one size; a single data set stays as it is.

    Returns:
        All faces in the order of `sets`; their classes are in the order of the eight expressions, or as they come.
    """
    if len(sets) == 1:
        return sets[0]
    classes = _all_classes(sets)
    sets = [faces.with_classes(classes) for faces in sets]
    names = _different([str(faces.source.get("name", "set")) for faces in sets])
    return FaceSet(
        faces=np.concatenate([faces.faces for faces in sets]),
        votes=np.concatenate([faces.votes for faces in sets]),
        agreed=np.concatenate([faces.agreed for faces in sets]),
        split=np.concatenate([faces.split for faces in sets]),
        group=_below(names, [faces.group for faces in sets]),
        names=_below(names, [faces.names for faces in sets]),
        classes=classes,
        source=_source(names, [faces.source for faces in sets]),
        photos=_photos(sets),
    )


def asked_for(sets: Sequence[FaceSet]) -> list[npt.NDArray[np.bool_]]:
    """Tell for each data set which of the joined classes its people could choose: ExpW's knew no contempt.

    A class that none of its faces has, in any split, but a face of another data set has, was not asked for.

    Returns:
        (classes,) for each of `sets`, in the order of `joined`.
    """
    classes = _all_classes(sets)
    chosen = [faces.with_classes(classes).votes.sum(axis=0) > 0 for faces in sets]
    anywhere = np.any(chosen, axis=0)
    return [own | ~anywhere for own in chosen]


def by_data(faces: FaceSet, logits: Floats, temperature: float) -> dict[str, dict[str, Any]]:
    """Give the figures of each data set alone, by its name; a class that it lacks counts in none of the means.

    Args:
        faces: As `joined` puts them together, or some of them.
        logits: (n, classes).
        temperature: Divides the logits before the softmax.
    """
    names = np.array([name.partition("/")[0] for name in faces.names.tolist()])
    return {
        str(name): summary(logits[names == name], faces.labels[names == name], faces.classes, temperature)
        for name in np.unique(names)
    }


def _all_classes(sets: Sequence[FaceSet]) -> tuple[str, ...]:
    names = list(dict.fromkeys(name for faces in sets for name in faces.classes))
    known = tuple(name for name in EXPRESSIONS if name in names)
    return known + tuple(name for name in names if name not in EXPRESSIONS)


def _different(names: list[str]) -> list[str]:
    """Number names that come twice.

    >>> _different(["faces", "expw", "faces"])
    ['faces', 'expw', 'faces-2']
    """
    return [name if name not in names[:at] else f"{name}-{names[:at].count(name) + 1}" for at, name in enumerate(names)]


def _below(names: list[str], columns: list[npt.NDArray[np.str_]]) -> npt.NDArray[np.str_]:
    return np.array([f"{name}/{value}" for name, column in zip(names, columns, strict=True) for value in column])


def _photos(sets: Sequence[FaceSet]) -> npt.NDArray[np.uint64]:
    """Pictures that the faces were cut from; none where one data set does not tell."""
    if not all(faces.tells_photos for faces in sets):
        return np.zeros(0, np.uint64)
    return np.concatenate([faces.photos for faces in sets])


def _source(names: list[str], sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the faces came from, as of one data set; `sets` holds each data set's own."""
    first = sources[0]
    ways = {str(source.get("split")) for source in sources}
    return {
        "name": " + ".join(names),
        "format": "several",
        "digest": sha256("".join(str(source.get("digest")) for source in sources).encode()),
        "licence": "; ".join(dict.fromkeys(str(source.get("licence", "unknown")) for source in sources)),
        "seed": first.get("seed"),
        "split": first.get("split") if len(ways) == 1 else "own",
        "settings": first.get("settings", {}),
        "sets": sources,
    }
