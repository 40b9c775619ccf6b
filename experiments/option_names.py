"""Options of a command line that there are not, and those that they may stand for."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence


def check_names(arguments: Sequence[str], names: Collection[str]) -> None:
    """Raise unless all options are known; one that is not may be taken for a file's name.

    Args:
        arguments: the arguments of a command line.
        names: the options that there are, such as `--epochs`.

    Raises:
        ValueError: naming the first one, and the option that it may stand for.

    >>> check_names(["--epohcs", "5"], ["--epochs", "--seed"])
    Traceback (most recent call last):
    ValueError: there is no option --epohcs; did you mean --epochs?
    """
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if name == "--":  # what follows are names of files
            return
        if name.startswith("--") and name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.7)
            advice = f"; did you mean {' or '.join(near)}?" if near else "; --help lists them"
            raise ValueError(f"there is no option {name}{advice}")
