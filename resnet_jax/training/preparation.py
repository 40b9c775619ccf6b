"""What happens to a batch on the device before the model, and the random keys for it."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array, lax

Prepare = Callable[[Array, Array, Array], tuple[Array, Array]]
"""From images, labels and one random key per example to the model's images and labels."""


def as_is(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
    """Return images and labels unchanged: the default `Prepare`."""
    del keys
    return images, labels


def example_keys(key: Array, count: int, axis_name: str | None = None) -> Array:
    """Return a random key for each example, `[count]`.

    On a mapped axis each device gets its part of the keys of the global batch, so that an
    example's key does not depend on the number of devices.

    Args:
        key: the step's random key.
        count: examples on this device.
        axis_name: the mapped axis over which the devices share the batch, if any.
    """
    if axis_name is None:
        return jax.random.split(key, count)
    keys = jax.random.split(key, count * lax.axis_size(axis_name))
    return lax.dynamic_slice_in_dim(keys, lax.axis_index(axis_name) * count, count)


_DROPOUT = 0x64726F70
"""Folded into the step's key; above any batch size, because a smaller number is the key of an
example: `fold_in(key, i)` equals `split(key, n)[i]`."""


def dropout_key(key: Array, part: Array | int, axis_name: str | None = None) -> Array:
    """Return the random key for a model's dropout, different for each device and micro-batch.

    The masks of a batch therefore depend on the number of devices.

    Args:
        key: the step's random key.
        part: number of the micro-batch.
        axis_name: the mapped axis over which the devices share the batch, if any.
    """
    device = 0 if axis_name is None else lax.axis_index(axis_name)
    key = jax.random.fold_in(key, _DROPOUT)
    return jax.random.fold_in(jax.random.fold_in(key, device), part)
