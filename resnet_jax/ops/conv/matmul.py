"""The forward convolution on any CPU: matrix products where they beat XLA's own convolution.

XLA's convolution on the CPU is made for dense kernels on maps of many pixels. Three kinds of
layer are slow with it and have a lowering here:

- A 1×1 convolution is one matrix product over the channels.
- On a map of a few pixels, the taps that meet the map at all (of a 3×3 kernel on a 1×1 map, the
  middle one alone) are laid side by side and multiplied at once.
- A grouped convolution runs as a few dense ones, each over several groups with a block-diagonal
  kernel.

All other convolutions are XLA's own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from . import xla
from .geometry import Window

MOST_PIXELS = 4
"""Output pixels up to which one product is faster than XLA (3×3 kernels, 64 to 512 channels)."""

MERGED_CHANNELS = 32
"""Input channels of a dense convolution up to which groups are merged.

Twice as many cost twice the arithmetic; half as many leave the vector units half empty.
"""


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` `[batch, height, width, channels]` with `kernel`."""
    if window.is_pointwise(kernel.shape):
        x = x[:, :: window.stride[0], :: window.stride[1]]
        inner = 1 if window.swapped else 0
        return lax.dot_general(x, kernel[0, 0], (((3,), (inner,)), ((), ())))
    if is_small(window, window.output_shape(x.shape, kernel.shape)):
        return _side_by_side(window, x, kernel)
    if window.groups == 1:
        return xla.forward(window, x, kernel)
    kernels = block_diagonal(kernel, window.groups)
    inputs = jnp.split(x, len(kernels), axis=3)
    dense = window._replace(groups=1)
    pairs = zip(inputs, kernels, strict=True)
    return jnp.concatenate([xla.forward(dense, *pair) for pair in pairs], axis=3)


def is_small(window: Window, shape: tuple[int, ...]) -> bool:
    """Return whether one product computes an output `[batch, out_h, out_w, features]` faster."""
    return window.groups == 1 and shape[1] * shape[2] <= MOST_PIXELS


def merged_groups(groups: int, channels: int) -> int:
    """Return how many groups of `channels` input channels make one dense convolution."""
    merged = 1
    while groups % (merged * 2) == 0 and merged * 2 * channels <= MERGED_CHANNELS:
        merged *= 2
    return merged


def block_diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """Return kernels `[parts, kernel_h, kernel_w, in, out]` of merged groups, 0 between groups."""
    height, width, channels, features = kernel.shape
    merged = merged_groups(groups, channels)
    parts, out = groups // merged, features // groups
    split = kernel.reshape(height, width, channels, parts, merged, out)
    split = split.transpose(3, 0, 1, 4, 2, 5)  # [parts, h, w, merged, in, out]
    padded = [
        jnp.pad(split[:, :, :, m], [(0, 0)] * 4 + [(m * out, (merged - 1 - m) * out)])
        for m in range(merged)
    ]
    return jnp.concatenate(padded, axis=3)


def _side_by_side(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve in one group, as one product of the taps laid side by side."""
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
    """Return the taps along an axis that meet the map, not only its padding; at least one."""
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
    """Return what a tap sees at each output pixel, `[batch, out_h, out_w, channels]`."""
    for axis in (1, 2):
        first = tap[axis - 1] * window.dilation[axis - 1]
        stride = window.stride[axis - 1]
        last = first + (out[axis] - 1) * stride + 1
        padded = lax.slice_in_dim(padded, first, last, stride, axis=axis)
    return padded
