"""Who teaches, who chooses, who proves: the faces of the expression models, in one prepared set.

python -m studies.distillation.faces --ferplus DIR --muxspace DIR --out faces.npz

FER+ train without faces that stand in FER+ valid, equal or nearly, and muxspace's people outside the testing part of
`--group person --seed 0` teach. FER+ valid is halved by the last bit of the sha256 of a face's pixels: the half with 0
chooses (validation), the one with 1 proves (testing). Both data sets are cropped to 48 px.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from fer_edge.console import console
from fer_edge.data.faceset import SPLITS, FaceSet
from fer_edge_train.data.fingerprints import hashes_of
from fer_edge_train.data.leaks import near_pairs
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.prepare import load_faces
from fer_edge_train.training.class_union import joined

SIZE = 48


def proves(face: npt.NDArray[np.uint8]) -> bool:
    """Whether a validation face, (size, size) uint8, is in the half that proves."""
    return bool(hashlib.sha256(face.tobytes()).digest()[-1] & 1)


def divided(faces: FaceSet) -> FaceSet:
    """Remove training faces that stand in validation, equal or nearly, and halve validation."""
    hashes, valid = hashes_of(faces.grey), faces.split == "validation"
    remove = ~valid & np.isin(hashes[:, -1], hashes[valid, -1])
    for earlier, later, _ in near_pairs(hashes, np.array([SPLITS.index(name) for name in faces.split.tolist()])):
        remove[earlier[valid[later] & ~valid[earlier]]] = True
    half = valid & np.array([proves(face) for face in faces.faces], bool)
    split = np.where(half, "testing", faces.split)
    console.print(f"removed {np.count_nonzero(remove):,} training faces that stand in validation")
    return replace(faces, split=split).take(~remove)


def main(
    ferplus: Annotated[Path, typer.Option(help="Folder of FER+.")],
    muxspace: Annotated[Path, typer.Option(help="Folder of muxspace's legend.csv.")],
    out: Annotated[Path, typer.Option(help="Prepared set to write.")],
) -> None:
    """Write the faces as one prepared set."""
    voted = divided(load_faces(ferplus, size=SIZE, settings=DataSettings()))
    people = load_faces(muxspace, size=SIZE, settings=DataSettings(group="person", seed=0))
    taught = people.take(people.split != "testing")
    faces = joined([voted, replace(taught, split=np.full(len(taught), "training"))])
    faces.save(out)
    console.print(", ".join(f"{int((faces.split == name).sum()):,} {name}" for name in SPLITS) + f"; wrote {out}")


if __name__ == "__main__":
    typer.run(main)
