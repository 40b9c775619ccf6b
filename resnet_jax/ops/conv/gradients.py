"""The gradients of a convolution on the CPU.

The gradient for the input is a convolution again, of the output's gradient with the flipped
kernel. The gradient for the kernel is a matrix product of shifted images with the output's
gradient, summed over a few images at a time so that the shifted copies stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from . import xla
from .geometry import Window, zeros
from .matmul import is_small, merged_groups
from .primitives import contract, convolve

COPY_BYTES = 3 * 2**20
"""Bytes of shifted copies at a time: what the caches of two cores hold beside the operands."""

NARROW = 64
"""Rows or columns below which a matrix product is made wider where possible."""


def input_grad(
    window: Window, x_shape: tuple[int, ...], g: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Return the gradient for the input, given that of the output.

    Args:
        window: The geometry.
        x_shape: `[batch, height, width, channels]`.
        g: The gradient for the output, `[batch, out_h, out_w, features]`.
        kernel: The kernel.
    """
    if window.is_pointwise(kernel.shape):
        unit = window._replace(stride=(1, 1), swapped=not window.swapped)
        return _spread(convolve(unit, g, kernel), window.stride, x_shape)
    # Over the gradient spread out by the stride, the flipped convolution has a stride of 1.
    sides = [(g.shape[axis] - 1) * window.stride[axis - 1] + 1 for axis in (1, 2)]
    shape = (g.shape[0], *sides, g.shape[3])
    vertical = _flipped_padding(window, x_shape, shape, kernel.shape, 0)
    horizontal = _flipped_padding(window, x_shape, shape, kernel.shape, 1)
    worth_it = window.stride == (1, 1) or is_small(window, g.shape)
    if not worth_it or min(*vertical, *horizontal) < 0:
        return xla.input_grad(window, x_shape, g, kernel)
    g, window = _spread(g, window.stride, shape), window._replace(stride=(1, 1))
    padding = (vertical, horizontal)
    flipped = kernel.reshape(-1, *kernel.shape[2:])[::-1].reshape(kernel.shape)
    if window.groups == 1:
        return convolve(window._replace(padding=padding, swapped=not window.swapped), g, flipped)
    height, width, channels, features = kernel.shape
    flipped = flipped.reshape(height, width, channels, window.groups, -1).swapaxes(2, 4)
    flipped = flipped.reshape(height, width, features // window.groups, -1)
    return convolve(window._replace(padding=padding), g, flipped)


def kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Return the gradient for the kernel, given that of the output.

    Args:
        window: The geometry.
        kernel_shape: The shape of the kernel.
        x: The input, `[batch, height, width, channels]`.
        g: The gradient for the output, `[batch, out_h, out_w, features]`.
    """
    if window.swapped:
        shape = (*kernel_shape[:2], kernel_shape[3], kernel_shape[2])
        return kernel_grad(window._replace(swapped=False), shape, x, g).swapaxes(2, 3)
    if window.is_pointwise(kernel_shape):
        return _contract(x[:, :: window.stride[0], :: window.stride[1]], g)[None, None]
    height, width, channels, features = kernel_shape
    merged = merged_groups(window.groups, channels)
    parts = window.groups // merged

    def of_images(x: jax.Array, g: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, 0), *window.padding, (0, 0)])
        pairs = zip(jnp.split(x, parts, axis=3), jnp.split(g, parts, axis=3), strict=True)
        return jnp.stack([_dense_kernel_grad(window, (height, width), *pair) for pair in pairs])

    # Few channels are a small part of what is read: of the stem, two images at a time take half
    # the time of one.
    row = width * x.shape[3]
    numbers = row + features if row < NARROW else width * max(x.shape[3], features)
    copied = g.shape[1] * g.shape[2] * numbers * x.dtype.itemsize
    total = _sum_over_batch(of_images, COPY_BYTES // copied, x, g)
    if merged == 1:
        return jnp.moveaxis(total, 0, 3).reshape(kernel_shape)
    blocks = total.reshape(
        parts, height, width, merged, channels, merged, features // window.groups
    )
    diagonal = jnp.stack([blocks[:, :, :, m, :, m] for m in range(merged)], axis=1)
    return diagonal.transpose(2, 3, 4, 0, 1, 5).reshape(kernel_shape)


def _flipped_padding(
    window: Window,
    x_shape: tuple[int, ...],
    g_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    axis: int,
) -> tuple[int, int]:
    """Return the padding of the flipped convolution along an axis, given the spread gradient."""
    reach = window.dilation[axis] * (kernel_shape[axis] - 1)
    low = reach - window.padding[axis][0]
    return low, x_shape[axis + 1] + reach - g_shape[axis + 1] - low


def _spread(y: jax.Array, stride: tuple[int, int], shape: tuple[int, ...]) -> jax.Array:
    """Place the pixels of `y` at every `stride`-th position of an array of zeros."""
    if stride == (1, 1):
        return y
    config = [(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)]
    for axis in (1, 2):
        step = stride[axis - 1]
        config[axis] = (0, shape[axis] - ((y.shape[axis] - 1) * step + 1), step - 1)
    return lax.pad(y, jnp.zeros((), y.dtype), config)


def _contract(x: jax.Array, g: jax.Array) -> jax.Array:
    """Sum over batch and pixels of the outer products of the channels."""
    # Matrices: XLA would copy a transposed operand of more axes before it multiplies.
    return contract(x.reshape(-1, x.shape[3]), g.reshape(-1, g.shape[3]))


def _dense_kernel_grad(
    window: Window, size: tuple[int, int], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Return the gradient for a kernel without groups; `x` is already padded.

    Returns:
        `[kernel_h, kernel_w, in, out]`.
    """
    height, width = size
    channels, features = x.shape[3], g.shape[3]

    def shifted(x: jax.Array, axis: int, tap: int) -> jax.Array:
        first = tap * window.dilation[axis - 1]
        stride = window.stride[axis - 1]
        last = first + (g.shape[axis] - 1) * stride + 1
        return lax.slice_in_dim(x, first, last, stride, axis=axis)

    if window.stride[1] == 1 and features <= NARROW <= width * channels:
        # Shift the gradient instead, against the whole padded rows: a wider product.
        spare = x.shape[2] - g.shape[2]
        shifts = [j * window.dilation[1] for j in range(width)]
        moved = [jnp.pad(g, [(0, 0), (0, 0), (j, spare - j), (0, 0)]) for j in shifts]
        columns = jnp.concatenate(moved, axis=3)
        rows = [_contract(shifted(x, 1, i), columns) for i in range(height)]
        return jnp.stack(rows).reshape(height, channels, width, features).swapaxes(1, 2)
    columns = jnp.concatenate([shifted(x, 2, j) for j in range(width)], axis=3)
    # As many rows of taps as a product of `NARROW` rows needs: one of many channels, four of the
    # stem's seven. The kernel gradient of the stem (32 images of 110 pixels, oneDNN) takes 7.9 ms
    # instead of 15.7 ms from all seven at once with jax 0.10.2, and 9.0 ms either way with jax
    # 0.12 (processor time on 2 cores of an AMD EPYC with AVX-512, 26 November 2026).
    together = -(-NARROW // columns.shape[3])
    products = []
    for first in range(0, height, together):
        rows = [shifted(columns, 1, i) for i in range(first, min(first + together, height))]
        products.append(_contract(jnp.concatenate(rows, axis=3), g))
    return jnp.concatenate(products).reshape(height, width, channels, features)


def _sum_over_batch(
    function: Callable[[jax.Array, jax.Array], jax.Array], limit: int, x: jax.Array, g: jax.Array
) -> jax.Array:
    """Sum `function` over consecutive parts of the batch, of at most `limit` images each."""
    batch = x.shape[0]
    images = next(n for n in range(max(1, min(limit, batch)), 0, -1) if batch % n == 0)
    if images == batch:
        return function(x, g)
    parts = tuple(a.reshape(batch // images, images, *a.shape[1:]) for a in (x, g))
    shape = jax.eval_shape(function, parts[0][0], parts[1][0]).shape
    start = zeros(shape, g)
    return lax.scan(lambda total, part: (total + function(*part), None), start, parts)[0]
