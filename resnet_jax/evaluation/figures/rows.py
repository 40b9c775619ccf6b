"""Rows of images, each with its name."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .examples import pictures
from .names import figure_names, text_width
from .style import FONT_SIZE, figure_style, new_figure

_WIDTH, _CELL, _LABEL = 7.0, 0.57, 1.25  # inches


@figure_style()
def plot_image_rows(rows: Mapping[str, ArrayLike]) -> Figure:
    """Show images in rows, with the name of each row on its left.

    Args:
        rows: images that are not normalised, `[n, height, width, channels]`, as `show_examples`
            accepts them, by the name of their row; a name is any text, of which nothing is markup.

    Raises:
        ValueError: if there is no row, or images have another shape, dtype or range.
    """
    if not rows:
        raise ValueError("`rows` is empty; at least one row is needed")
    images = [pictures(row) for row in rows.values()]
    figure = new_figure(_WIDTH, _CELL * len(rows) + 0.06, constrained=False)
    grid = figure.subplots(len(rows), max(map(len, images)), squeeze=False)
    figure.subplots_adjust(
        left=_LABEL / _WIDTH, right=0.995, top=0.99, bottom=0.01, wspace=0.06, hspace=0.06
    )
    room = 0.95 * 72 * _LABEL
    names = figure_names(rows, room=room)
    font_size = min(FONT_SIZE, room / max(map(text_width, names)))
    for cells, name, row in zip(grid, names, images, strict=True):
        for axes in cells[len(row) :]:
            axes.set_axis_off()
        for axes, image in zip(cells, row, strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_linewidth(0.3)
        cells[0].set_ylabel(
            name, rotation=0, ha="left", va="center", fontsize=font_size, labelpad=72 * _LABEL - 6
        )
    return figure
