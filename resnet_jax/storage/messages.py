"""Errors of other libraries and of the disk, told in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    r"""Return the beginning of an error's message, which may go on for pages, or its type's name.

    >>> first_line(OSError("disk full.\nTraceback: ..."))
    'disk full'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".: ")


def one_line(error: BaseException | str) -> str:
    r"""Return an error's whole message, or a text, in one line.

    Of an error without a message it is the name of its type.

    >>> one_line(ValueError("`epochs` (=0)\nmust be at least 1"))
    '`epochs` (=0) must be at least 1'
    """
    line = " ".join(str(error).split())
    return line or ("" if isinstance(error, str) else type(error).__name__)
