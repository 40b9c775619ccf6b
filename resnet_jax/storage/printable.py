"""Text from a user, made fit for a page, a figure or a terminal; nothing in it is markup."""

from __future__ import annotations

import unicodedata

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


def printable_name(name: str, encoding: str = "utf-8") -> str:
    """Return a name as `printable` does; one without a visible character is put in quotes.

    Args:
        name: any text.
        encoding: encoding of the place that the text goes to.

    >>> printable_name(" "), printable_name("cat")
    ("' '", 'cat')
    """
    shown = printable(name, encoding)
    return shown if shown.strip() else f"'{shown}'"
