"""A figure as SVG inside an HTML page, in the colours and the font of the page."""

from __future__ import annotations

import io
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

# The page's CSS variable for each neutral colour of the figures.
_THEME = {"#000000": "--ink", "#ffffff": "--paper", "#e0e0e0": "--rule"}


def inline_svg(fig: Figure, *, name: str) -> str:
    """Return a figure as an `<svg>` element for an HTML page.

    Black, white and the grey of the grid become `var(--ink)`, `var(--paper)` and `var(--rule)`,
    with the original colours as fallbacks, so that a page can show the figure light or dark. Text
    stays text. The element is hidden from screen readers, so the page must describe it in words.

    Args:
        fig: the figure.
        name: prefix of the ids, which distinguishes them from those of other figures on the page.
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
    # Matplotlib does not write the default fill, which is black.
    return text.replace("<svg ", f'<svg aria-hidden="true" fill="var(--ink, {"#000000"})" ', 1)
