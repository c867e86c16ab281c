"""Held-out faces for the evaluation of an export, and others to fit its temperature."""

import numpy as np

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet, Protocol, drawing_order
from fer_edge.errors import DataError

LEAST_FITTING = 50
"""With fewer faces the temperature stays 1: what they say of it is mostly chance."""


def evaluation_faces(faces: FaceSet, protocol: Protocol) -> tuple[str, FaceSet]:
    """Select the evaluation faces: the testing split if the set has one, else the validation split.

    Returns:
        The name of the split, and its faces under `protocol`.

    Raises:
        DataError: No face is left.
    """
    split = "testing" if (faces.split == "testing").any() else "validation"
    evaluation = faces.part(split).under(protocol)
    if len(evaluation) == 0:
        raise DataError(
            f"no {split} face for the evaluation (protocol {protocol}); "
            "give a set with held-out faces: --data SET.npz, or --protocol all"
        )
    return split, evaluation


def fitting_faces(heldout: FaceSet, evaluation: FaceSet, split: str, protocol: Protocol) -> tuple[FaceSet, FaceSet]:
    """Select the faces to fit the temperature; they are never among the evaluation faces.

    Returns:
        The validation split, or, if that is used for the evaluation, half of its groups, unless these are fewer than
        `LEAST_FITTING` faces; and the evaluation faces left.
    """
    if split == "testing":
        return heldout.part("validation").under(protocol), evaluation
    names = np.unique(evaluation.group).tolist()
    half = {names[row] for row in drawing_order(names, seed=0)[: len(names) // 2].tolist()}
    fits = np.array([group in half for group in evaluation.group.tolist()], bool)
    if fits.sum() < LEAST_FITTING:
        return evaluation.take(np.zeros(0, np.int64)), evaluation
    fitting, rest = evaluation.take(fits), evaluation.take(~fits)
    console.print(
        f"no testing face: {len(fitting):,} validation faces fit the temperature, the other {len(rest):,} are for the "
        "evaluation"
    )
    return fitting, rest
