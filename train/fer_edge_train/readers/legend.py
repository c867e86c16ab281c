"""legend.csv (the muxspace facial expressions): `data/legend.csv` names a class per picture in `images/`.

A picture listed twice with the same class counts once. A picture listed with two classes is left out altogether: nobody
knows which is right.
"""

from pathlib import Path

from fer_edge.errors import DataError
from fer_edge.labels import EXPRESSIONS, fold
from fer_edge_train.table import Skipped, Table, licence_in, make_rows, read_lines

LEGEND = "data/legend.csv"


def recognises(root: Path) -> bool:
    """Tell whether `root` looks like a legend.csv data set."""
    return (root / LEGEND).is_file()


def read(root: Path) -> Table:
    """Read a legend.csv data set: user.id, image, emotion, with a heading.

    Raises:
        DataError: The file cannot be read, or its heading is another.
    """
    listed, skipped = _listings(root / LEGEND)
    faces: list[dict[str, object]] = []
    for name, listings in listed.items():
        (first_line, label), *others = listings
        if len({label for _, label in listings}) > 1:
            told = ", ".join(f"{label} in line {line}" for line, label in listings)
            reason = f"{name} has contradictory labels ({told}); it is left out"
            skipped += [Skipped(f"{LEGEND}:{line}", reason, "contradictory") for line, _ in listings]
            continue
        reason = f"{name} is listed already, with the same label, in line {first_line}"
        skipped += [Skipped(f"{LEGEND}:{line}", reason, "repeated") for line, _ in others]
        faces.append({"picture": f"images/{name}", "label": label, "origin": f"{LEGEND}:{first_line}"})
    skipped.sort(key=lambda row: int(row.origin.rpartition(":")[2]))
    rows = make_rows(faces)
    return Table(root, "legend", rows, EXPRESSIONS, tuple(skipped), (LEGEND,), licence_in(root))


def _listings(path: Path) -> tuple[dict[str, list[tuple[int, str]]], list[Skipped]]:
    """Collect (line, class) of every picture, and the rows that name none."""
    lines = read_lines(path)
    heading = [name.lower() for name in next(lines, (0, []))[1]]
    if not {"image", "emotion"} <= set(heading):
        raise DataError(f"{path}:1: the heading is {','.join(heading)!r}; it has to name image and emotion")
    image, emotion = heading.index("image"), heading.index("emotion")
    listed: dict[str, list[tuple[int, str]]] = {}
    skipped: list[Skipped] = []
    for line, fields in lines:
        if len(fields) <= max(image, emotion):
            skipped.append(Skipped(f"{LEGEND}:{line}", f"too few columns: {len(fields)} instead of {len(heading)}"))
            continue
        label = fold(fields[emotion])
        if label is None:
            skipped.append(Skipped(f"{LEGEND}:{line}", f"unknown label {fields[emotion]!r}"))
        else:
            listed.setdefault(fields[image], []).append((line, label))
    return listed, skipped
