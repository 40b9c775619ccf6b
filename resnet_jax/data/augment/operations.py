"""Operations on the levels of one uint8 image `[height, width, channels]`, as JAX functions.

They give Pillow's pixels; where Pillow computes with floating-point numbers, a value may differ by
one level. The luminance of an image with one channel is that channel. `hue`, for which Pillow has
only 8 bits, is torchvision's for tensors. `contrast`, `color` and `hue` raise a `ValueError` for
images with other than 1 or 3 channels; the other operations take any number.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .lookup import LEVELS, count_levels, levels_in


def luminance(image: Array) -> Array:
    """Return the Rec. 601 luminance in Pillow's fixed point, int32 `[height, width, 1]`."""
    x = image.astype(jnp.int32)
    if _is_grey(image):
        return x
    red, green, blue = x[..., :1], x[..., 1:2], x[..., 2:]
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _is_grey(image: Array) -> bool:
    """Return whether an image is grey and not RGB.

    Raises:
        ValueError: if it has other channels.
    """
    channels = image.shape[-1]
    if channels not in (1, 3):
        raise ValueError(
            f"`image` has {channels} channels; contrast, saturation and hue need 1 (grey) or 3 "
            "(RGB)"
        )
    return channels == 1


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


def hue(image: Array, shift: ArrayLike) -> Array:
    """Shift the hue of a colour image in HSV space, as torchvision's `adjust_hue` of a tensor.

    Args:
        image: the image; a grey one, which has no hue, stays as it is.
        shift: turns, where 1 is the full circle.
    """
    if _is_grey(image):
        return image
    x = image.astype(jnp.float32)
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    greatest, least = x.max(-1), x.min(-1)
    chroma = greatest - least
    unit = jnp.maximum(chroma, 1.0)
    sixths = jnp.where(
        greatest == red,
        (green - blue) / unit,
        jnp.where(greatest == green, 2.0 + (blue - red) / unit, 4.0 + (red - green) / unit),
    )
    sixths = sixths + 6.0 * jnp.asarray(shift, jnp.float32)
    # How far each channel lies below the greatest one, from 0 to 1 in units of the chroma.
    places = jnp.asarray([5.0, 3.0, 1.0], jnp.float32)
    turned = jnp.mod(places[None, None] + sixths[..., None], 6.0)
    below = jnp.clip(jnp.minimum(turned, 4.0 - turned), 0.0, 1.0)
    levels = greatest[..., None] - chroma[..., None] * below
    # torchvision maps [0, 1] to levels by the factor 256 - 0.001, rounded down.
    return jnp.clip(levels * (255.999 / 255.0), 0, LEVELS - 1).astype(jnp.uint8)


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
    return jnp.where(
        image.astype(jnp.float32) < jnp.asarray(threshold, jnp.float32), image, LEVELS - 1 - image
    )


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
    return jax.vmap(_equalize_channel, in_axes=-1, out_axes=-1)(image)


def _equalize_channel(channel: Array) -> Array:
    x = channel.astype(jnp.int32)
    counts = count_levels(x)
    step = (x.size - counts[x.max()]) // (LEVELS - 1)
    before = jnp.cumsum(counts) - counts
    table = jnp.clip((step // 2 + before) // jnp.maximum(step, 1), 0, LEVELS - 1)
    return jnp.where(step > 0, levels_in(table, x), x).astype(jnp.uint8)
