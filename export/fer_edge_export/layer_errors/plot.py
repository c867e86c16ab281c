"""Plot of the layer errors: one row per operator, in network order."""

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
"""Maximum characters of a layer's name."""
CLEAN_DB = 60.0
"""Upper limit of the right panel: above it the error is negligible."""


def draw_layers(errors: Sequence[LayerError]) -> bytes:
    """Draw the effect of each layer on the outputs (left), and its signal-to-noise ratio, own and total (right).

    Args:
        errors: Result of `fer_edge_export.layer_errors.measure.layer_errors`; at least one.

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
        text, weight = (f"{each:.1%} worst", "bold") if row == first else (f"{each:.1%}", "normal")
        axes.annotate(text, (each, row), (4, 0), textcoords="offset points", va="center", weight=weight, fontsize=9)
    axes.axvline(STANDS_OUT, color="grey", linestyle=":")
    axes.set_xlim(0, 1.25 * max(*harm, STANDS_OUT))
    axes.set_ylim(len(errors) - 0.4, -0.6)
    axes.set_yticks(rows, [_label(error) for error in errors], fontsize=8, parse_math=False)
    axes.set_xlabel("change of the outputs, relative to their spread,\nby this layer's own error (dotted: threshold)")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x", alpha=0.3)


def _draw_noise(axes: Axes, errors: Sequence[LayerError]) -> None:
    rows = range(len(errors))
    alone = [min(error.sqnr_db, CLEAN_DB) for error in errors]
    together = [min(error.total_sqnr_db, CLEAN_DB) for error in errors]
    axes.plot(alone, rows, "o", color="C0", label="this layer alone")
    axes.plot(together, rows, "o", color="C1", fillstyle="none", label="with all layers before")
    axes.set_xlabel("signal-to-noise ratio in dB (+6 dB: half the error)")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def _label(error: LayerError) -> str:
    name = error.name if len(error.name) <= NAME_LENGTH else error.name[: NAME_LENGTH - 1] + "…"
    return f"{name}  {error.operator}"
