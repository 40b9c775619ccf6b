"""The help of a command: its docstring, its options' texts, and the completion by a shell."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, get_type_hints

COMPLETION = "--tyro-print-completion"
"""Prints the completion of a shell; tyro handles it, as the first argument."""


def program() -> str:
    """Return what starts this command, as in `python -m experiments.predict`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return sys.argv[0]
    return f"python -m {spec.name.removesuffix('.__main__')}"


def format_description(docstring: str, width: int) -> str:
    """Return a docstring whose paragraphs fit into a width; code and lists stay as they are.

    Args:
        docstring: the text.
        width: columns of the terminal.
    """
    blocks = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(
        block
        if any(line[0] in " -" for line in block.splitlines())
        or all(len(line) <= width for line in block.splitlines())
        else textwrap.fill(" ".join(block.split()), width, break_on_hyphens=False)
        for block in blocks
    )


def format_epilogue(command: str) -> str:
    """Return the end of the help: how a shell completes the options of a command.

    Args:
        command: what starts it.
    """
    name = command.rpartition(".")[2]
    return (
        "Completion of options and their values in bash, zsh or fish:\n\n"
        f'    {name}() {{ {command} "$@"; }}\n'
        f"    source <({command} {COMPLETION} bash)"
    )


def option_names(kind: type) -> Iterator[str]:
    """Yield the options of a dataclass as they are written on the command line.

    Args:
        kind: a dataclass of options, with others inside it.
    """
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from option_names(hint)
            continue
        name = field.name.replace("_", "-")
        yield f"--{name}"
        if hint is bool:
            yield f"--no-{name}"


def explain_fields(kind: type) -> None:
    """Give every option of a dataclass its docstring as one paragraph, where tyro looks for it.

    Tyro would take it from the source with its line breaks, which fit one width alone.

    Args:
        kind: a dataclass of options, with others inside it.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, text in _docstrings(kind).items():
        if name in fields:
            metadata = {**fields[name].metadata, "help": text}
            fields[name].metadata = MappingProxyType(metadata)
    for hint in get_type_hints(kind).values():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            explain_fields(hint)


@cache
def _docstrings(kind: type) -> dict[str, str]:
    """Return the docstring of each field, those of the classes that it inherits from included."""
    bases = [base for base in reversed(kind.__mro__) if dataclasses.is_dataclass(base)]
    return {name: text for base in bases for name, text in _own_docstrings(base)}


def _own_docstrings(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the fields that the source of a class explains, and what it says of each."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body: list[Any] = tree.body  # type: ignore[attr-defined]
    for field, after in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(after.value.value).split())
