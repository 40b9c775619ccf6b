"""The confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Colormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..validation import check_class_names, count_matrix
from .names import figure_names, text_width
from .style import COLUMN_WIDTH, FONT_SIZE, figure_style, new_figure, style_axes

_COLUMN_CLASSES = 12  # largest number of classes that fits the column of a page
_CROWDED = 30  # number of classes above which empty cells stay blank and names are vertical
_SMALLEST = 6.0  # font size, in points, that one long name may bring the others down to


@figure_style()
def plot_confusion_matrix(
    matrix: ArrayLike,
    *,
    show_absolute: bool = True,
    show_normed: bool = False,
    class_names: Sequence[str | int] | None = None,
    colorbar: bool = False,
    hide_spines: bool = False,
    hide_ticks: bool = False,
    cmap: str | Colormap | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Plot a confusion matrix with true classes as rows and predicted classes as columns.

    The colour of a cell shows its share of the true class (its row), so that large and small
    classes can be compared. Colours follow the square root of the share: confusions of a few
    per cent are visible, and black text (up to a share of 0.5) and white text (above) are both
    legible. A class without examples has shares of 0. The text of cells with a count of 0 is
    grey; above 30 classes, they have none.

    Args:
        matrix: counts `[classes, classes]` from `confusion_matrix`.
        show_absolute: write the counts.
        show_normed: write the shares, in parentheses below the counts if both are shown.
        class_names: one name per class, any text, of which nothing is markup, or numbers; None
            uses the indices of the rows.
        colorbar: add the colour scale.
        hide_spines: leave out the frame.
        hide_ticks: leave out the ticks and the class names.
        cmap: Matplotlib colour map, light for 0 and dark for 1; None uses "Blues".
        figsize: width and height in inches; None is as wide as a column up to 12 classes, and
            grows with the number of classes above.

    Raises:
        ValueError: if `show_absolute` and `show_normed` are both False, if the number of names is
            not the number of classes, or if `matrix` is not a square matrix of counts.
    """
    if not (show_absolute or show_normed):
        raise ValueError(
            "`show_absolute` and `show_normed` are both False; at least one must be True"
        )
    counts = count_matrix(matrix)
    size = len(counts)
    if class_names is None:
        class_names = [str(index) for index in range(size)]
    check_class_names(class_names, size)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)

    if figsize is None:
        if size <= _COLUMN_CLASSES:
            figsize = (COLUMN_WIDTH + 0.6 if colorbar else COLUMN_WIDTH, COLUMN_WIDTH)
        else:
            side = min(1.0 + 0.4 * size, 14.0)
            figsize = (side + 0.6 if colorbar else side, side)
    fig = new_figure(*figsize)
    axes = fig.add_subplot()
    image = axes.imshow(
        shares, cmap="Blues" if cmap is None else cmap, norm=PowerNorm(0.5, vmin=0, vmax=1)
    )
    cell = 72 * 0.78 * min(figsize) / size  # points; names and labels need the rest

    crowded = size > _CROWDED
    texts = {
        (row, column): "\n".join(
            ([f"{counts[row, column]}"] if show_absolute else [])
            + ([_share(shares[row, column], show_absolute)] if show_normed else [])
        )
        for row, column in np.ndindex(size, size)
        if counts[row, column] or not crowded
    }
    lines = [line for text in texts.values() for line in text.split("\n")]
    widest = max(map(len, lines), default=1)
    rows = int(show_absolute) + int(show_normed)
    font_size = min(FONT_SIZE, 0.9 * cell / (0.62 * widest), 0.8 * cell / (1.2 * rows))
    for (row, column), text in texts.items():
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=font_size,
            color=_text_color(shares[row, column]),
            clip_on=True,
        ).set_in_layout(False)

    axes.set_xlabel("Predicted label")
    axes.set_ylabel("True label")
    style_axes(axes)
    if hide_ticks:
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        # The longest name may take two fifths of the figure.
        room = 0.4 * 72 * min(figsize)
        names = figure_names(class_names, room=room, smallest=_SMALLEST)
        tick_size = min(FONT_SIZE, 0.9 * cell, room / max(map(text_width, names)))
        short = max(map(len, names)) <= 2
        rotation = 0 if short and not crowded else 90 if crowded else 45
        axes.set_xticks(
            range(size),
            names,
            fontsize=tick_size,
            rotation=rotation,
            ha="right" if rotation == 45 else "center",
            rotation_mode="anchor" if rotation == 45 else "default",
        )
        axes.set_yticks(range(size), names, fontsize=tick_size)
    if hide_spines:
        axes.spines[:].set_visible(False)
    if colorbar:
        bar = fig.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.05, 0.2, 0.5, 0.8, 1])
        bar.ax.tick_params(labelsize=FONT_SIZE, width=0.6, length=3)
        bar.ax.yaxis.set_major_formatter("{x:g}")
        bar.set_label("Share of the true class", fontsize=FONT_SIZE)
        bar.outline.set_linewidth(0.6)
    return fig


def _text_color(share: float) -> str:
    """Return the colour of a cell's text; that of an empty cell recedes."""
    return "white" if share > 0.5 else "black" if share else "0.45"


def _share(share: float, below_count: bool) -> str:
    """Return the text of a share, in parentheses if it is below a count."""
    return f"({share:.2f})" if below_count else f"{share:.2f}"
