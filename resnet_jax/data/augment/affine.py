"""Affine maps of one uint8 image `[height, width, channels]`, with Pillow's pixels.

A map is a float32 matrix `[2, 3]`: the pixel at `(x, y)` is taken from `matrix @ (x, y, 1)`, where
both are coordinates of the middle of a pixel. Coordinates are computed in Pillow's fixed point, so
that they are the same on every backend.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .lookup import pixels_at

BITS = 16
"""Pillow's bits after the point of a coordinate."""


def affine(image: Array, matrix: Array) -> Array:
    """Map the image as `Image.transform` does with `AFFINE` and `NEAREST`; outside is black.

    Args:
        image: the image.
        matrix: `[2, 3]`, the map.
    """
    height, width = image.shape[:2]
    y = jnp.arange(height, dtype=jnp.int32)[:, None]
    x = jnp.arange(width, dtype=jnp.int32)[None]
    columns, rows = (
        (_fixed(row[2] + (row[0] + row[1]) * 0.5) + _fixed(row[0]) * x + _fixed(row[1]) * y) >> BITS
        for row in matrix
    )
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = pixels_at(image, jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1))
    return jnp.where(is_inside[..., None], pixels, 0)


def _fixed(value: Array) -> Array:
    return jnp.floor(value * (1 << BITS) + 0.5).astype(jnp.int32)


def identity() -> Array:
    """Return the map that leaves each pixel in its place."""
    return _matrix([[1, 0, 0], [0, 1, 0]])


def shear_x(slope: ArrayLike) -> Array:
    """Return the map that moves each row to the left by `slope` times its distance from the top."""
    return _matrix([[1, slope, 0], [0, 1, 0]])


def shear_y(slope: ArrayLike) -> Array:
    """Return the map that moves each column up by `slope` times its distance from the left."""
    return _matrix([[1, 0, 0], [slope, 1, 0]])


def translate_x(distance: ArrayLike) -> Array:
    """Return the map that moves the image to the left by `distance` pixels."""
    return _matrix([[1, 0, distance], [0, 1, 0]])


def translate_y(distance: ArrayLike) -> Array:
    """Return the map that moves the image up by `distance` pixels."""
    return _matrix([[1, 0, 0], [0, 1, distance]])


def rotate(degrees: ArrayLike, shape: tuple[int, int]) -> Array:
    """Return the map that rotates the image counterclockwise about its centre.

    Args:
        degrees: the angle.
        shape: height and width of the image, in pixels.
    """
    angle = -jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    y, x = shape[0] / 2, shape[1] / 2
    return _matrix([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])


def _matrix(rows: list[list[ArrayLike]]) -> Array:
    return jnp.asarray([[jnp.asarray(value, jnp.float32) for value in row] for row in rows])
