"""Train/validation/test split: stratified by class, grouped by photo or person."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fer_edge.data.faceset import SPLITS, FaceSet, drawing_order
from fer_edge.data.provenance import DIVISION
from fer_edge.labels import suggestion
from fer_edge.options import migrated
from fer_edge_train.data.settings import DataSettings

Labels = npt.NDArray[np.str_]
PATTERN_HINT = "say where it is: --person-pattern REGEX"


def assign(rows: pd.DataFrame, settings: DataSettings) -> Labels:
    """Assign every face to training, validation or testing.

    The data set's own splits are kept. Without any, testing faces are drawn first; without a validation split,
    validation faces are then drawn from the training faces.

    Args:
        rows: Rows of a table: label, group and split.
        settings: Shares and seed.

    Returns:
        (n,) training, validation or testing.
    """
    labels, groups = rows["label"].to_numpy(np.str_), rows["group"].to_numpy(np.str_)
    split = rows["split"].to_numpy("U10")
    if not split.astype(bool).any():
        split = np.where(draw(labels, groups, settings.test_split, settings.seed), "testing", "training").astype("U10")
    if "validation" not in split:
        training = np.flatnonzero(split == "training")
        drawn = draw(labels[training], groups[training], settings.validation_split, settings.seed)
        split[training[drawn]] = "validation"
    return split


def groups_in_several_splits(groups: Labels, split: Labels) -> int:
    """Count the groups in several splits; possible only with a data set's own splits.

    >>> groups_in_several_splits(np.array(["a", "a", "b"]), np.array(["training", "testing", "testing"]))
    1
    """
    pairs = set(zip(groups.tolist(), split.tolist(), strict=True))
    return len(pairs) - len({group for group, _ in pairs})


def split_warnings(rows: pd.DataFrame, split: Labels, settings: DataSettings) -> list[str]:
    """List problems of a split, such as missing classes, one line each.

    Args:
        rows: Rows of a table: picture, label, group and the data set's own split.
        split: (n,) training, validation or testing, as `assign` returned it.
        settings: How it was split.
    """
    lines = _class_name_warnings(rows)
    lines += _person_warnings(rows) if settings.group == "person" else []
    wanted, labels = set(split.tolist()), rows["label"].to_numpy(np.str_)
    if not rows["split"].astype(bool).any():
        wanted |= {
            "training",
            *(["testing"] if settings.test_split else []),
            *(["validation"] if settings.validation_split else []),
        }
    for part in (part for part in SPLITS if part in wanted):
        missing = sorted(set(labels.tolist()) - set(labels[split == part].tolist()))
        if part not in split:
            lines.append(f"no {part} face: all faces of a class are of one {settings.group}, and are kept together")
        elif missing:
            meaning = "they cannot be learned" if part == "training" else "their recall cannot be measured"
            lines.append(f"no {part} face of {', '.join(missing)}: {meaning}")
    return lines


def _class_name_warnings(rows: pd.DataFrame) -> list[str]:
    """Warn of class names that may be misspelt expressions."""
    near = {name: suggestion(name) for name in sorted(rows["label"].unique())}
    return [f"class {name}: did you mean {other}? Then rename it" for name, other in near.items() if other]


def _person_warnings(rows: pd.DataFrame) -> list[str]:
    """Warn if the file names may not contain persons."""
    counts = rows["group"].value_counts()
    unnamed = rows["picture"][rows["picture"] == rows["group"]]
    if len(unnamed) == len(rows):
        return [f"--group person had no effect: no file name holds a person, such as {unnamed.iloc[0]}; {PATTERN_HINT}"]
    if len(unnamed):
        which = f"{len(unnamed):,} of {len(rows):,} file names hold no person, such as {unnamed.iloc[0]}"
        return [f"{which}: each counts as a person of its own; {PATTERN_HINT}"]
    if 2 * counts.iloc[0] > len(rows):
        person = f"{counts.iloc[0]:,} of {len(rows):,} faces are of one person by their file names, {counts.index[0]}"
        return [f"{person}; if that is not a person, leave out --group person"]
    return []


def face_set_warnings(faces: FaceSet) -> list[str]:
    """List problems of the split of `faces`, whatever settings it was made with."""
    own = faces.split if faces.source.get("split") == "own" else ""
    labels = np.array(faces.classes)[faces.labels]
    rows = pd.DataFrame({"picture": faces.names, "label": labels, "group": faces.group, "split": own})
    return split_warnings(rows, faces.split, same_split(faces.source, DataSettings()))


def same_split(source: dict[str, Any], settings: DataSettings) -> DataSettings:
    """Copy `settings` with the split settings recorded in `source` (`FaceSet.source`)."""
    recorded = source.get("settings", {})
    return replace(settings, **migrated({name: recorded[name] for name in DIVISION if name in recorded}))


def draw(labels: Labels, groups: Labels, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Draw `share` of the faces of every class, as closely as complete groups allow.

    Groups are tried in `fer_edge.data.faceset.drawing_order`, which does not depend on the order of the faces.

    Args:
        labels: (n,) class names.
        groups: (n,) group names; a group is drawn completely or not at all.
        share: 0 to 1.
        seed: Random seed.

    Returns:
        (n,) true for the faces drawn. A class with two groups or more has faces on both sides if groups allow.
    """
    drawn = np.zeros(len(labels), bool)
    if share <= 0 or len(labels) == 0:
        return drawn
    _, label_index = np.unique(labels, return_inverse=True)
    names, group_index = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), label_index.max() + 1), np.int64)
    np.add.at(counts, (group_index, label_index), 1)
    order = drawing_order(names.tolist(), seed)
    return np.asarray(_draw_groups(counts, order, _targets(counts, share))[group_index], np.bool_)


def _targets(counts: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.int64]:
    """Faces to draw per class, (classes,): they sum to the share of all faces, but no class is left empty."""
    wanted = counts.sum(axis=0) * share
    targets = np.floor(wanted).astype(np.int64)
    remainder = round(wanted.sum()) - targets.sum()
    targets[np.argsort(targets - wanted, kind="stable")[:remainder]] += 1
    several_groups = (counts > 0).sum(axis=0) >= 2
    return np.where(several_groups, np.clip(targets, 1, counts.sum(axis=0) - 1), 0)


def _draw_groups(
    counts: npt.NDArray[np.int64], order: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Draw groups until each class reaches its target, the rarest class first, as it has the fewest candidates.

    Args:
        counts: (groups, classes) faces.
        order: (groups,) order in which to try them.
        targets: (classes,) faces to draw.
    """
    drawn = np.zeros(len(counts), bool)
    missing = targets.copy()
    for label in np.argsort(targets, kind="stable"):
        candidates = order[(counts[order, label] > 0) & ~drawn[order]]
        for group in candidates:
            if missing[label] <= 0:
                break
            if not drawn[group] and (counts[group] <= np.maximum(missing, 0)).all():
                drawn[group] = True
                missing -= counts[group]
        if (
            missing[label] == targets[label] > 0 and len(candidates) >= 2
        ):  # no group fits: take the one with the smallest excess
            group = min(candidates, key=lambda g: np.maximum(counts[g] - np.maximum(missing, 0), 0).sum())
            drawn[group] = True
            missing -= counts[group]
    return drawn
