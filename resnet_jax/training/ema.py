"""The exponential moving average of a model's variables."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from .scalars import number

Tree = TypeVar("Tree")


def check_decay(decay: float) -> None:
    """Raise unless `decay` is 0 (no average) or a weight below 1.

    Raises:
        ValueError: if the decay is out of range.
        TypeError: if it is no number.
    """
    if not 0.0 <= number("ema_decay", decay) < 1.0:
        raise ValueError(f"`ema_decay` (={decay}) must be at least 0 and below 1")


def update_ema(average: Tree, variables: Tree, step: Array, decay: float) -> Tree:
    """Move an average towards the variables after a step.

    `average ← d · average + (1 - d) · variables`, with `d = min(decay, (1 + step) / (10 +
    step))`, so that a short run's average forgets its random start.

    Parameters and BatchNorm's running statistics are averaged alike. The averaged statistics
    belong to the averaged parameters, so that no further pass over the data is needed to compute
    them.

    Args:
        average: the average so far; before the first step, the variables themselves.
        variables: the variables after the step.
        step: optimizer steps done, this one included.
        decay: the highest weight of the old average, in (0, 1).

    References:
        Polyak and Juditsky 1992, https://doi.org/10.1137/0330046;
        https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage (the start)

    >>> float(update_ema(jnp.float32(0), jnp.float32(1), jnp.int32(8), 0.9))
    0.5
    """
    count = step.astype(jnp.float32)
    weight = jnp.minimum(jnp.asarray(decay, jnp.float32), (1.0 + count) / (10.0 + count))

    def move(old: Any, new: Any) -> Any:
        return old + (1.0 - weight).astype(old.dtype) * (new - old)

    return jax.tree.map(move, average, variables)
