"""Checkpoints of older formats, brought to the present one step by step.

A checkpoint's `progress.json` has a `format`. When the contents change in a way that an older
reader cannot follow, raise `FORMAT_VERSION` and add a function from the format before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..training import Schedule

FORMAT_VERSION = 2
"""Format of what a checkpoint holds; bump it when older readers cannot load the file."""


def shortest(value: Any) -> float:
    """Return a float scalar as the shortest decimal that is the same number in its own precision.

    >>> shortest(np.float32(0.1))
    0.1
    """
    return float(str(np.asarray(value)[()]))


def _learning_rates_by_step(progress: dict[str, Any]) -> dict[str, Any]:
    """Go from format 1 to 2: learning rates were kept by the epoch, before the schedule."""
    schedule = progress["identity"]["schedule"]
    losses, by_epoch = progress["history"]["minibatch_losses"], progress["learning_rates"]
    finished = len(by_epoch)
    # Without finished epochs nothing says how many steps one has, and one rate serves all.
    per_epoch = max(1, progress["step"] // finished) if finished else len(losses) or 1
    if finished and len(losses) >= per_epoch * (finished + 1):
        per_epoch = progress["step"] // (finished + 1)
    return progress


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {1: _learning_rates_by_step}
)
