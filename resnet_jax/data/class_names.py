"""What the names of classes must be."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ..storage import printable


def check_names(names: Sequence[str]) -> None:
    """Raise unless the names of classes can be written into a report and told apart.

    Args:
        names: the names in label order.

    Raises:
        ValueError: naming the first that cannot.
    """
    if isinstance(names, str):
        raise ValueError(f"`class_names` (={printable(names)!r}) must be a tuple of names")
    known: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"`class_names` has {name!r} (a {type(name).__name__}), which is not a text"
            )
        if not is_utf_8(name):
            raise ValueError(
                f"`class_names` has '{printable(name)}', which is not UTF-8; rename the class"
            )
        twin = known.get(same_name(name))
        if twin is not None:
            form = "" if twin == name else f", in different Unicode forms: {twin!a} and {name!a}"
            raise ValueError(
                f"`class_names` has '{printable(name)}' twice{form}; each class needs a name of "
                "its own"
            )
        known[same_name(name)] = name


def same_name(name: str) -> str:
    """Return what two Unicode forms of a name have in common: its composed form (NFC).

    Args:
        name: the name.
    """
    return unicodedata.normalize("NFC", name)


def is_utf_8(name: str) -> bool:
    """Return whether a name can be written in UTF-8, as that of a file need not be.

    Args:
        name: the name.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
