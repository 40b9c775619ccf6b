"""Scalars of Python, NumPy and JAX as Python's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(name: str, value: Any) -> Any:
    """Return a scalar of NumPy or JAX as Python's, and any other value as it is.

    NumPy's and JAX's have a precision of their own, which would promote what they meet.

    Args:
        name: of the argument, for the message.
        value: the value.

    Raises:
        ValueError: if the value is an array with axes.

    >>> plain("patience", np.int64(3))
    3
    """
    check_scalar(name, value)
    return value.item() if hasattr(value, "item") else value


def number(name: str, value: Any) -> float:
    """Return a number, of Python, NumPy or JAX, as Python's `float`.

    Args:
        name: of the argument, for the message.
        value: the number.

    Raises:
        ValueError: if the value is an array with axes.
        TypeError: if it is no number.

    >>> number("factor", np.float32(0.5))
    0.5
    """
    value = plain(name, value)
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"`{name}` (={value!r}) must be a number")
    return float(value)


def check_scalar(name: str, value: Any) -> None:
    """Raise unless a value, which may be traced, has no axes.

    Raises:
        ValueError: naming the value's shape.
    """
    if np.shape(value):
        raise ValueError(f"`{name}` must be a scalar, not an array of shape {np.shape(value)}")
