"""The messages of errors, shortened to one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or the name of its type if it has none.

    Messages of other libraries can fill pages; the line is cut after 300 characters and loses a
    full stop or colon at its end.

    Args:
        error: the error.

    >>> first_line(OSError("disk full.\nTraceback: ..."))
    'disk full'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".: ")


def one_line(error: BaseException | str) -> str:
    r"""Return a text, or an error's whole message, in one line.

    For an error without a message, return the name of its type.

    Args:
        error: the error or the text.

    >>> one_line(ValueError("`epochs` (=0)\nmust be at least 1"))
    '`epochs` (=0) must be at least 1'
    """
    line = " ".join(str(error).split())
    return line or ("" if isinstance(error, str) else type(error).__name__)
