"""The gradients of a convolution on the CPU.

The gradient for the input is a convolution again, of the output's gradient with the flipped
kernel. The gradient for the kernel is a matrix product of shifted images with the output's
gradient, summed over a few images at a time so that the shifted copies stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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

NARROW_ROWS = 32
"""Channels of a row of taps below which all rows make one product; wider rows make one each."""


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
    if _folds(window, kernel_shape):
        return _folded_kernel_grad(window, kernel_shape, x, g)
    merged = merged_groups(window.groups, channels)
    parts = window.groups // merged

    def of_images(x: jax.Array, g: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, 0), *window.padding, (0, 0)])
        pairs = zip(jnp.split(x, parts, axis=3), jnp.split(g, parts, axis=3), strict=True)
        return jnp.stack([_dense_kernel_grad(window, (height, width), *pair) for pair in pairs])

    copied = g.shape[1] * g.shape[2] * width * max(x.shape[3], features) * x.dtype.itemsize
    total = _sum_over_batch(of_images, COPY_BYTES // copied, x, g)
    if merged == 1:
        return jnp.moveaxis(total, 0, 3).reshape(kernel_shape)
    blocks = total.reshape(
        parts, height, width, merged, channels, merged, features // window.groups
    )
    diagonal = jnp.stack([blocks[:, :, :, m, :, m] for m in range(merged)], axis=1)
    return diagonal.transpose(2, 3, 4, 0, 1, 5).reshape(kernel_shape)


def _folds(window: Window, kernel_shape: tuple[int, ...]) -> bool:
    """Return whether the pixels that a stride passes over become channels.

    They do where a row of taps has few channels, and the zeros that fill up the kernel cost at
    most half its arithmetic.
    """
    height, width, channels, _ = kernel_shape
    if window.stride == (1, 1) or window.dilation != (1, 1) or window.groups > 1:
        return False
    rows, columns = (
        -(-taps // step) * step for taps, step in zip((height, width), window.stride, strict=True)
    )
    return channels * width < NARROW and 2 * rows * columns <= 3 * height * width


def _folded_kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Return the gradient for a strided kernel, by that for a kernel with a stride of 1.

    The pixels of a block, as high and wide as the stride, become the channels of one pixel, and
    the kernel is filled up with zeros to whole blocks. What a tap sees is then copied in fewer and
    wider pieces: for the stem, 12 numbers instead of 3.

    For a 7x7 kernel with a stride of 2 on 32 images of 110 pixels and 3 channels, with oneDNN:
    11.4 ms instead of 17.2 ms (processor time on 2 cores of an AMD EPYC with AVX-512,
    26 November 2026).
    """
    height, width, channels, features = kernel_shape
    (down, right), pixels = window.stride, g.shape[1:3]
    rows, columns = -(-height // down), -(-width // right)
    config = [(0, 0, 0)] * 4
    for axis, taps in ((1, rows), (2, columns)):
        low = window.padding[axis - 1][0]
        side = (pixels[axis - 1] + taps - 1) * window.stride[axis - 1]
        config[axis] = (low, side - x.shape[axis] - low, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    x = x.reshape(x.shape[0], x.shape[1] // down, down, x.shape[2] // right, right * channels)
    blocks = jnp.concatenate([x[:, :, row] for row in range(down)], axis=3)
    unit = Window((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    numbers = pixels[0] * pixels[1] * (columns * blocks.shape[3] + features)
    of_images = partial(_dense_kernel_grad, unit, (rows, columns))
    grad = _sum_over_batch(of_images, COPY_BYTES // (numbers * x.dtype.itemsize), blocks, g)
    grad = grad.reshape(rows, columns, down, right, channels, features)
    grad = grad.transpose(0, 2, 1, 3, 4, 5)
    grad = grad.reshape(rows * down, columns * right, channels, features)
    return grad[:height, :width]


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
    if columns.shape[3] < NARROW_ROWS:
        patches = jnp.concatenate([shifted(columns, 1, i) for i in range(height)], axis=3)
        return _contract(patches, g).reshape(height, width, channels, features)
    rows = [_contract(shifted(columns, 1, i), g) for i in range(height)]
    return jnp.stack(rows).reshape(height, width, channels, features)


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
