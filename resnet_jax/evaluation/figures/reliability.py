"""The reliability diagram: accuracy over confidence."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..reliability import Calibration
from .style import (
    BLUE,
    COLUMN_WIDTH,
    FONT_SIZE,
    SKY_BLUE,
    VERMILION,
    figure_style,
    new_figure,
    set_log_y,
    style_axes,
)


@figure_style()
def plot_calibration(result: Calibration) -> Figure:
    """Plot the accuracy of each bin over its confidence, with the number of predictions below.

    The points of a well-calibrated model lie on the diagonal. Bars connect each point with the
    diagonal. Bins without predictions stay empty.

    Args:
        result: bins from `calibration`.

    Returns:
        The figure; its axes are those of the diagram and of the counts.
    """
    fig = new_figure(COLUMN_WIDTH, 3.3)
    diagram, counts = fig.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.05}
    )
    filled = result.counts > 0
    confidence, accuracy = result.confidence[filled], result.accuracy[filled]
    diagram.plot([0, 1], [0, 1], color="0.45", linewidth=0.8, linestyle=(0, (3, 2)), label="Ideal")
    diagram.vlines(
        confidence, confidence, accuracy, color=VERMILION, linewidth=2.5, alpha=0.6, label="Gap"
    )
    diagram.plot(
        confidence,
        accuracy,
        color=BLUE,
        linewidth=1.0,
        marker="o",
        markersize=3.5,
        clip_on=False,  # the last point may lie on the frame
        label="Model",
    )
    diagram.set_ylim(-0.02, 1.02)
    diagram.set_xlim(0, 1)
    diagram.set_ylabel("Accuracy")
    diagram.legend(fontsize=FONT_SIZE, frameon=False, loc="upper left")
    # Below the legend, because there may be points in the other corners.
    diagram.text(
        0.03,
        0.6,
        f"ECE {100 * result.error:.1f} %",
        transform=diagram.transAxes,
        fontsize=FONT_SIZE,
    )
    counts.bar(
        result.edges[:-1][filled],
        result.counts[filled],
        width=np.diff(result.edges)[filled],
        align="edge",
        color=SKY_BLUE,
        edgecolor="white",
        linewidth=0.4,
    )
    # Most predictions are confident; only a logarithmic scale shows the others beside them.
    set_log_y(counts)
    counts.set_ylim(0.7, 2 * result.counts.max())
    counts.set_ylabel("Count")
    counts.set_xlabel("Confidence")
    style_axes(diagram)
    style_axes(counts)
    counts.tick_params(which="minor", left=False)
    return fig
