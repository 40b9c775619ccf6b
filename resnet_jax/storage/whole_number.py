"""Whole numbers as Python's."""

from __future__ import annotations

import operator
from typing import SupportsIndex


def whole_number(name: str, value: SupportsIndex, *, least: int | None = 1) -> int:
    """Return a whole number, of Python, NumPy or JAX, as Python's `int`.

    NumPy's have a few bits, and what is computed with them may need more: `np.uint8(200) + 100` is
    44.

    Args:
        name: of the argument, for the message.
        value: the number.
        least: the least that it may be; None for any.

    Raises:
        TypeError: if the value is no whole number; 2.0 is none.
        ValueError: if it is below the least.

    >>> import numpy as np
    >>> whole_number("batch_size", np.uint8(200)) + 100
    300
    """
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` (={value!r}) must be a whole number") from None
    if least is not None and found < least:
        raise ValueError(f"`{name}` (={found}) must be at least {least}")
    return found
