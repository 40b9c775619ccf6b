"""Errors of the disk: why something could not be written or read, and whether room would help."""

from __future__ import annotations

import errno
import os
import re

from ..storage import first_line

_CODE = re.compile(r"\[os_error_code='(\d+)'\]")
"""The system's number of an error, in messages of TensorStore."""


def reason_of(error: BaseException) -> str:
    """Return in one line why something could not be written or read.

    Args:
        error: of the system, or of Orbax or TensorStore, which name file after file before they
            come to what the system says.

    >>> reason_of(ValueError("OUT_OF_RANGE: Error writing a: [os_error_code='27']"))
    'File too large'
    """
    code = _CODE.search(str(error))
    if code is not None:
        return os.strerror(int(code[1]))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror} ({error.filename})"
    return first_line(error)


def lacks_room(error: BaseException) -> bool:
    """Return whether the disk, or the user's part of it, is full.

    Args:
        error: of the system, Orbax or TensorStore.

    >>> lacks_room(OSError(errno.ENOSPC, "No space left on device"))
    True
    """
    code = _CODE.search(str(error))
    number = int(code[1]) if code is not None else getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT)
