"""Numbers at places that each image draws for itself: pixels, windows, levels in a table.

A TPU fetches such numbers one after the other, so there they are picked by products with matrices
that hold a single 1 in each row. All are whole numbers up to 255, which bfloat16 holds, and each
sum has one term, so that the results are the same.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from ..products import choices

LEVELS = 256

MOST_PIXELS = 512 * 512
"""Pixels of an image up to which they are picked by products, which cost their square."""

MOST_TOGETHER = 128**3
"""Places times the width of the image up to which all are picked at once; more take more memory."""


def pixels_at(image: Array, rows: Array, columns: Array) -> Array:
    """Return `image[rows, columns]`.

    Args:
        image: uint8 `[height, width, channels]`.
        rows: int32 `[height', width']`, within the image.
        columns: the same.

    Returns:
        uint8 `[height', width', channels]`.
    """
    if image.shape[0] * image.shape[1] > MOST_PIXELS:
        return pixels_by_gather(image, rows, columns)
    return jax.lax.platform_dependent(
        image, rows, columns, tpu=pixels_by_products, default=pixels_by_gather
    )


def pixels_by_gather(image: Array, rows: Array, columns: Array) -> Array:
    """Return the pixels as `pixels_at` does, one by one."""
    return image[rows, columns]


def pixels_by_products(image: Array, rows: Array, columns: Array) -> Array:
    """Return the pixels as `pixels_at` does, by a product for the rows and one for the columns."""
    height, width, channels = image.shape
    values = image.astype(jnp.bfloat16)

    def pick(places: tuple[Array, Array]) -> Array:
        rows, columns = places
        lines = jnp.einsum("ph,hwc->pwc", choices(rows, height), values)
        pixels = jnp.einsum("pwc,pw->pc", lines, choices(columns, width))
        return pixels.astype(image.dtype).reshape(*rows.shape, channels)

    together = max(1, MOST_TOGETHER // (rows.shape[1] * width))
    if together >= len(rows):
        return pick((rows, columns))
    return jax.lax.map(pick, (rows, columns), batch_size=together)


def window_at(image: Array, row: Array, column: Array, shape: tuple[int, ...]) -> Array:
    """Return the part of an image that begins at a row and a column.

    Args:
        image: uint8 `[height, width, channels]`.
        row: int32 scalar; the window lies within the image.
        column: the same.
        shape: height, width and channels of the window.

    Returns:
        uint8, of this shape.
    """
    return jax.lax.platform_dependent(
        image,
        row,
        column,
        tpu=partial(window_by_products, shape=shape),
        default=partial(window_by_slice, shape=shape),
    )


def window_by_slice(image: Array, row: Array, column: Array, shape: tuple[int, ...]) -> Array:
    """Return the window as `window_at` does, as one slice."""
    return jax.lax.dynamic_slice(image, (row, column, jnp.int32(0)), shape)


def window_by_products(image: Array, row: Array, column: Array, shape: tuple[int, ...]) -> Array:
    """Return the window as `window_at` does, by a product for the rows and one for the columns."""
    rows, columns = (
        choices(first + jnp.arange(size, dtype=jnp.int32), of)
        for first, size, of in zip((row, column), shape, image.shape, strict=False)
    )
    lines = jnp.einsum("yh,hwc->ywc", rows, image.astype(jnp.bfloat16))
    return jnp.einsum("ywc,xw->yxc", lines, columns).astype(image.dtype)


def levels_in(table: Array, levels: Array) -> Array:
    """Return `table[levels]`.

    Args:
        table: int32 `[256]`.
        levels: int32 `[...]`, from 0 to 255.

    Returns:
        int32 `[...]`.
    """
    return jax.lax.platform_dependent(
        table, levels, tpu=levels_by_sums, default=lambda table, levels: table[levels]
    )


def levels_by_sums(table: Array, levels: Array) -> Array:
    """Return the levels as `levels_in` does, as sums over the table."""
    table = table.reshape((1,) * levels.ndim + (LEVELS,))
    return jnp.where(_is_level(levels), table, 0).sum(-1, dtype=table.dtype)


def count_levels(levels: Array) -> Array:
    """Count how often each level occurs.

    Args:
        levels: int32 `[...]`, from 0 to 255.

    Returns:
        int32 `[256]`.
    """
    return jax.lax.platform_dependent(levels, tpu=counts_by_sums, default=counts_by_scatter)


def counts_by_scatter(levels: Array) -> Array:
    """Count the levels as `count_levels` does, one by one."""
    return jnp.zeros(LEVELS, jnp.int32).at[levels].add(1)


def counts_by_sums(levels: Array) -> Array:
    """Count the levels as `count_levels` does, as one sum for each."""
    return _is_level(levels.reshape(-1)).sum(0, dtype=jnp.int32)


def _is_level(levels: Array) -> Array:
    """Return bool `[..., 256]`, True at each level."""
    every = jnp.arange(LEVELS, dtype=jnp.int32)
    return levels[..., None] == every.reshape((1,) * levels.ndim + (LEVELS,))
