"""The module after `python -m`: whether it is a command, and which one is meant if not.

Python runs a module that only holds functions without a word, and of a misspelt one it says no more
than that there is none.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

_FOLDER = Path(__file__).parent
_RUNS = re.compile(r"^if __name__ == ['\"]__main__['\"]:", re.MULTILINE)
# Flags without a value may stand before the m in one word with it, and the module after it.
_FLAG = re.compile(r"-[bBdEiIOPqsSuvx]*m(.*)")


def command_files() -> dict[str, Path]:
    """Return the file of each command by its name, as after `python -m`."""
    files = sorted(path for path in _FOLDER.rglob("*.py") if path.stem != "__main__")
    return {
        ".".join((_FOLDER.name, *path.relative_to(_FOLDER).with_suffix("").parts)): path
        for path in files
        if _runs(path)
    }


def complain(arguments: Sequence[str]) -> str | None:
    """Return what is wrong with the module that Python is to run; None if it is a command.

    Args:
        arguments: those of the interpreter, as in `sys.orig_argv`.

    >>> complain(["python", "-m", "experiments.finetune", "--weights", "none"])
    >>> print(complain(["python", "-m", "experiments.fintune"]))
    there is no command experiments.fintune; did you mean experiments.finetune?
    """
    name = _asked(arguments)
    package, *parts = name.split(".")
    if package != _FOLDER.name or not parts:
        return None
    file = _FOLDER.joinpath(*parts[:-1], f"{parts[-1]}.py")
    if file.is_file() and _runs(file):
        return None
    commands: dict[str, list[str]] = {}
    for command in command_files():
        commands.setdefault(command.rpartition(".")[2], []).append(command)
    last = name.removesuffix(".py").rpartition(".")[2]
    near = difflib.get_close_matches(last, commands, n=1, cutoff=0.7)
    advice = (
        f"; did you mean {' or '.join(commands[near[0]])}?"
        if near
        else f"; `python -m {package}` lists them"
    )
    return f"there is no command {name}{advice}"


def check_asked_module() -> None:
    """End the process, with exit code 2, if the module that Python is to run is no command."""
    complaint = complain(sys.orig_argv)
    if complaint is not None:
        print(f"error: {complaint}", file=sys.stderr)
        raise SystemExit(2)


def _asked(arguments: Sequence[str]) -> str:
    """Return the module after `-m`; an empty text without one."""
    for index, argument in enumerate(arguments):
        if found := _FLAG.fullmatch(argument):
            return found[1] or "".join(arguments[index + 1 : index + 2])
    return ""


def _runs(file: Path) -> bool:
    """Return whether a module does something when it is run."""
    return bool(_RUNS.search(file.read_text(encoding="utf-8")))
