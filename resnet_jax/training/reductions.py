"""Means over devices: of losses, statistics and gradients."""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array, lax

ReduceDtype = Literal["float32", "bfloat16"]
"""How devices sum their gradients: as they are, in float32 or wider, or rounded to bfloat16."""


def check_reduce_dtype(reduce_dtype: str) -> None:
    """Raise unless gradients can be summed in a dtype.

    Args:
        reduce_dtype: the name of the dtype.

    Raises:
        ValueError: if it is not one of `ReduceDtype`.
    """
    if reduce_dtype not in get_args(ReduceDtype):
        raise ValueError(f"`reduce_dtype` (={reduce_dtype!r}) must be 'float32' or 'bfloat16'")


def average(tree: Any, axis_name: str) -> Any:
    """Return the mean over a mapped axis.

    Each array has a reduction of its own, which the compiler combines: packed into one vector
    first, the arrays would be copied before the reduction and after it.

    Args:
        tree: the arrays.
        axis_name: the mapped axis.
    """
    return lax.pmean(tree, axis_name)


def average_gradients(gradients: Any, axis_name: str, reduce_dtype: ReduceDtype) -> Any:
    """Return the mean of gradients over a mapped axis, in the dtypes that they have.

    Args:
        gradients: the gradients.
        axis_name: the mapped axis.
        reduce_dtype: `"bfloat16"` sends half the bytes, and rounds the gradients of each device
            and their sum to 8 bits of precision; `"float32"` rounds nothing.
    """
    if reduce_dtype == "float32":
        return average(gradients, axis_name)
    count = lax.axis_size(axis_name)

    def mean(gradient: Array) -> Array:
        total = lax.psum(gradient.astype(jnp.bfloat16), axis_name)
        # The division rounds once more in bfloat16, where the number of devices is no power of 2.
        return total.astype(gradient.dtype) / count

    return jax.tree.map(mean, gradients)
