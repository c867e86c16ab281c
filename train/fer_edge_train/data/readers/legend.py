"""legend.csv (muxspace facial expressions): `data/legend.csv` gives the class of each picture in `images/`."""

from pathlib import Path

from fer_edge.errors import DataError
from fer_edge.labels import EXPRESSIONS, fold
from fer_edge_train.data.table import Skipped, Table, licence_in, make_rows, read_lines

LEGEND = "data/legend.csv"


def recognises(root: Path) -> bool:
    """Whether `root` has the layout of a legend.csv data set."""
    return (root / LEGEND).is_file()


def read(root: Path) -> Table:
    """Read a legend.csv data set: user.id, image, emotion, with a header.

    Raises:
        DataError: The file cannot be read, or its header is wrong.
    """
    faces, skipped = _faces(root / LEGEND)
    rows, duplicates = make_rows(faces)
    return Table(root, "legend", rows, EXPRESSIONS, (*skipped, *duplicates), (LEGEND,), licence_in(root))


def _faces(path: Path) -> tuple[list[dict[str, object]], list[Skipped]]:
    """Collect the faces and the skipped rows."""
    lines = read_lines(path)
    header = [name.lower() for name in next(lines, (0, []))[1]]
    if not {"image", "emotion"} <= set(header):
        raise DataError(f"{path}:1: the header is {','.join(header)!r}; it needs columns image and emotion")
    image, emotion = header.index("image"), header.index("emotion")
    faces: list[dict[str, object]] = []
    skipped: list[Skipped] = []
    for line, fields in lines:
        origin = f"{LEGEND}:{line}"
        if len(fields) <= max(image, emotion):
            skipped.append(Skipped(origin, f"too few columns: {len(fields)} instead of {len(header)}"))
            continue
        label = fold(fields[emotion])
        if label is None:
            skipped.append(Skipped(origin, f"unknown label {fields[emotion]!r}"))
        else:
            faces.append({"picture": f"images/{fields[image]}", "label": label, "origin": origin})
    return faces, skipped
