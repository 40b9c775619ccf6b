"""How the help shows the names that an option may have."""

from __future__ import annotations

from typing import Any

import tyro


def choice(*names: str, suffix: str = "") -> Any:
    """Return the annotation of an option that has one of these names.

    Args:
        *names: the names.
        suffix: what may follow a name.
    """
    return tyro.conf.arg(metavar="{" + ",".join(names) + "}" + suffix)
