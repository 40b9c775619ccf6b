"""Rectangles of random area and shape, as torchvision draws them."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

TRIES = 10

Bounds = tuple[float, float]


def check_bounds(name: str, bounds: Bounds, most: float = math.inf) -> None:
    """Raise unless two bounds ascend, are finite, above 0 and at most `most`.

    Args:
        name: name of the argument, for the message.
        bounds: least and greatest value.
        most: limit of the greatest value.

    Raises:
        ValueError: if they do not.
    """
    low, high = bounds
    if not (0.0 < low <= high <= most and math.isfinite(high)):
        limit = f"and be at most {most:g}" if math.isfinite(most) else "and be finite"
        raise ValueError(f"`{name}` (={bounds}) must ascend, be above 0 {limit}")


def random_sides(
    key: Array, shape: tuple[int, int], area: Bounds, ratio: Bounds, *, low: int, high: Array
) -> tuple[Array, Array]:
    """Draw the sides of a rectangle until they fit, ten times at most.

    The area is uniform and so is the logarithm of the ratio; sides are rounded to pixels, halves
    to even. The ten tries are drawn at once, and the first that fits is taken.

    Args:
        key: a random key.
        shape: height and width of the image, in pixels.
        area: least and greatest area, as fractions of the image's.
        ratio: least and greatest height over width.
        low: shortest side that fits, in pixels.
        high: int32 `[2]`, greatest height and width that fit.

    Returns:
        The height and width, int32 `[2]`, and whether a try fitted, bool `[]`.
    """
    area_key, ratio_key = jax.random.split(key)
    areas = jax.random.uniform(area_key, (TRIES,), jnp.float32, *area) * math.prod(shape)
    logs = jax.random.uniform(ratio_key, (TRIES,), jnp.float32, *map(math.log, ratio))
    roots = jnp.exp(0.5 * logs)
    sides = jnp.sqrt(areas)[:, None] * jnp.stack([roots, 1.0 / roots], axis=1)
    sides = jnp.round(sides).astype(jnp.int32)
    fits = ((low <= sides) & (sides <= high[None])).all(1)
    return sides[fits.argmax()], fits.any()


def random_corner(key: Array, shape: tuple[int, int], sides: Array) -> Array:
    """Draw the upper left corner of a rectangle inside the image, uniformly.

    Args:
        key: a random key.
        shape: height and width of the image, in pixels.
        sides: int32 `[2]`, height and width of the rectangle, in pixels.

    Returns:
        int32 `[2]`, row and column.
    """
    places = jnp.asarray(shape, jnp.int32) - sides + 1
    return jax.random.randint(key, (2,), 0, places, jnp.int32)
