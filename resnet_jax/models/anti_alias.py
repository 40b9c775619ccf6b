"""Anti-aliasing: low-pass filters that take over the stride of a convolution or a pool.

References:
    Zhang 2019, https://arxiv.org/abs/1904.11486
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from ..ops.dtypes import float32_or_wider


class AntiAlias(Protocol):
    """What the `anti_alias` of a block or a stem may be: it makes a linen module.

    The module is called as `anti_alias(x)` with a map `[batch, height, width, channels]`. A block
    makes it under the name `aa` behind its 3×3 convolution, which then has stride 1; a stem under
    the name `maxpool_1` behind its max-pool or the convolution that replaces it.
    """

    def __call__(self, *, stride: int, name: str | None = None) -> nn.Module:
        """Make the module.

        Args:
            stride: factor by which the map shrinks; 1 in a stage that dilates instead.
            name: name of the module.
        """


class BlurPool(nn.Module):
    """Convolution of each channel with a binomial filter; the borders are reflected.

    The filter is the outer product of C(n, k) / 2ⁿ, k = 0 … n, n = `size` - 1, with itself.

    Attributes:
        stride: factor by which the map shrinks.
        size: side of the filter, odd, in pixels.

    References:
        Zhang 2019, https://arxiv.org/abs/1904.11486
    """

    stride: int = 2
    size: int = 3

    def __call__(self, x: Array) -> Array:
        """Map `[batch, height, width, channels]` to `[batch, ⌈height / stride⌉, …, channels]`."""
        border = (self.size - 1) // 2
        order = self.size - 1
        taps = [math.comb(order, k) / 2**order for k in range(self.size)]
        dtype = x.dtype
        x = x.astype(float32_or_wider(dtype))
        x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")
        for axis in (1, 2):
            x = _weighted(x, taps, axis, self.stride)
        return x.astype(dtype)


class AveragePool(nn.Module):
    """Mean of `stride` × `stride` pixels; pixels beyond the last whole window are left out.

    Attributes:
        stride: side of the windows and factor by which the map shrinks.
    """

    stride: int = 2

    def __call__(self, x: Array) -> Array:
        """Map `[batch, height, width, channels]` to `[batch, ⌊height / stride⌋, …, channels]`.

        Raises:
            ValueError: if no window fits into the map.
        """
        side = self.stride
        if min(x.shape[1:3]) < side:
            raise ValueError(
                f"average pooling with `stride` (={side}) needs maps of at least {side} x {side} "
                f"pixels, got input shape {x.shape}; use larger images"
            )
        return mean_of_windows(x, side, side)


def mean_of_windows(x: Array, side: int, stride: int) -> Array:
    """Return the mean of each square window, without padding.

    Args:
        x: map `[batch, height, width, channels]`.
        side: side of the windows, in pixels.
        stride: distance between windows, in pixels.
    """
    if side == stride == 1:
        return x
    dtype = x.dtype
    x = x.astype(float32_or_wider(dtype))
    for axis in (1, 2):
        x = _weighted(x, [1 / side] * side, axis, stride)
    return x.astype(dtype)


def _weighted(x: Array, taps: list[float], axis: int, stride: int) -> Array:
    """Return the weighted sum of each window along an axis."""
    end = x.shape[axis] - len(taps) + 1
    before = (slice(None),) * axis
    parts = [
        tap * x[(*before, slice(start, start + end, stride))] for start, tap in enumerate(taps)
    ]
    return sum(parts[1:], parts[0])


ANTI_ALIASES: Mapping[str, AntiAlias] = MappingProxyType({"blur": BlurPool, "average": AveragePool})
"""Every anti-aliasing that `ResNet.anti_alias` knows by name."""
