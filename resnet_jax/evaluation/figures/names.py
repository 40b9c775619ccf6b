"""Names from users, as text of a figure: one line each, visible, and of bounded width."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import SupportsIndex

from ...storage import printable, printable_name
from .fonts import report_missing

_LETTER = 0.6
"""Width of a letter, in units of the font size."""
_LONGEST = 40 * _LETTER
"""Width of a name, in units of the font size, above which its middle is left out."""

SMALLEST = 4.0
"""Font size, in points, that a name can be read at when the figure is enlarged."""


def text_width(text: str) -> float:
    """Estimate the width of a line of text, in units of the font size.

    Args:
        text: one line; a letter is 0.6 wide, and a wide character such as a Chinese one is 1.
    """
    return sum(map(_width, text))


def figure_names(
    names: Iterable[str | SupportsIndex], *, room: float = math.inf, smallest: float = SMALLEST
) -> list[str]:
    """Return names as a figure shows them.

    Args:
        names: any text, or whole numbers; characters that cannot be printed are written as
            escapes, and long names lose their middle, so that one of them does not make the others
            small.
        room: width that a name may take, in points.
        smallest: font size at which each name must fit into that width, in points.

    Raises:
        TypeError: if a name is neither text nor a whole number.
    """
    longest = min(_LONGEST, room / smallest)
    shown = [_shorten(printable_name(name), longest) for name in names]
    report_missing("".join(shown))
    return shown


def figure_label(text: str) -> str:
    """Return the label of an axis as a figure shows it.

    Args:
        text: any text; its line breaks stay.
    """
    shown = "\n".join(printable(line) for line in text.split("\n"))
    report_missing(shown)
    return shown


def _width(char: str) -> float:
    """Return the width of a character, in units of the font size."""
    return 1.0 if unicodedata.east_asian_width(char) in "WF" else _LETTER


def _shorten(name: str, longest: float) -> str:
    """Leave out the middle of a long name: names often differ at their ends."""
    if text_width(name) <= longest:
        return name
    half = (longest - _LETTER) / 2
    return f"{_beginning(name, half)}…{_beginning(name[::-1], half)[::-1]}"


def _beginning(text: str, width: float) -> str:
    """Return as much of the beginning of a text as fits into a width."""
    for count, char in enumerate(text):
        width -= _width(char)
        if width < 0:
            return text[:count]
    return text
