"""A figure inside a page: SVG markup that takes the page's colours and font."""

from __future__ import annotations

import io
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

# Matplotlib's colours of the figures here, by the page's CSS variable for them.
_THEME = {"#000000": "--ink", "#ffffff": "--paper", "#e0e0e0": "--rule"}


def inline_svg(fig: Figure, *, name: str) -> str:
    """Return a figure as an `<svg>` element to put into an HTML page.

    Black, white and the grid's grey become `var(--ink)`, `var(--paper)` and `var(--rule)` with
    themselves as fallback, so that a page can show the figure light or dark. Text stays text. The
    element is hidden from screen readers: the page must say in words what it shows.

    Args:
        fig: the figure.
        name: distinguishes its ids from those of other figures in the page.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(
            buffer,
            format="svg",
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    for color, variable in _THEME.items():
        text = text.replace(color, f"var({variable}, {color})")
    # Matplotlib leaves out the default fill, which is black.
    return text.replace("<svg ", f'<svg aria-hidden="true" fill="var(--ink, {"#000000"})" ', 1)
