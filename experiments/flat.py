"""Nested options under flat names, as on the command line and in `config.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")


def _always(values: Mapping[str, Any]) -> bool:
    """Return True, whatever the options are."""
    return True


@dataclass(frozen=True)
class MayChange:
    """Marks an option, in its `Annotated` type, that may change when a run is resumed.

    Attributes:
        when: says by the flat options whether it may.
    """

    when: Callable[[Mapping[str, Any]], bool] = _always


Free = Annotated[T, MayChange()]
"""The type of an option that may change when a run is resumed."""


def flatten(options: Any) -> dict[str, Any]:
    """Return the value of every option by its flat name.

    Args:
        options: a dataclass of options, with others inside it.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values.update(flatten(value) if dataclasses.is_dataclass(value) else {field.name: value})
    return values


def override(options: T, **values: Any) -> T:
    """Return the options with some of them replaced, by their flat names.

    Args:
        options: a dataclass of options, with others inside it.
        **values: the new values.

    Raises:
        TypeError: for a name that is not one of the options.
    """
    unknown = values.keys() - {field.name for _, field in _leaves(options)}
    if unknown:
        raise TypeError(f"{type(options).__name__} has no option {', '.join(sorted(unknown))}")
    return _replaced(options, values)


def fixed_options(options: Any) -> dict[str, Any]:
    """Return the flat options that must be the same when a run is resumed.

    Args:
        options: a dataclass of options, with others inside it.
    """
    values = flatten(options)
    free = {
        field.name
        for owner, field in _leaves(options)
        for mark in get_args(get_type_hints(type(owner), include_extras=True)[field.name])
        if isinstance(mark, MayChange) and mark.when(values)
    }
    return {name: value for name, value in values.items() if name not in free}


def arguments(options: Any, defaults: Any) -> list[str]:
    """Return the arguments of the command line that make the options of their defaults.

    Args:
        options: a dataclass of options, with others inside it.
        defaults: another one of the same class.

    >>> from .training_options import ScheduleOptions
    >>> arguments(ScheduleOptions("multistep", milestones=(0.3, 0.6)), ScheduleOptions())
    ['--schedule', 'multistep', '--milestones', '0.3', '0.6']
    """
    before, words = flatten(defaults), []
    for name, value in flatten(options).items():
        if value == before[name]:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{option}", *map(str, values)]
    return words


def default_options(kind: type) -> dict[str, Any]:
    """Return the defaults of a dataclass of options by their flat names; required ones have none.

    Args:
        kind: a dataclass of options, with others inside it.
    """
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            values.update(flatten(field.default_factory()))
        elif field.default is not dataclasses.MISSING:
            values[field.name] = field.default
        elif dataclasses.is_dataclass(hints[field.name]):
            values.update(default_options(hints[field.name]))
    return values


def _leaves(options: Any) -> Iterator[tuple[Any, dataclasses.Field[Any]]]:
    """Yield each field that is an option, and the dataclass instance that has it."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value)
        else:
            yield options, field


def _replaced(options: T, values: Mapping[str, Any]) -> T:
    """Return the options with those of the values that are in them."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _replaced(value, values)
        elif field.name in values:
            changes[field.name] = values[field.name]
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]
