"""Parts of a network that an option takes by a name in a table or as a callable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Part = TypeVar("Part")


def choose(option: str, value: str | Part, table: Mapping[str, Part]) -> Part:
    """Return the row of a table that a name stands for, and a callable as it is.

    Args:
        option: name of the option, for the message.
        value: a key of `table`, or a callable.
        table: the parts by name.

    Raises:
        ValueError: if the value is neither.

    >>> choose("stem", "small", {"small": print}) is print
    True
    """
    if isinstance(value, str):
        if value in table:
            return table[value]
    elif callable(value):
        return value
    raise ValueError(f"`{option}` (={value!r}) must be one of {', '.join(table)}")
