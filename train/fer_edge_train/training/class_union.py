"""Training on several data sets: the union of their classes, and which of them each data set annotates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import Floats, summary
from fer_edge.files import sha256
from fer_edge.labels import union


def joined(sets: Sequence[FaceSet], known: tuple[str, ...] = ()) -> FaceSet:
    """Concatenate data sets; names of pictures and groups are prefixed with the name of their data set.

    Args:
        sets: Faces of one size; a single data set is returned unchanged, but for the `known` classes.
        known: Classes of a run to resume, in its order.

    Returns:
        All faces in the order of `sets`; classes that mean the same are one (`fer_edge.labels.union`).
    """
    if len(sets) == 1:
        return sets[0].with_classes(known) if known else sets[0]
    classes = union((name for faces in sets for name in faces.classes), known)
    sets = [faces.with_classes(classes) for faces in sets]
    names = _unique_names([str(faces.source.get("name", "set")) for faces in sets])
    return FaceSet(
        faces=np.concatenate([faces.faces for faces in sets]),
        votes=np.concatenate([faces.votes for faces in sets]),
        agreed=np.concatenate([faces.agreed for faces in sets]),
        split=np.concatenate([faces.split for faces in sets]),
        group=_prefixed(names, [faces.group for faces in sets]),
        names=_prefixed(names, [faces.names for faces in sets]),
        classes=classes,
        source=_source(names, [faces.source for faces in sets]),
        photos=_photos(sets),
    )


def annotated_classes(sets: Sequence[FaceSet], classes: tuple[str, ...]) -> list[npt.NDArray[np.bool_]]:
    """Determine which of the joined `classes` each data set annotates: ExpW, for example, lacks contempt.

    A class with no face in a data set, in any split, but with one in another data set is not annotated.

    Returns:
        (classes,) for each of `sets`, in the order of `joined`.
    """
    present = [faces.with_classes(classes).votes.sum(axis=0) > 0 for faces in sets]
    anywhere = np.any(present, axis=0)
    return [own | ~anywhere for own in present]


def by_data(faces: FaceSet, logits: Floats, temperature: float) -> dict[str, dict[str, Any]]:
    """Compute the metrics of each data set, by its name; classes that it lacks are left out of the means.

    Args:
        faces: The result of `joined`, or some of its faces.
        logits: (n, classes).
        temperature: Divides the logits before the softmax.
    """
    names = np.array([name.partition("/")[0] for name in faces.names.tolist()])
    return {
        str(name): summary(logits[names == name], faces.labels[names == name], faces.classes, temperature)
        for name in np.unique(names)
    }


def _unique_names(names: list[str]) -> list[str]:
    """Number repeated names.

    >>> _unique_names(["faces", "expw", "faces"])
    ['faces', 'expw', 'faces-2']
    """
    return [name if name not in names[:at] else f"{name}-{names[:at].count(name) + 1}" for at, name in enumerate(names)]


def _prefixed(names: list[str], columns: list[npt.NDArray[np.str_]]) -> npt.NDArray[np.str_]:
    return np.array([f"{name}/{value}" for name, column in zip(names, columns, strict=True) for value in column])


def _photos(sets: Sequence[FaceSet]) -> npt.NDArray[np.uint64]:
    """Photo ids of all faces; empty if one data set has none."""
    if not all(faces.tells_photos for faces in sets):
        return np.zeros(0, np.uint64)
    return np.concatenate([faces.photos for faces in sets])


def _source(names: list[str], sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Provenance in the form of one data set's; `sets` holds that of each."""
    first = sources[0]
    splits = {str(source.get("split")) for source in sources}
    return {
        "name": " + ".join(names),
        "format": "several",
        "digest": sha256("".join(str(source.get("digest")) for source in sources).encode()),
        "licence": "; ".join(dict.fromkeys(str(source.get("licence", "unknown")) for source in sources)),
        "seed": first.get("seed"),
        "split": first.get("split") if len(splits) == 1 else "own",
        "settings": first.get("settings", {}),
        "sets": sources,
    }
