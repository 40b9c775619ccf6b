"""What makes a run the same run: a checkpoint is gone on from only where all of it agrees."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ..data import Arrays
from ..data.base import array_digest
from .checkpoints import CheckpointError

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "resnet-jax")
_SHOWN = 4


def layout(tree: Any) -> dict[str, str]:
    """Type and shape of every leaf, by its path.

    >>> layout({"fc": {"bias": jax.numpy.zeros(3)}})
    {'fc/bias': 'float32[3]'}
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def describe(arrays: Arrays) -> str:
    """Count and SHA-256 of images and labels, in their order."""
    both = array_digest(arrays.images) + array_digest(arrays.labels)
    return f"{len(arrays)} images, {hashlib.sha256(both.encode()).hexdigest()}"


def versions() -> dict[str, str]:
    """Of the packages that compute, where they are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def check_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], origin: Path) -> None:
    """Raises unless a checkpoint belongs to the run that wants to resume from it.

    Args:
        saved: the identity that was saved; JSON values.
        wanted: the identity of the run; JSON values.
        origin: where ``saved`` is from, for the message.

    Raises:
        CheckpointError: naming the values that differ.
    """
    wanted = json.loads(json.dumps(wanted))
    # First what was chosen, then the paths of leaves, which follow from it.
    names = sorted(saved.keys() | wanted.keys(), key=lambda name: ("/" in name, name))
    differences = [
        f"`{name}` was {saved.get(name)!r} and is now {wanted.get(name)!r}"
        for name in names
        if saved.get(name) != wanted.get(name)
    ]
    if differences:
        more = len(differences) - _SHOWN
        shown = "; ".join(differences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise CheckpointError(
            f"cannot resume from {origin}: {shown}. Give the same values, or start a new run in "
            "another run folder"
        )


def changed_versions(saved: Mapping[str, str]) -> str:
    """Says which packages have another version now than when a checkpoint was saved; or ``""``."""
    now = versions()
    return ", ".join(
        f"{name} {saved.get(name)} is now {now.get(name)}"
        for name in _PACKAGES
        if saved.get(name) != now.get(name)
    )
