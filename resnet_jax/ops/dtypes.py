"""The types that sums, statistics and numbers of classes have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def float32_or_wider(dtype: DTypeLike) -> jnp.dtype:
    """Return float32, or a dtype that is wider.

    >>> float32_or_wider(jnp.bfloat16), float32_or_wider(jnp.float64)
    (dtype('float32'), dtype('float64'))
    """
    return wider(dtype, jnp.float32)


def wider(one: DTypeLike, other: DTypeLike) -> jnp.dtype:
    """Return the dtype that holds two others.

    `jnp.promote_types` alone refuses to name it under `jax_numpy_dtype_promotion=strict`, where
    values of this package are cast, and none is promoted.
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(one, other)


def class_numbers(labels: jax.Array) -> jax.Array:
    """Return integer labels in a type that holds the number of classes, which theirs may not.

    >>> class_numbers(jnp.zeros(2, jnp.uint8)).dtype
    dtype('int32')
    """
    return labels.astype(jnp.int64 if labels.dtype.itemsize > 4 else jnp.int32)
