"""Which held-out faces evaluate an export, and which fit its temperature: never the same."""

import numpy as np

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet, Protocol, drawing_order
from fer_edge.errors import DataError

LEAST_FITTING = 50
"""With fewer faces the temperature stays 1: what they say of it is mostly chance."""


def held_out(faces: FaceSet, protocol: Protocol) -> tuple[str, FaceSet]:
    """Choose the faces to judge on: the testing part if the set has one, else the validation part.

    Returns:
        The name of the part, and its faces under `protocol`.

    Raises:
        DataError: No face is left.
    """
    split = "testing" if (faces.split == "testing").any() else "validation"
    judged = faces.part(split).under(protocol)
    if len(judged) == 0:
        raise DataError(
            f"no {split} face to judge int8 on (protocol {protocol}); "
            "give a set with held-out faces: --data SET.npz, or --protocol all"
        )
    return split, judged


def fitting_faces(heldout: FaceSet, judged: FaceSet, split: str, protocol: Protocol) -> tuple[FaceSet, FaceSet]:
    """Choose the faces that fit the temperature; those that judge are never among them.

    Returns:
        The validation part, or, where it judges, half of its groups; and the faces that judge then. The former is empty
        where there are fewer than `LEAST_FITTING`.
    """
    if split == "testing":
        fitting = heldout.part("validation").under(protocol)
    else:
        names = np.unique(judged.group).tolist()
        half = {names[row] for row in drawing_order(names, seed=0)[: len(names) // 2].tolist()}
        fits = np.array([group in half for group in judged.group.tolist()], bool)
        fitting = judged.take(fits)
        if len(fitting) >= LEAST_FITTING:
            console.print(f"no testing face: {len(fitting):,} validation faces fit the temperature, the others judge")
            return fitting, judged.take(~fits)
    return (fitting if len(fitting) >= LEAST_FITTING else fitting.take(np.zeros(0, np.int64))), judged
