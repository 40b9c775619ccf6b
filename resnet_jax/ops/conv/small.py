"""Convolutions of maps of a few pixels, as one matrix product each.

XLA's convolution on the CPU is made for maps of many pixels: on a map of 2×2 it reaches a few
GFLOP/s. Here the taps that meet the map at all (of a 3×3 kernel on a 1×1 map, the middle one
alone) are laid side by side and multiplied at once.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from .geometry import Window

MOST_PIXELS = 4
"""Of the output, up to which this is faster than XLA's convolution (3×3, 64 to 512 channels)."""


def is_small(window: Window, shape: tuple[int, ...]) -> bool:
    """Whether a convolution with such an output `[batch, out_h, out_w, features]` is meant."""
    return window.groups == 1 and shape[1] * shape[2] <= MOST_PIXELS


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` [batch, height, width, channels] with `kernel`, in one group."""
    out = window.output_shape(x.shape, kernel.shape)
    padded = jnp.pad(x, [(0, 0), *window.padding, (0, 0)])
    rows, columns = (
        _live_taps(window, axis, x.shape[axis + 1], out[axis + 1], kernel.shape[axis])
        for axis in (0, 1)
    )
    taps = [(i, j) for i in rows for j in columns]
    patches = [_seen(window, padded, out, tap) for tap in taps]
    inputs = 1 if window.swapped else 0
    weights = jnp.concatenate([kernel[tap] for tap in taps], axis=inputs)
    return lax.dot_general(jnp.concatenate(patches, axis=3), weights, (((3,), (inputs,)), ((), ())))


def _live_taps(window: Window, axis: int, size: int, out: int, taps: int) -> list[int]:
    """The taps along an axis that meet the map and not its padding alone; at least one."""
    low, stride, dilation = window.padding[axis][0], window.stride[axis], window.dilation[axis]
    live = [
        tap
        for tap in range(taps)
        if any(0 <= place * stride + tap * dilation - low < size for place in range(out))
    ]
    return live or [0]


def _seen(
    window: Window, padded: jax.Array, out: tuple[int, ...], tap: tuple[int, int]
) -> jax.Array:
    """What a tap sees at each output pixel, `[batch, out_h, out_w, channels]`."""
    for axis in (1, 2):
        first = tap[axis - 1] * window.dilation[axis - 1]
        stride = window.stride[axis - 1]
        last = first + (out[axis] - 1) * stride + 1
        padded = lax.slice_in_dim(padded, first, last, stride, axis=axis)
    return padded
