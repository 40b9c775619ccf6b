"""The network within a checkpoint: the entry that holds it, and the prefix of its names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .misfit import shown_name
from .repository_names import from_repository
from .torch_names import WeightsError, canonical
from .transformers_names import are_of_transformers, from_transformers

_DEPTH = 3
_SHOWN = 6
# Words in the names of copies: averages of the weights, and the slow network of two.
_COPIES = {
    *("ema", "swa", "avg", "average", "averaged", "shadow"),
    *("teacher", "momentum", "target", "k"),
}
# Entries that scripts use, for checkpoints in which nothing fits.
_USUAL = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class Network:
    """The tensors of one network.

    Attributes:
        tensors: the values by name, without the wrapper's prefix; the names are torchvision's,
            but for levels that `canonical` removes.
        notes: sentences on what was taken and what was passed over.
    """

    tensors: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where a network may be: an entry of the checkpoint, and a prefix of its names."""

    entry: str
    prefix: str

    @property
    def is_copy(self) -> bool:
        """Whether the place has the name of an average or of a slow network."""
        return not _COPIES.isdisjoint(re.split(r"[._/]", f"{self.entry}/{self.prefix}".lower()))

    @property
    def arguments(self) -> str:
        """The arguments that choose this place by hand."""
        given = {"key": self.entry, "prefix": self.prefix}
        parts = [f"{name}={shown_name(repr(value))}" for name, value in given.items() if value]
        return ", ".join(parts) or 'prefix=""'


def find_network(
    checkpoint: Mapping[Any, Any],
    expected: Collection[str],
    *,
    key: str | None = None,
    prefix: str | None = None,
) -> Network:
    """Find the tensors of a network in a state dict or a checkpoint of a training.

    The place where most of the expected names are found is taken; among equal ones the only one
    that is no average (`ema`, `swa`, …) and no slow copy (`teacher`, `encoder_k`, …).

    Args:
        checkpoint: values by name; the network may be in an entry, or an entry of an entry.
        expected: torchvision's names of the network's tensors.
        key: the entry that holds the network, levels joined by `/`; None finds it.
        prefix: what all names of the network begin with; None finds it.

    Raises:
        WeightsError: if there is no such entry, if no name has the prefix, or if several places
            hold such a network.
    """
    entries = dict(_entries(_entry(checkpoint, key), "" if key is None else key))
    names = {entry: _translated(tree, expected) for entry, tree in entries.items()}
    counts: dict[_Place, int] = {}
    for entry, known in names.items():
        for found, count in _prefixes(known.values(), set(expected), prefix).items():
            counts[_Place(entry, found)] = count
    # Names that by chance end like the model's are no network.
    likely = {place: count for place, count in counts.items() if 2 * count > len(expected)}
    place, passed_over = _choose(likely)
    if place is None:
        usual = [entry for entry in _USUAL if key is None and entry in entries]
        place = _Place((usual or list(entries))[0], _with_dot(prefix or ""))
    tree, known = entries[place.entry], names[place.entry]
    taken = {key: name for key, name in known.items() if name.startswith(place.prefix)}
    if not taken and place.prefix:
        raise WeightsError(
            f"no name begins with `prefix` (={place.prefix!r}); the names begin with "
            f"{_few(sorted({_first_level(name) for name in known.values()}))}"
        )
    tensors = {name.removeprefix(place.prefix): tree[key] for key, name in taken.items()}
    others = [name for key, name in known.items() if key not in taken]
    return Network(tensors, tuple(_notes(place, key, prefix, others, passed_over)))


def _entry(checkpoint: Mapping[Any, Any], key: str | None) -> Mapping[Any, Any]:
    """Return the entry `key` of a checkpoint, whose levels are joined by `/`."""
    value: Any = checkpoint
    for level in [] if key is None else key.split("/"):
        inner = value.get(level) if isinstance(value, Mapping) else None
        if not isinstance(inner, Mapping):
            known = [entry for entry, _ in _entries(checkpoint, "") if entry]
            has = f"its entries with names are {_few(known)}" if known else "it has no entries"
            raise WeightsError(f"`key` (={key!r}) is no entry of the checkpoint; {has}")
        value = inner
    return value


def _entries(tree: Mapping[Any, Any], path: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield a mapping and the mappings in it, by their paths; each of them once."""
    seen = {id(tree)}
    level = [(path, tree)]
    for _ in range(_DEPTH + 1):
        yield from level
        inner = []
        for outer, mapping in level:
            for key, value in mapping.items():
                if isinstance(key, str) and isinstance(value, Mapping) and id(value) not in seen:
                    seen.add(id(value))
                    inner.append((f"{outer}/{key}" if outer else key, value))
        level = inner


def _translated(tree: Mapping[Any, Any], expected: Collection[str]) -> dict[Any, str]:
    """Return torchvision's name for each key, with the wrapper's prefix."""
    names = {key: key if isinstance(key, str) else repr(key) for key in tree}
    if are_of_transformers(names.values()):
        return {key: from_transformers(name) for key, name in names.items()}
    return dict(zip(names, from_repository(names.values(), expected), strict=True))


def _prefixes(
    names: Collection[str], expected: Collection[str], prefix: str | None
) -> dict[str, int]:
    """Return the prefixes that stand before expected names, and how many each of them has."""
    if prefix is not None:
        prefix = _with_dot(prefix)
        names = [name for name in names if name.startswith(prefix)]
        count = sum(canonical(name.removeprefix(prefix)) in expected for name in names)
        return {prefix: count} if count else {}
    counts: dict[str, int] = {}
    for name in names:
        levels = name.split(".")
        for at, level in enumerate(levels):
            # A level that a wrapper adds belongs to the prefix.
            if canonical(level) and canonical(".".join(levels[at:])) in expected:
                found = "".join(f"{level}." for level in levels[:at])
                counts[found] = counts.get(found, 0) + 1
                break
    return counts


def _choose(counts: Mapping[_Place, int]) -> tuple[_Place | None, list[_Place]]:
    """Return the place to take, and the equal ones that are passed over."""
    most = max(counts.values(), default=0)
    best = [place for place, count in counts.items() if count == most]
    if not best:
        return None, []
    plain = [place for place in best if not place.is_copy] or best
    if len(plain) > 1:
        choices = "; ".join(place.arguments for place in plain[:_SHOWN])
        raise WeightsError(f"the checkpoint holds {len(plain)} such networks; choose by {choices}")
    return plain[0], [place for place in best if place != plain[0]]


def _notes(
    place: _Place,
    key: str | None,
    prefix: str | None,
    others: Sequence[str],
    passed_over: Sequence[_Place],
) -> Iterator[str]:
    """Yield what a user should know of the choice."""
    if place.entry and key is None:
        yield f"The network is the entry `{shown_name(place.entry)}` of the checkpoint."
    if place.prefix and prefix is None:
        yield (
            f"The names of the network begin with `{shown_name(place.prefix)}`, which is removed."
        )
    for other in passed_over:
        yield f"Another network is passed over; {other.arguments} takes it."
    if others and place.prefix:
        yield f"Other names are passed over: {_few(sorted(others))}."


def _first_level(name: str) -> str:
    return name.partition(".")[0] + "." * ("." in name)


def _with_dot(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."


def _few(names: Sequence[str]) -> str:
    """Return the first names, and the number of all others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{shown_name(name)}`" for name in names[:_SHOWN]) + more
