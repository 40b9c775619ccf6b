"""The types that sums and statistics have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def float32_or_wider(dtype: DTypeLike) -> jnp.dtype:
    """Return float32, or a dtype that is wider.

    `jnp.promote_types` alone refuses to name a wider type under `jax_numpy_dtype_promotion=strict`,
    where values of this package are cast, and none is promoted.

    >>> float32_or_wider(jnp.bfloat16), float32_or_wider(jnp.float64)
    (dtype('float32'), dtype('float64'))
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(dtype, jnp.float32)
