"""Several curves in one diagram, distinguished by colour and dashes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .names import figure_label, figure_names, text_width
from .style import (
    COLUMN_WIDTH,
    CYCLE,
    FONT_SIZE,
    figure_style,
    new_figure,
    set_log_y,
    style_axes,
)

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))


@figure_style()
def plot_overlay(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    xlabel: str,
    ylabel: str,
    log_y: bool = False,
    steps: bool = False,
) -> Figure:
    """Plot curves in one diagram, with a legend if there is more than one.

    The first seven curves have different colours; further ones repeat the colours with other
    dashes.

    Args:
        curves: finite x and y of each curve, both `[points]`, by name; a name is any text, of
            which nothing is markup.
        xlabel: label of the x-axis.
        ylabel: label of the y-axis.
        log_y: make the y-axis logarithmic; every y must be above 0.
        steps: draw each value as constant up to the next point, as for a learning rate.

    Raises:
        ValueError: if there is no curve, if x and y of a curve differ in length, if a curve is
            empty or not finite, or if a value is not above 0 with `log_y`.
    """
    if not curves:
        raise ValueError("`curves` is empty; at least one curve is needed")
    fig = new_figure(COLUMN_WIDTH, 2.4)
    axes = fig.add_subplot()
    for number, (name, (x, y)) in enumerate(curves.items()):
        across, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if across.ndim != 1 or across.shape != values.shape or not across.size:
            raise ValueError(
                f"`curves` must have x and y of the same length, at least 1; those of {name!r} "
                f"have shapes {across.shape} and {values.shape}"
            )
        if not (np.isfinite(across).all() and np.isfinite(values).all()):
            raise ValueError(f"`curves` must be finite; {name!r} is not")
        if log_y and values.min() <= 0:
            raise ValueError(
                f"`curves` must be above 0 with `log_y`; {name!r} has the value {values.min()}"
            )
        axes.plot(
            across,
            values,
            color=CYCLE[number % len(CYCLE)],
            linestyle=_DASHES[number // len(CYCLE) % len(_DASHES)],
            linewidth=1.2,
            drawstyle="steps-post" if steps else "default",
            marker="o" if len(values) == 1 else None,
            markersize=3,
        )
    if log_y:
        set_log_y(axes)
    else:
        low, high = axes.dataLim.intervaly
        if 0 < low == high:
            # Matplotlib would show a constant between two limits that hardly differ.
            axes.set_ylim(0, 2 * high)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel(figure_label(xlabel))
    axes.set_ylabel(figure_label(ylabel))
    axes.grid(axis="y", color="0.88", linewidth=0.5)
    axes.set_axisbelow(True)
    if len(curves) > 1:
        # Below the diagram, the legend hides no curve, however many there are.
        names = figure_names(curves)
        longest = max(map(text_width, names))
        columns = max(1, min(len(curves), int(28.8 // (longest + 3.6))))
        legend = fig.legend(
            axes.lines,
            [str(number) for number in range(len(names))],
            loc="outside lower center",
            ncols=columns,
            fontsize=FONT_SIZE,
            frameon=False,
        )
        # A legend leaves out curves whose names begin with an underscore or are empty.
        for text, name in zip(legend.get_texts(), names, strict=True):
            text.set_text(name)
        rows = -(-len(curves) // columns)
        fig.set_figheight(2.4 + 0.16 * rows)
    style_axes(axes)
    return fig
