"""Text from a user, made fit for a page, a figure or a terminal; nothing in it is markup."""

from __future__ import annotations

import operator
import unicodedata
from typing import SupportsIndex

_ESCAPED = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories that no file or screen shows: control, surrogate, line and paragraph."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that change the direction of all the text behind them."""


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""Return a text in which whatever cannot be printed is written as an escape.

    The result is one line, changes no terminal, and can be encoded.

    Args:
        text: any text, such as the name of a file.
        encoding: encoding of the place that the text goes to.

    >>> printable("a\nb\x1b[1m")
    'a\\nb\\x1b[1m'
    >>> printable("ß 猫", "latin-1")
    'ß \\u732b'
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _ESCAPED or char in _DIRECTIONS
        else char
        for char in text
    )
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def name_text(name: str | SupportsIndex) -> str:
    """Return a name as text, which the names of classes 0, 1, … often are not.

    Args:
        name: any text, or a whole number.

    Raises:
        TypeError: if the name is neither.

    >>> name_text(7), name_text("cat")
    ('7', 'cat')
    """
    if isinstance(name, str):
        return str(name)
    try:
        return str(operator.index(name))
    except TypeError:
        raise TypeError(f"a name (={name!r}) must be text or a whole number") from None


def printable_name(name: str | SupportsIndex, encoding: str = "utf-8") -> str:
    """Return a name as `printable` does; one without a visible character is put in quotes.

    Args:
        name: any text, or a whole number.
        encoding: encoding of the place that the text goes to.

    Raises:
        TypeError: if the name is neither.

    >>> printable_name(" "), printable_name("cat")
    ("' '", 'cat')
    """
    shown = printable(name_text(name), encoding)
    return shown if shown.strip() else f"'{shown}'"
