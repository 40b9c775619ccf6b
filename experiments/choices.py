"""Options with a fixed set of values: how they are shown, read and checked."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

_MANY = 20
"""Names above which help and messages do not list all of them."""

registry = ConstructorRegistry()
"""Reads a `Literal` as text, so that `check_choices` alone decides what is allowed."""


@registry.primitive_rule
def _read_as_text(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[str] | None:
    """Return how to read a `Literal` of names; None for any other type."""
    if get_origin(info.type) is not Literal:
        return None
    names = get_args(info.type)
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(names)}}}" if len(names) <= _MANY else "NAME",
        instance_from_str=lambda arguments: arguments[0],
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
    )


def check_choices(options: Any) -> None:
    """Check every field whose type is a `Literal`, or a tuple of them, in nested options too.

    Args:
        options: a dataclass of options.

    Raises:
        ValueError: naming the option, its value and the names that it may have.
    """
    hints = get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            check_choices(value)
            continue
        allowed = _choices(hints[field.name])
        for chosen in value if isinstance(value, list | tuple) else (value,):
            if allowed and chosen not in allowed:
                raise ValueError(
                    f"`{field.name}` (={chosen!r}) must be one of {_shown(chosen, allowed)}"
                )


def _shown(chosen: Any, allowed: tuple[str, ...]) -> str:
    """Return the names to choose from; of many names those that are most like the wrong one."""
    if len(allowed) <= _MANY:
        return ", ".join(allowed)
    near = difflib.get_close_matches(str(chosen), allowed, n=5, cutoff=0.5) or allowed[:5]
    return (
        f"{len(allowed)} names, such as {', '.join(near)}; `python -m experiments --variants` "
        "lists them"
    )


def _choices(hint: Any) -> tuple[str, ...]:
    """Return the names that a type allows; no names if it does not limit them."""
    return next(_literals(hint), ())


def _literals(hint: Any) -> Iterator[tuple[str, ...]]:
    """Yield the names of each `Literal` inside a type."""
    if get_origin(hint) is Literal:
        yield get_args(hint)
    elif get_origin(hint) is Annotated:
        yield from _literals(get_args(hint)[0])
    else:
        for part in get_args(hint):
            yield from _literals(part)
