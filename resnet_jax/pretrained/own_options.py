"""Options of a network that timm does not have, as the entry `resnet_jax` of a `config.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from ..models import (
    ANTI_ALIASES,
    ATTENTIONS,
    SHORTCUTS,
    STEMS,
    ResNet,
    ResNetOptions,
    WeightsError,
)

ENTRY = "resnet_jax"
"""The entry's name."""

_MOST = 2**16


def _is_count(value: Any, most: int = _MOST) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_list(value: Any, check: Callable[[Any], bool], most: int = 4) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and 1 <= len(value) <= most
        and all(map(check, value))
    )


def _is_one_of(names: Iterable[str]) -> Callable[[Any], bool]:
    allowed = tuple(names)
    return lambda value: value is None or (isinstance(value, str) and value in allowed)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_CHECKS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "layers": lambda value: _is_list(value, lambda count: _is_count(count, 1000)),
        "groups": _is_count,
        "width_per_group": _is_count,
        "replace_stride_with_dilation": lambda value: (
            value is None or _is_list(value, _is_flag, most=3)
        ),
        "stem": lambda value: isinstance(value, str) and value in STEMS,
        "base_planes": lambda value: _is_count(value) or _is_list(value, _is_count),
        "shortcut": _is_one_of(SHORTCUTS),
        "attention": _is_one_of(ATTENTIONS),
        "anti_alias": _is_one_of(ANTI_ALIASES),
        "reduce_first": _is_count,
        "dropout": lambda value: isinstance(value, int | float) and 0 <= value < 1,
        "final_norm": _is_flag,
    }
)


def own_options(model: ResNet, different: Iterable[str]) -> dict[str, Any] | None:
    """Return fields of a network as JSON values; None if one of them has none.

    Args:
        model: the network.
        different: names of the fields.
    """
    options = {}
    for name in different:
        value = getattr(model, name)
        value = list(value) if isinstance(value, tuple | list) else value
        if name not in _CHECKS or not _CHECKS[name](value):
            return None
        options[name] = value
    return options


def read_own_options(config: Mapping[str, Any]) -> ResNetOptions:
    """Return the options that the entry of a configuration stands for; none without the entry.

    Args:
        config: the configuration.

    Raises:
        WeightsError: naming an option that is unknown, or has a value that no network has.

    >>> read_own_options({"resnet_jax": {"stem": "cifar", "base_planes": 16}})
    {'stem': 'cifar', 'base_planes': 16}
    """
    entry = config.get(ENTRY, {})
    if not isinstance(entry, Mapping):
        raise WeightsError(f"`{ENTRY}` (={entry!r:.40}) must be an object")
    for name, value in entry.items():
        if name not in _CHECKS:
            raise WeightsError(
                f"`{ENTRY}` has {name!r:.40}; this version knows {', '.join(_CHECKS)}"
            )
        if not _CHECKS[name](value):
            raise WeightsError(f"`{ENTRY}`: `{name}` (={value!r:.40}) is what no network has")
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in entry.items()}
    return cast(ResNetOptions, values)
