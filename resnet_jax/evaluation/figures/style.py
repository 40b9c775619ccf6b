"""The style of all figures: palette, sizes and fonts, and how figures are saved."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...storage import atomic_path

# Okabe & Ito, "Color Universal Design" (2008): distinguishable with any colour vision.
BLUE = "#0072B2"
SKY_BLUE = "#56B4E9"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
# Their yellow is left out: it is too light for a line on white.
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, "#000000")

COLUMN_WIDTH = 3.3  # inches; one column of a two-column page
FONT_SIZE = 8.0  # points
DPI = 300


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure without a window and without global state.

    Args:
        width: width in inches.
        height: height in inches.
    """
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def style_axes(axes: Axes) -> None:
    """Set fonts and thin lines that are legible at the width of a column.

    Args:
        axes: axes to change.
    """
    axes.set_facecolor("white")
    axes.tick_params(labelsize=FONT_SIZE, width=0.6, length=3, color="black", labelcolor="black")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(FONT_SIZE)
        label.set_color("black")
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
        spine.set_edgecolor("black")


def save_figure(fig: Figure, stem: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Save a figure as PNG (300 dpi) and as PDF (fonts embedded), each completely or not at all.

    Args:
        fig: the figure.
        stem: path without suffix: `runs/a/loss` gives `runs/a/loss.png` and `runs/a/loss.pdf`.
            Missing folders are created, existing files are replaced.

    Returns:
        The paths of the PNG and the PDF.

    Raises:
        OSError: if a file cannot be written; an existing file stays as it was.
    """
    base = Path(stem)
    png, pdf = (base.with_name(f"{base.name}.{suffix}") for suffix in ("png", "pdf"))
    with atomic_path(png) as temporary:
        fig.savefig(temporary, format="png", dpi=DPI)
    # Type 42 keeps text searchable, and journals refuse the default, Type 3. Without the date, the
    # same figure gives the same file.
    with rc_context({"pdf.fonttype": 42}), atomic_path(pdf) as temporary:
        fig.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    return png, pdf
