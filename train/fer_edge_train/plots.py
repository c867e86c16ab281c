"""The pictures of a run: learning curves and the confusion matrix."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from fer_edge.files import replacing
from fer_edge.metrics import recalls
from fer_edge_train.runs import Row


def draw_history(path: Path, rows: list[Row]) -> None:
    """Draw loss and accuracy over the epochs, training and validation, to `path` (.png)."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [row[name] for row in rows], label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in rows], label="validation")
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    best = max(rows, key=lambda row: row["val_accuracy"])
    axes.axvline(best["epoch"], color="grey", linestyle=":")
    axes.set_title(f"best: {best['val_accuracy']:.2%} in epoch {best['epoch']:.0f}")
    _save(figure, path)


def draw_confusion(path: Path, matrix: npt.NDArray[np.int64], classes: tuple[str, ...], title: str) -> None:
    """Draw a confusion matrix as shares of each true class, with the counts written in, to `path` (.png).

    Args:
        path: Where to.
        matrix: (classes, classes) counts, rows are the true class.
        classes: Names of rows and columns.
        title: What was judged.
    """
    n = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, n, out=np.zeros(matrix.shape), where=n > 0)
    side = 2.5 + 0.7 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{shares[row, column]:.0%}\n{count}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    rows = [
        f"{name} ({recall:.0%})" if count else f"{name} (no face)"
        for name, recall, count in zip(classes, recalls(matrix), n[:, 0], strict=True)
    ]
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), rows)
    accuracy = matrix.trace() / max(matrix.sum(), 1)
    axes.set(xlabel="predicted", ylabel="true class (recall)", title=f"{title}: {accuracy:.2%} of {matrix.sum()} faces")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
