"""What makes a run the same run: a checkpoint is resumed only where all of it agrees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from ..data import Arrays, ImageStream, array_digest
from ..ops import cpu_lowering
from ..storage import package_versions, to_plain

_SHOWN = 4


class IdentityError(ValueError):
    """A run differs from the one that it wants to resume; the message names what differs."""


@dataclass(frozen=True)
class Identity:
    """What must be the same when a run is resumed.

    Attributes:
        values: JSON values, by name.
        defaults: values of names that an older run has not saved, because they did not exist yet;
            where a value is a mapping, the defaults of its entries.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, other: Identity) -> Identity:
        """Return both together; the other's values win."""
        return Identity({**self.values, **other.values}, {**self.defaults, **other.defaults})


def layout(tree: Any) -> dict[str, str]:
    """Return type and shape of every leaf, by its path.

    >>> layout({"fc": {"bias": jax.numpy.zeros(3)}})
    {'fc/bias': 'float32[3]'}
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def describe(data: Arrays | ImageStream) -> str:
    """Return the number of images and a SHA-256, which their order changes, too.

    For images in memory it is that of pixels and labels; for a stream that of the files' names
    and sizes, the labels and the crops, because reading all contents would take hours.

    Args:
        data: the images.
    """
    if isinstance(data, ImageStream):
        return f"{len(data)} images, {data.fingerprint}"
    both = array_digest(data.images) + array_digest(data.labels)
    return f"{len(data)} images, {hashlib.sha256(both.encode()).hexdigest()}"


def versions() -> dict[str, str]:
    """Return the versions of the packages that compute, where they are installed.

    On the CPU the lowering of convolutions is among them, because it decides how sums are rounded.
    """
    found = {name: version for name, version in package_versions().items() if version is not None}
    if jax.default_backend() == "cpu":
        found["convolutions"] = cpu_lowering().name
    return found


def check_identity(
    saved: Mapping[str, Any], wanted: Identity, origin: Path, *, partial: bool = False
) -> None:
    """Raise unless a run that was saved is the one that wants to resume.

    A value that the saved run lacks, because it is older than the option, counts as the default.

    Args:
        saved: the identity that was saved; JSON values.
        wanted: the identity of the run.
        origin: where `saved` is from, for the message.
        partial: compare only the names that both have; `saved` holds other things, too.

    Raises:
        IdentityError: naming the values that differ.
    """
    values: dict[str, Any] = to_plain(wanted.values, "identity")
    defaults: dict[str, Any] = to_plain(wanted.defaults, "identity")
    before = {name: _completed(saved[name], defaults.get(name)) for name in saved}
    for name in values.keys() & defaults.keys():
        before.setdefault(name, defaults[name])
    names = values.keys() & before.keys() if partial else values.keys() | before.keys()
    # First what was chosen, then the paths of leaves, which follow from it.
    differences = [
        f"`{name}` was {before.get(name)!r} and is now {values.get(name)!r}"
        for name in sorted(names, key=lambda name: ("/" in name, name))
        if before.get(name) != values.get(name)
    ]
    if differences:
        more = len(differences) - _SHOWN
        shown = "; ".join(differences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise IdentityError(
            f"cannot resume from {origin}: {shown}. Give the same values, or start a new run in "
            "another run folder"
        )


def _completed(value: Any, default: Any) -> Any:
    """Return a saved mapping with the entries that it lacks."""
    return {**default, **value} if isinstance(value, dict) and isinstance(default, dict) else value


def changed_versions(saved: Mapping[str, str]) -> str:
    """Say which `versions` are others now than when a checkpoint was saved, or return ''.

    Args:
        saved: the versions then; of one that is missing nothing is known.
    """
    return ", ".join(
        f"{name} {saved[name]} is now {now}"
        for name, now in versions().items()
        if name in saved and saved[name] != now
    )
