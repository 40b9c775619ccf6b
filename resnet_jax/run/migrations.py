"""Checkpoints of older formats, brought to the present one step by step.

A checkpoint's `progress.json` has a `format`. When its contents change in a way that an older
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
    """Return a floating-point scalar as the shortest decimal that is the same in its precision.

    >>> shortest(np.float32(0.1))
    0.1
    """
    return float(str(np.asarray(value)[()]))


def _rates_by_step(progress: dict[str, Any]) -> dict[str, Any]:
    """Go from format 1 to 2: it kept one learning rate an epoch, without the schedule's factor."""
    identity = progress.get("identity", {})
    if "history" not in progress or "training_data" not in identity:
        return progress
    images = int(identity["training_data"].split()[0])
    steps_per_epoch = max(1, images // identity["batch_size"])
    by_epoch = [*progress["learning_rates"], progress["plateau"]["learning_rate"]]
    steps = np.arange(len(progress["history"]["minibatch_losses"]))
    # As the step computed them, in float32.
    rates = np.asarray(by_epoch, np.float32)[
        np.minimum(steps // steps_per_epoch, len(by_epoch) - 1)
    ]
    if identity["schedule"] is not None:
        rates = rates * np.asarray(Schedule(**identity["schedule"])(steps), np.float32)
    return {**progress, "learning_rates": [shortest(rate) for rate in rates]}


_MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {1: _rates_by_step}
)


def migrate(progress: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's contents in the present format.

    Args:
        progress: JSON values, with a `format` from 1 to `FORMAT_VERSION`.

    Raises:
        ValueError: if they are not of their format.
    """
    try:
        for version in range(progress["format"], FORMAT_VERSION):
            progress = _MIGRATIONS[version](progress)
    except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"it is not of its format: {error!r}") from error
    return {**progress, "format": FORMAT_VERSION}
