"""The picture of where int8 hurts: a row for each operator that makes an error, in the network's order."""

import io
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fer_edge_export.layer_errors.advice import STANDS_OUT, verdict
from fer_edge_export.layer_errors.measure import worst
from fer_edge_export.results import LayerError

NAME_LENGTH = 28
"""Characters of a layer's name that the picture has room for."""
CLEAN_DB = 60.0
"""The scale of the right panel ends here: cleaner is as good as without error."""


def draw_layers(errors: Sequence[LayerError]) -> bytes:
    """Draw how far each layer moves the answers (left), and its signal to noise by itself and in all (right).

    Args:
        errors: At least one, as `fer_edge_export.layer_errors.measure.layer_errors` measured them.

    Returns:
        A PNG; the same errors give the same bytes.
    """
    figure = Figure(figsize=(11, 1.6 + 0.24 * len(errors)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw_harm(left, errors)
    _draw_noise(right, errors)
    figure.suptitle(textwrap.fill(verdict(errors), width=130), fontsize=10, parse_math=False)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=110)
    return stream.getvalue()


def _draw_harm(axes: Axes, errors: Sequence[LayerError]) -> None:
    rows = range(len(errors))
    harm = [error.harm for error in errors]
    axes.barh(rows, harm, color=["C3" if each >= STANDS_OUT else "C0" for each in harm])
    first = errors.index(worst(errors))
    for row, each in enumerate(harm):
        words, weight = (f"{each:.1%} worst", "bold") if row == first else (f"{each:.1%}", "normal")
        axes.annotate(words, (each, row), (4, 0), textcoords="offset points", va="center", weight=weight, fontsize=9)
    axes.axvline(STANDS_OUT, color="grey", linestyle=":")
    axes.set_xlim(0, 1.25 * max(*harm, STANDS_OUT))
    axes.set_ylim(len(errors) - 0.4, -0.6)
    axes.set_yticks(rows, [_label(error) for error in errors], fontsize=8, parse_math=False)
    axes.set_xlabel("the answers move by this part of their spread\nfor this layer's own error (dotted: stands out)")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x", alpha=0.3)


def _draw_noise(axes: Axes, errors: Sequence[LayerError]) -> None:
    rows = range(len(errors))
    alone = [min(error.sqnr_db, CLEAN_DB) for error in errors]
    together = [min(error.total_sqnr_db, CLEAN_DB) for error in errors]
    axes.plot(alone, rows, "o", color="C0", label="this layer alone")
    axes.plot(together, rows, "o", color="C1", fillstyle="none", label="with all before it")
    axes.set_xlabel("signal to noise in dB; 6 more halve the error")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def _label(error: LayerError) -> str:
    name = error.name if len(error.name) <= NAME_LENGTH else error.name[: NAME_LENGTH - 1] + "…"
    return f"{name}  {error.operator}"
