"""Pillow's operations on one uint8 image `[height, width, channels]`, as JAX functions.

They give Pillow's pixels; where Pillow computes with floating-point numbers, a value may differ by
one level. The luminance of an image with one channel is that channel.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

LEVELS = 256


def luminance(image: Array) -> Array:
    """Return the Rec. 601 luminance in Pillow's fixed point, int32 `[height, width, 1]`."""
    x = image.astype(jnp.int32)
    if x.shape[-1] == 1:
        return x
    red, green, blue = x[..., :1], x[..., 1:2], x[..., 2:]
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _enhance(image: Array, degenerate: Array, factor: ArrayLike) -> Array:
    """Interpolate between `degenerate` (factor 0) and the image (1), or extrapolate beyond it."""
    x = image.astype(jnp.float32)
    y = degenerate.astype(jnp.float32)
    return jnp.clip(y + factor * (x - y), 0, LEVELS - 1).astype(jnp.uint8)


def brightness(image: Array, factor: ArrayLike) -> Array:
    """Interpolate from black to the image, as `ImageEnhance.Brightness`."""
    return _enhance(image, jnp.zeros_like(image), factor)


def contrast(image: Array, factor: ArrayLike) -> Array:
    """Interpolate from the mean luminance to the image, as `ImageEnhance.Contrast`."""
    values = luminance(image)
    mean = (2 * values.sum() + values.size) // (2 * values.size)
    return _enhance(image, jnp.broadcast_to(mean, image.shape), factor)


def color(image: Array, factor: ArrayLike) -> Array:
    """Interpolate from grey to the image, as `ImageEnhance.Color`."""
    return _enhance(image, jnp.broadcast_to(luminance(image), image.shape), factor)


def sharpness(image: Array, factor: ArrayLike) -> Array:
    """Interpolate from the smoothed image, whose border stays, as `ImageEnhance.Sharpness`."""
    x = image.astype(jnp.int32)
    height, width = x.shape[:2]
    if min(height, width) < 3:
        return image
    around = [
        x[row : height - 2 + row, column : width - 2 + column]
        for row in range(3)
        for column in range(3)
    ]
    smooth = (2 * (sum(around) + 4 * x[1:-1, 1:-1]) + 13) // 26
    return _enhance(image, x.at[1:-1, 1:-1].set(smooth), factor)


def posterize(image: Array, bits: ArrayLike) -> Array:
    """Keep the highest bits, 1 to 8 of them, as `ImageOps.posterize`."""
    rest = 8 - jnp.asarray(bits, jnp.uint8)
    return (image >> rest) << rest


def solarize(image: Array, threshold: ArrayLike) -> Array:
    """Invert the levels from the threshold up, as `ImageOps.solarize`."""
    return jnp.where(image < threshold, image, LEVELS - 1 - image)


def invert(image: Array) -> Array:
    """Invert the levels, as `ImageOps.invert`."""
    return LEVELS - 1 - image


def autocontrast(image: Array) -> Array:
    """Stretch each channel to the full scale, as `ImageOps.autocontrast`."""
    x = image.astype(jnp.int32)
    low, high = x.min((0, 1), keepdims=True), x.max((0, 1), keepdims=True)
    stretched = (x - low) * (LEVELS - 1) // jnp.maximum(high - low, 1)
    return jnp.where(high > low, stretched, x).astype(jnp.uint8)


def equalize(image: Array) -> Array:
    """Flatten the histogram of each channel, as `ImageOps.equalize`."""
    channels = [_equalize_channel(image[..., channel]) for channel in range(image.shape[-1])]
    return jnp.stack(channels, axis=-1)


def _equalize_channel(channel: Array) -> Array:
    x = channel.astype(jnp.int32)
    counts = jnp.zeros(LEVELS, jnp.int32).at[x].add(1)
    step = (x.size - counts[x.max()]) // (LEVELS - 1)
    before = jnp.cumsum(counts) - counts
    table = jnp.clip((step // 2 + before) // jnp.maximum(step, 1), 0, LEVELS - 1)
    return jnp.where(step > 0, table[x], x).astype(jnp.uint8)


def affine(image: Array, matrix: Array) -> Array:
    """Map the image as `Image.transform` does with `AFFINE` and `NEAREST`; outside is black.

    Args:
        image: the image.
        matrix: `[2, 3]`; the pixel at `(x, y)` is taken from `matrix @ (x, y, 1)`, where both are
            coordinates of the middle of a pixel.
    """
    height, width = image.shape[:2]
    y, x = jnp.meshgrid(
        jnp.arange(height, dtype=jnp.float32) + 0.5,
        jnp.arange(width, dtype=jnp.float32) + 0.5,
        indexing="ij",
    )
    columns, rows = (
        jnp.floor(row[0] * x + row[1] * y + row[2]).astype(jnp.int32) for row in matrix
    )
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = image[jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)]
    return jnp.where(is_inside[..., None], pixels, 0)


def shear_x(image: Array, slope: ArrayLike) -> Array:
    """Move each row to the left by `slope` times its distance from the top."""
    return affine(image, _matrix([[1, slope, 0], [0, 1, 0]]))


def shear_y(image: Array, slope: ArrayLike) -> Array:
    """Move each column upwards by `slope` times its distance from the left."""
    return affine(image, _matrix([[1, 0, 0], [slope, 1, 0]]))


def translate_x(image: Array, distance: ArrayLike) -> Array:
    """Move the image to the left by `distance` pixels."""
    return affine(image, _matrix([[1, 0, distance], [0, 1, 0]]))


def translate_y(image: Array, distance: ArrayLike) -> Array:
    """Move the image upwards by `distance` pixels."""
    return affine(image, _matrix([[1, 0, 0], [0, 1, distance]]))


def rotate(image: Array, degrees: ArrayLike) -> Array:
    """Rotate the image counterclockwise about its centre, as `Image.rotate` with `NEAREST`."""
    angle = -jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    y, x = image.shape[0] / 2, image.shape[1] / 2
    return affine(
        image, _matrix([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])
    )


def _matrix(rows: list[list[ArrayLike]]) -> Array:
    return jnp.asarray([[jnp.asarray(value, jnp.float32) for value in row] for row in rows])
