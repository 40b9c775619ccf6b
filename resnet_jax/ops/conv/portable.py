"""The forward convolution for any CPU, without the help of oneDNN.

A 1x1 convolution is a matrix product. A grouped convolution, for which XLA's CPU backend has no
fast path, runs as a few dense ones, each over several groups with a block-diagonal kernel. Maps
of a few pixels have a lowering of their own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from . import reference, small
from .geometry import Window

# Groups are merged until a dense convolution has this many input channels. Twice as many cost
# twice the arithmetic, half as many fill the vector units half.
MERGED_CHANNELS = 32


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` [batch, height, width, channels] with `kernel`."""
    if window.is_pointwise(kernel.shape):
        x = x[:, :: window.stride[0], :: window.stride[1]]
        inner = 1 if window.swapped else 0
        return lax.dot_general(x, kernel[0, 0], (((3,), (inner,)), ((), ())))
    if small.is_small(window, window.output_shape(x.shape, kernel.shape)):
        return small.forward(window, x, kernel)
    if window.groups == 1:
        return reference.forward(window, x, kernel)
    kernels = block_diagonal(kernel, window.groups)
    inputs = jnp.split(x, len(kernels), axis=3)
    dense = window._replace(groups=1)
    pairs = zip(inputs, kernels, strict=True)
    return jnp.concatenate([reference.forward(dense, *pair) for pair in pairs], axis=3)


def merged_groups(groups: int, channels: int) -> int:
    """How many groups of so many input channels make one dense convolution."""
    merged = 1
    while groups % (merged * 2) == 0 and merged * 2 * channels <= MERGED_CHANNELS:
        merged *= 2
    return merged


def block_diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """Kernels `[parts, kernel_h, kernel_w, in, out]` of the merged groups, zero between groups."""
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
