"""Convolution lowerings for the CPU, where XLA's own are slow for some shapes.

A 1x1 convolution is a matrix product. The gradient for the kernel is one matrix product a kernel
row, over a few images at a time so that what it reads stays in the cache. A grouped convolution
runs as a few dense ones, each over several groups with a block-diagonal kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from . import reference
from .reference import Window, zeros

Dense = Callable[[Window, jax.Array, jax.Array], jax.Array]

# Groups are merged until a dense convolution has this many input channels.
MERGED_CHANNELS = 32
# Images a step in the gradient for the kernel.
CHUNK = 4


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` [batch, height, width, channels] with `kernel`."""
    if _is_pointwise(window, kernel.shape):
        return _matmul(_strided(x, window.stride), kernel[0, 0])
    if window.groups > 1:
        return _per_group(window, x, kernel, reference.forward)
    return reference.forward(window, x, kernel)


def input_grad(
    window: Window, x_shape: tuple[int, ...], g: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Gradient for the input, from that of the output, `g` [batch, out_h, out_w, features]."""
    if _is_pointwise(window, kernel.shape):
        return _unstrided(_matmul(g, kernel[0, 0].T), window.stride, x_shape)
    if window.groups > 1:
        shape = (*x_shape[:3], kernel.shape[2] * _merged(window.groups, kernel.shape[2]))

        def dense(one: Window, g: jax.Array, kernel: jax.Array) -> jax.Array:
            return reference.input_grad(one, shape, g, kernel)

        return _per_group(window, g, kernel, dense)
    return reference.input_grad(window, x_shape, g, kernel)


def kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Gradient for the kernel, from that of the output, `g` [batch, out_h, out_w, features]."""
    if _is_pointwise(window, kernel_shape):
        return _contract(_strided(x, window.stride), g)[None, None]
    padding = [(0, 0), *((p, p) for p in window.padding), (0, 0)]
    merged = _merged(window.groups, kernel_shape[2])
    parts = window.groups // merged

    def of_chunk(x: jax.Array, g: jax.Array) -> jax.Array:
        x = jnp.pad(x, padding)
        pairs = zip(jnp.split(x, parts, axis=3), jnp.split(g, parts, axis=3), strict=True)
        return jnp.stack([_dense_kernel_grad(window, kernel_shape, *pair) for pair in pairs])

    batch = x.shape[0]
    if batch % CHUNK or batch == CHUNK:
        total = of_chunk(x, g)
    else:
        steps = batch // CHUNK
        chunks = (
            x.reshape(steps, CHUNK, *x.shape[1:]),
            g.reshape(steps, CHUNK, *g.shape[1:]),
        )
        shape = jax.eval_shape(of_chunk, chunks[0][0], chunks[1][0]).shape
        total, _ = lax.scan(
            lambda sum_, one: (sum_ + of_chunk(*one), None), zeros(shape, g), chunks
        )
    # [parts, kh, kw, merged * in, merged * out] -> the diagonal blocks.
    inner = kernel_shape[2]
    blocks = total.reshape(parts, *kernel_shape[:2], merged, inner, merged, -1)
    diagonal = jnp.einsum("phwminj,mn->hwipmj", blocks, jnp.eye(merged, dtype=x.dtype))
    return diagonal.reshape(kernel_shape)


def _is_pointwise(window: Window, kernel_shape: tuple[int, ...]) -> bool:
    return kernel_shape[:2] == (1, 1) and window.padding == (0, 0) and window.groups == 1


def _strided(x: jax.Array, stride: tuple[int, int]) -> jax.Array:
    return x[:, :: stride[0], :: stride[1]]


def _unstrided(y: jax.Array, stride: tuple[int, int], shape: tuple[int, ...]) -> jax.Array:
    """Inverse of `_strided`: zeros where it dropped a pixel."""
    config = [(0, 0, 0)]
    for axis in (1, 2):
        step = stride[axis - 1]
        high = shape[axis] - ((y.shape[axis] - 1) * step + 1)
        config.append((0, high, step - 1))
    return lax.pad(y, jnp.zeros((), y.dtype), [*config, (0, 0, 0)])


def _matmul(x: jax.Array, weights: jax.Array) -> jax.Array:
    return lax.dot_general(x, weights, (((3,), (0,)), ((), ())))


def _contract(x: jax.Array, g: jax.Array) -> jax.Array:
    """Sum over batch and pixels of the outer products of the channels."""
    pixels = (0, 1, 2)
    return lax.dot_general(x, g, ((pixels, pixels), ((), ())))


def _dense_kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Gradient of one dense part; `x` is padded. Returns `[kernel_h, kernel_w, in, out]`."""
    (kernel_h, kernel_w), channels = kernel_shape[:2], x.shape[3]
    (stride_h, stride_w), (step_h, step_w) = window.stride, window.dilation
    reach_h, reach_w = (g.shape[1] - 1) * stride_h + 1, (g.shape[2] - 1) * stride_w + 1
    columns = [x[:, :, j * step_w : j * step_w + reach_w : stride_w] for j in range(kernel_w)]
    row = jnp.concatenate(columns, axis=3)
    rows = [
        _contract(row[:, i * step_h : i * step_h + reach_h : stride_h], g) for i in range(kernel_h)
    ]
    return jnp.stack(rows).reshape(kernel_h, kernel_w, channels, g.shape[3])


def _merged(groups: int, channels: int) -> int:
    """How many groups of so many input channels make one dense convolution."""
    merged = 1
    while groups % (merged * 2) == 0 and merged * 2 * channels <= MERGED_CHANNELS:
        merged *= 2
    return merged


def _per_group(window: Window, x: jax.Array, kernel: jax.Array, dense: Dense) -> jax.Array:
    """Apply `dense` to each part of merged groups, channels of `x` split in order."""
    inner = kernel.shape[2]
    merged = _merged(window.groups, inner)
    parts = window.groups // merged
    split = kernel.reshape(*kernel.shape[:3], parts, merged, -1)
    eye = jnp.eye(merged, dtype=kernel.dtype)
    blocks = jnp.einsum("hwipmj,nm->phwnimj", split, eye)
    blocks = blocks.reshape(parts, *kernel.shape[:2], merged * inner, -1)
    one = window._replace(groups=1)
    inputs = jnp.split(x, parts, axis=3)
    return jnp.concatenate([dense(one, inputs[p], blocks[p]) for p in range(parts)], axis=3)
