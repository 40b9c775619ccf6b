"""The gradients of a convolution on the CPU.

The gradient for the input is made of convolutions again, of the output's gradient with taps of the
flipped kernel. The gradient for the kernel is a matrix product of shifted images with the output's
gradient, summed over a few images at a time so that the shifted copies stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .geometry import Window, zeros
from .matmul import merged_groups
from .primitives import contract, convolve

COPY_BYTES = 3 * 2**20
"""Bytes of shifted copies at a time: what the caches of two cores hold beside the operands."""

NARROW = 64
"""Rows or columns below which a matrix product is made wider where possible."""


class Phase(NamedTuple):
    """What the input pixels of one remainder by the stride meet, along one axis.

    Attributes:
        taps: The taps of the kernel, which are equally far apart.
        dilation: How far apart they are in the gradient, in pixels.
        padding: Zeros before and after the gradient, in pixels; below 0, pixels to leave out.
    """

    taps: slice
    dilation: int
    padding: tuple[int, int]


def input_grad(
    window: Window, x_shape: tuple[int, ...], g: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Return the gradient for the input, given that of the output.

    With a stride, the input pixels of each remainder (row and column modulo the stride) meet taps
    of their own. So the gradient of each is a convolution without a stride, over some taps of the
    flipped kernel, and these are interleaved.

    Args:
        window: The geometry.
        x_shape: `[batch, height, width, channels]`.
        g: The gradient for the output, `[batch, out_h, out_w, features]`.
        kernel: The kernel.
    """
    batch, height, width, channels = x_shape
    rows, columns = (-(-x_shape[axis] // window.stride[axis - 1]) for axis in (1, 2))
    vertical = _phases(window, 0, rows, kernel.shape[0], g.shape[1])
    horizontal = _phases(window, 1, columns, kernel.shape[1], g.shape[2])
    shape = (batch, rows, columns, channels)
    parts = [
        jnp.stack([_of_phase(window, shape, g, kernel, row, column) for column in horizontal], 3)
        for row in vertical
    ]
    sides = (rows * window.stride[0], columns * window.stride[1])
    return jnp.stack(parts, 2).reshape(batch, *sides, channels)[:, :height, :width]


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


def _phases(window: Window, axis: int, count: int, taps: int, out: int) -> list[Phase | None]:
    """Return the phases of an axis; None where no tap meets the pixels.

    Args:
        window: The geometry.
        axis: 0 for height, 1 for width.
        count: Input pixels of each remainder.
        taps: Taps of the kernel.
        out: Pixels of the gradient.
    """
    stride, dilation, low = window.stride[axis], window.dilation[axis], window.padding[axis][0]
    common = math.gcd(stride, dilation)
    step = dilation // common
    phases: list[Phase | None] = []
    for remainder in range(stride):
        # Tap `k` takes output pixel `o` from input pixel `o * stride + k * dilation - low`.
        met = [tap for tap in range(taps) if (remainder + low - tap * dilation) % stride == 0]
        if not met:
            phases.append(None)
            continue
        reach = step * (len(met) - 1)
        before = reach - (remainder + low - met[0] * dilation) // stride
        after = count + reach - out - before
        phases.append(Phase(slice(met[0], None, stride // common), step, (before, after)))
    return phases


def _of_phase(
    window: Window,
    shape: tuple[int, ...],
    g: jax.Array,
    kernel: jax.Array,
    vertical: Phase | None,
    horizontal: Phase | None,
) -> jax.Array:
    """Return the gradient of the input pixels of two phases, of this shape."""
    if vertical is None or horizontal is None:
        return zeros(shape, g)
    padding = (vertical.padding, horizontal.padding)
    if min(*vertical.padding, *horizontal.padding) < 0:
        # The lowerings of a convolution pad, but do not crop.
        sides = [(low, high, 0) for low, high in ((0, 0), *padding, (0, 0))]
        g, padding = lax.pad(g, jnp.zeros((), g.dtype), sides), ((0, 0), (0, 0))
    kernel = kernel[vertical.taps, horizontal.taps]
    # Turned round along one axis: along two, the gradient takes 11 ms instead of 7 for 512 channels
    # on maps of 4 pixels' side (batch 32, 2 cores of an AMD EPYC, 26 November 2026).
    kernel = kernel.reshape(-1, *kernel.shape[2:])[::-1].reshape(kernel.shape)
    dilation = (vertical.dilation, horizontal.dilation)
    unit = window._replace(stride=(1, 1), padding=padding, dilation=dilation)
    if window.groups == 1:
        return convolve(unit._replace(swapped=not window.swapped), g, kernel)
    height, width, channels, features = kernel.shape
    kernel = kernel.reshape(height, width, channels, window.groups, -1).swapaxes(2, 4)
    return convolve(unit, g, kernel.reshape(height, width, features // window.groups, -1))


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
