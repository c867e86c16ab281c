"""ExpW (Zhang et al. 2016): `label.lst` with a box per face, photos in `origin/`, several faces in one photo."""

import math
from pathlib import Path

from fer_edge.labels import EXPRESSIONS
from fer_edge_train.data.table import Framing, Skipped, Table, make_rows, read_text_lines

LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Class of each number in `label.lst`."""

FRAMING = Framing(scale=0.92, down=0.04)
"""From ExpW's boxes to FER+'s framing, measured with YuNet's landmarks on 392 ExpW faces and 505 FER+ pictures, both
cropped to their box, reduced to 48 pixels and padded alike (medians over the side of the picture, ExpW, then FER+):
between the eyes 0.307 against 0.342, eyes to mouth 0.326 against 0.349, height of YuNet's box 0.891 against 0.967,
middle between eyes and mouth 0.612 against 0.577 from the top. In the whole photos YuNet's box is 1.00 of ExpW's high
and 0.05 lower; over 50 photos a converted box was 0.95 of YuNet's (mean), so the two frame a face alike."""

LICENCE = "non-commercial research (ExpW)"


def recognises(root: Path) -> bool:
    """Whether `root` has the layout of ExpW."""
    return (root / "label.lst").is_file()


def read(root: Path) -> Table:
    """Read ExpW: name, face id, top, left, right, bottom, confidence, label, separated by spaces."""
    faces: list[dict[str, object]] = []
    skipped: list[Skipped] = []
    for line, text in read_text_lines(root / "label.lst"):
        origin = f"label.lst:{line}"
        face = _face(text)
        if isinstance(face, str):
            skipped.append(Skipped(origin, face))
        else:
            faces.append({**face, "origin": origin})
    rows, duplicates = make_rows(faces)
    return Table(root, "expw", rows, EXPRESSIONS, (*skipped, *duplicates), ("label.lst",), LICENCE, FRAMING)


def _face(text: str) -> dict[str, object] | str:
    """Parse one line into the columns of one face, or return the reason why it is invalid."""
    fields = text.rsplit(None, 7)  # from the right: a name may contain spaces
    if len(fields) < 8:
        return f"too few columns: {len(fields)} instead of 8"
    try:
        numbers = [float(value) for value in fields[2:7]]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        return f"box and confidence are not numbers: {' '.join(fields[2:7])}"
    top, left, right, bottom, confidence = numbers
    if right <= left or bottom <= top:
        return f"the box is empty: top {top:g}, left {left:g}, right {right:g}, bottom {bottom:g}"
    if fields[7] not in map(str, range(len(LABELS))):
        return f"unknown label {fields[7]!r}; ExpW has 0 to 6"
    return {
        "picture": f"origin/{fields[0]}",
        "x": left,
        "y": top,
        "w": right - left,
        "h": bottom - top,
        "label": LABELS[int(fields[7])],
        "confidence": confidence,
    }
