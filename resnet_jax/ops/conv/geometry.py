"""How a kernel moves over the images, and helpers that the lowerings share."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]


class Window(NamedTuple):
    """Geometry of a convolution.

    Attributes:
        stride: Steps between output positions, (height, width), in pixels.
        padding: Zeros ((above, below), (left, right)), in pixels.
        dilation: Distance between kernel taps, (height, width), in pixels.
        groups: Number of independent channel groups.
        swapped: Whether the kernel is `[kernel_h, kernel_w, out, in]`; never with groups.
    """

    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair
    groups: int
    swapped: bool = False

    def output_shape(
        self, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]
    ) -> tuple[int, int, int, int]:
        """Return the shape of the output, `[batch, out_h, out_w, features]`."""

        def side(axis: int) -> int:
            reach = self.dilation[axis] * (kernel_shape[axis] - 1) + 1
            span = x_shape[axis + 1] + sum(self.padding[axis])
            return (span - reach) // self.stride[axis] + 1

        return x_shape[0], side(0), side(1), kernel_shape[2 if self.swapped else 3]

    def is_pointwise(self, kernel_shape: tuple[int, ...]) -> bool:
        """Return whether the convolution is one matrix product over the channels."""
        return kernel_shape[:2] == (1, 1) and self.padding == ((0, 0), (0, 0)) and self.groups == 1


def zeros(shape: tuple[int, ...], like: jax.Array) -> jax.Array:
    """Return zeros of the dtype of `like` that vary over its axes inside `jax.shard_map`."""
    return varying(jnp.zeros(shape, like.dtype), like)


def varying(x: jax.Array, like: jax.Array) -> jax.Array:
    """Mark `x` as varying over every axis that `like` varies over inside `jax.shard_map`."""
    axes = jax.typeof(like).manual_axis_type.varying - jax.typeof(x).manual_axis_type.varying
    return lax.pcast(x, tuple(axes), to="varying") if axes else x
