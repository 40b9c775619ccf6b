"""A figure as SVG inside an HTML page, in the colours and the font of the page."""

from __future__ import annotations

import html
import io
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

from .style import style_of

# The page's CSS variable for each neutral colour of the figures.
_THEME = {"#000000": "--ink", "#ffffff": "--paper", "#e0e0e0": "--rule"}


def inline_svg(fig: Figure, *, name: str, label: str) -> str:
    """Return a figure as an `<svg>` element for an HTML page.

    Black, white and the grey of the grid become `var(--ink)`, `var(--paper)` and `var(--rule)`,
    with the original colours as fallbacks, so that a page can show the figure light or dark. Text
    stays text. For screen readers the element is one picture, of which they read the label.

    Args:
        fig: the figure.
        name: prefix of the ids, which distinguishes them from those of other figures on the page.
        label: what the figure shows, in words; any text, of which nothing is markup.
    """
    buffer = io.StringIO()
    with style_of(fig), rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(
            buffer,
            format="svg",
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    # Tags alone; text between them may look like an attribute or a colour.
    text = re.sub(r"<[^>]*>", lambda tag: _in_page(tag[0], name), text)
    # Matplotlib does not write the default fill, which is black.
    words = f'role="img" aria-label="{html.escape(label)}"'
    return text.replace("<svg ", f'<svg {words} fill="var(--ink, #000000)" ', 1)


def _in_page(tag: str, name: str) -> str:
    """Return a tag with the ids and colours of the page.

    Args:
        tag: a tag of the element.
        name: prefix of the ids.
    """
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", tag)
    for color, variable in _THEME.items():
        tag = tag.replace(color, f"var({variable}, {color})")
    return tag
