"""Resize and crop as products of small matrices, for chips that are slow at anything else.

The pixels are those of `Transform`, to the bit. A weight has 22 bits after the point, more than a
factor of such a product may have; it is taken apart into three digits to the base of 256. Digits
and pixels are whole numbers that bfloat16 holds, and their sums are whole numbers that float32
holds, so that each product is exact, whatever the order in which it adds.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from .resampling import WEIGHT_BITS, Interpolation, Taps, resampling_taps

_BASE = 256
_MOST_TAPS = (1 << 24) // (255 * (_BASE // 2))
"""With more, a sum might need more bits than float32 has."""


def fits_products(source: int, target: int, interpolation: Interpolation) -> bool:
    """Return whether the sums of a resize along an axis are exact in float32.

    Args:
        source: pixels of the source along the axis.
        target: pixels of the result along the axis.
        interpolation: the filter.
    """
    taps = resampling_taps(source, target, interpolation)
    return source == target or taps.weights.shape[1] <= _MOST_TAPS


def resize_and_crop(
    image: Array,
    offset: Array,
    resized: tuple[int, int],
    crop: int,
    interpolation: Interpolation,
) -> Array:
    """Resize an image and cut a square out, horizontally and then vertically.

    Args:
        image: uint8 `[height, width, channels]`.
        offset: int32 `[2]`, row and column of the crop's upper left corner.
        resized: height and width after the resize, in pixels; both must pass `fits_products`.
        crop: height and width of the result, in pixels.
        interpolation: the filter.

    Returns:
        int32 `[crop, crop, channels]`, from 0 to 255.
    """
    x = image.astype(jnp.bfloat16)
    for axis, product in ((1, "hwc,xw->hxc"), (0, "hxc,yh->yxc")):
        x = _resample(x, axis, offset[axis], resized[axis], crop, interpolation, product)
    return x.astype(jnp.int32)


def _resample(
    x: Array,
    axis: int,
    start: Array,
    target: int,
    crop: int,
    interpolation: Interpolation,
    product: str,
) -> Array:
    """Resize an axis of an image and crop it, both bfloat16 of whole numbers."""
    source = x.shape[axis]
    places = start + jnp.arange(crop, dtype=jnp.int32)
    chosen = choices(places, target)
    if source == target:
        return jnp.einsum(product, x, chosen)  # each sum has one term
    # Half of the last bit that stays rounds halves up.
    total = jnp.asarray(1 << (WEIGHT_BITS - 1), jnp.int32)
    for power, digit in enumerate(_digits(resampling_taps(source, target, interpolation), source)):
        weights = jnp.einsum("yt,ts->ys", chosen, jnp.asarray(digit, jnp.bfloat16))
        sums = jnp.einsum(product, x, weights, preferred_element_type=jnp.float32)
        total = total + sums.astype(jnp.int32) * _BASE**power
    # Negative weights may leave the levels, and then there is no level to round to.
    return (total >> WEIGHT_BITS).clip(0, 255).astype(jnp.bfloat16)


def choices(places: Array, size: int) -> Array:
    """Return a matrix that picks the entries at these places of an axis, when multiplied with it.

    Args:
        places: int32 `[...]`, from 0 to `size - 1`.
        size: entries of the axis.

    Returns:
        bfloat16 `[n, size]` for n places in all, with a 1 in each row.
    """
    return (places.reshape(-1, 1) == jnp.arange(size, dtype=jnp.int32)[None]).astype(jnp.bfloat16)


def _digits(taps: Taps, source: int) -> list[np.ndarray]:
    """Return weights as digits from -128 to 127, the lowest first: each `[target, source]`."""
    target, count = taps.weights.shape
    rest = np.zeros((target, source), np.int64)
    np.add.at(
        rest, (np.arange(target)[:, None], taps.first[:, None] + np.arange(count)), taps.weights
    )
    digits = []
    while rest.any():
        digit = (rest + _BASE // 2) % _BASE - _BASE // 2
        digits.append(digit)
        rest = (rest - digit) // _BASE
    return digits
