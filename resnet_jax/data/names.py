"""Names of files in messages, whatever characters they hold."""

from __future__ import annotations


def printable(name: object) -> str:
    r"""Return a name or path with escapes for everything that cannot be printed as it is.

    Control characters, line separators and the bytes that are no UTF-8 (which Python keeps as
    surrogates) become backslash escapes; letters of all scripts stay.

    Args:
        name: the name or path.

    >>> printable("café\n\udce9")
    'café\\n\\udce9'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(name)
    )
