"""The style of all figures: palette, sizes and fonts, and how figures are drawn and saved."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Literal

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from ...storage import atomic_path
from .fonts import use_fallbacks

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

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Matplotlib's settings are those of the process; two threads may not change them at once.
_lock = threading.RLock()
_thread = threading.local()


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in Matplotlib's default style, whatever style the user has chosen.

    No text is parsed as mathematics or TeX. The user's settings are as before when the context
    ends. Also a decorator.
    """
    if getattr(_thread, "styled", False):
        yield
        return
    with _lock, style.context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
        # `report_missing` says it in one line.
        warnings.filterwarnings("ignore", r"Glyph \d+ |Matplotlib currently does not support")
        _thread.styled = True
        try:
            yield
        finally:
            _thread.styled = False


class StyledFigure(Figure):
    """A figure that is drawn in `figure_style`, whoever draws it."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw, with glyphs of other fonts where the figure's font lacks them."""
        with figure_style():
            use_fallbacks(self.findobj(Text))
            super().draw(renderer)

    def savefig(self, fname: str | os.PathLike[str] | IO[Any], **options: Any) -> None:
        """Save; see `matplotlib.figure.Figure.savefig`."""
        with figure_style():
            super().savefig(fname, **options)


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """Return an empty figure without a window and without global state.

    Args:
        width: width in inches.
        height: height in inches.
        constrained: make room for everything in it when it is drawn.
    """
    layout: Literal["constrained"] | None = "constrained" if constrained else None
    return StyledFigure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def style_of(fig: Figure) -> AbstractContextManager[None]:
    """Return the context in which to save a figure: `figure_style`, unless it is a user's own.

    Args:
        fig: the figure.
    """
    return figure_style() if isinstance(fig, StyledFigure) else nullcontext()


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


def set_log_y(axes: Axes) -> None:
    """Make the y-axis logarithmic, with plain text at its ticks.

    Args:
        axes: axes to change.
    """
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(_Powers())
    axes.yaxis.set_minor_formatter(_Powers())


class _Powers(LogFormatter):
    """Labels of the ticks of a logarithmic axis, such as 10⁻² and 3×10⁻²."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label at `x`; "" where the axis is too full for one."""
        if not super().__call__(x, pos):
            return ""
        coefficient, exponent = f"{x:.6e}".split("e")
        power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
        factor = f"{float(coefficient):g}"
        return power if factor == "1" else f"{factor}×{power}"


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
    with style_of(fig), rc_context({"pdf.fonttype": 42}), atomic_path(pdf) as temporary:
        fig.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    return png, pdf
