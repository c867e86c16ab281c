"""Plots of a run: learning curves and the confusion matrix."""

import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from fer_edge.data.metrics import recalls
from fer_edge.files import replacing
from fer_edge_train.runs.folder import SCORE, Row

PANELS = ("loss", "accuracy")
"""Metrics of an epoch that are plotted, of training and, as `val_...`, of validation."""
NAME_LENGTH = 20
"""Maximum characters of a name in a plot."""
WRITTEN_CLASSES = 40
"""With more classes the cells of a confusion matrix have colours only, and the plot grows no further."""


def draw_history(path: Path, rows: list[Row]) -> None:
    """Draw loss and accuracy over the epochs, one of `rows` each, to `path` (.png)."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, column in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.plot(epochs, [row[column] for row in rows], label="training")
        axes.plot(epochs, [row[f"val_{column}"] for row in rows], label="validation")
        axes.set(xlabel="epoch", ylabel=column)
        axes.grid(alpha=0.3)
        axes.legend()
    best = max(rows, key=lambda row: row[SCORE])
    axes.axvline(best["epoch"], color="grey", linestyle=":")
    axes.set_title(f"best: {best[SCORE]:.2%} in epoch {best['epoch']:.0f}")
    _save(figure, path)


def draw_curves(path: Path, runs: dict[str, list[Row]]) -> None:
    """Draw the learning curves of several runs together to `path` (.png): validation solid, training dotted.

    Args:
        path: Output file.
        runs: Name -> rows, one per epoch.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    lines = []
    for axes, column in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for number, (name, rows) in enumerate(runs.items()):
            colour = f"C{number % 10}"
            for source, style in ((f"val_{column}", "-"), (column, ":")):
                logged = [row for row in rows if source in row]
                points = [row["epoch"] for row in logged], [row[source] for row in logged]
                axes.plot(
                    *points, style, color=colour, marker="." if len(logged) == 1 else None, label=_shortened(name)
                )
        axes.set(xlabel="epoch", ylabel=column)
        axes.grid(alpha=0.3)
        lines = axes.get_lines()[::2]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), 4))
    figure.suptitle("validation ——   training ·····", fontsize=10)
    _save(figure, path)


def draw_confusion(path: Path, matrix: npt.NDArray[np.int64], classes: tuple[str, ...], title: str) -> None:
    """Draw a confusion matrix, normalised by true class and annotated with counts, to `path` (.png).

    Args:
        path: Output file.
        matrix: (classes, classes) counts, rows are the true class.
        classes: Names of rows and columns.
        title: What was evaluated.
    """
    n = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, n, out=np.zeros(matrix.shape), where=n > 0)
    side = 3.5 + 0.7 * min(len(classes), WRITTEN_CLASSES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= WRITTEN_CLASSES:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{shares[row, column]:.0%}\n{count}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    columns = [_shortened(name) for name in classes]
    rows = [
        f"{name} ({recall:.0%})" if count else f"{name} (no face)"
        for name, recall, count in zip(columns, recalls(matrix), n[:, 0], strict=True)
    ]
    axes.set_xticks(range(len(classes)), columns, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(classes)), rows, parse_math=False)
    accuracy = matrix.trace() / max(matrix.sum(), 1)
    axes.set(xlabel="predicted", ylabel="true class (recall)")
    heading = textwrap.fill(f"{printable(title)}: {accuracy:.2%} of {matrix.sum()} faces", width=round(8 * side))
    figure.suptitle(heading, fontsize=11, parse_math=False)  # wrap=True would parse it all the same
    _save(figure, path)


def _shortened(name: str) -> str:
    """Fit a class folder's name, which may contain any characters, onto one short line."""
    line = printable(name)
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1] + "…"


def printable(text: str) -> str:
    """Replace what the font cannot draw: control characters by spaces, other scripts by question marks."""
    drawable = get_font(findfont(FontProperties())).get_charmap()
    spaced = (character if character.isprintable() else " " for character in text)
    return "".join(character if ord(character) in drawable else "?" for character in spaced)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
