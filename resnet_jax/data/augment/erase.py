"""Squares and rectangles that hide a part of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from .base import Stage
from .geometry import check_probability, happens


def inside(centres: Array, sizes: Array, shape: tuple[int, int]) -> Array:
    """Return which pixels lie in rectangles, which are cut off at the border.

    Args:
        centres: int32 `[batch, 2]`, row and column; for an even side the pixel after the middle.
        sizes: int32 `[batch, 2]`, height and width in pixels.
        shape: height and width of the images.

    Returns:
        bool `[batch, height, width, 1]`.
    """
    first = centres - sizes // 2
    rows, columns = (
        (first[:, axis, None] <= jnp.arange(side)[None])
        & (jnp.arange(side)[None] < (first + sizes)[:, axis, None])
        for axis, side in enumerate(shape)
    )
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def random_centres(keys: Array, shape: tuple[int, int]) -> Array:
    """Draw a place in each image, uniformly: int32 `[batch, 2]`, row and column."""
    sides = jnp.asarray(shape, jnp.int32)
    return jax.vmap(lambda key: jax.random.randint(key, (2,), 0, sides, jnp.int32))(keys)


@dataclass(frozen=True)
class Cutout:
    """Hides a square at a random place with the mean colour (0 after normalisation).

    Its centre is uniform over the image, so part of the square may lie outside.

    Attributes:
        size: side of the square, in pixels.

    Raises:
        ValueError: on construction, if the size is below 1.

    References:
        DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552
    """

    size: int = 8
    stage: ClassVar[Stage] = "normalised"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"`size` (={self.size}) must be at least 1")

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Hide squares; see `Augmentation`."""
        shape = (images.shape[1], images.shape[2])
        centres = random_centres(keys, shape)
        hidden = inside(centres, jnp.full(centres.shape, self.size, jnp.int32), shape)
        return jnp.where(hidden, 0.0, images), labels


@dataclass(frozen=True)
class RandomErasing:
    """Hides a rectangle of random area and shape in some images, with the mean colour.

    The area is uniform, and so is the logarithm of height over width; a side longer than the
    image's is shortened to it. The rectangle lies inside the image.

    Attributes:
        probability: probability that an image gets a rectangle, in [0, 1].
        area: least and greatest area, as fractions of the image's.
        ratio: least and greatest height over width.

    Raises:
        ValueError: on construction, if an argument is out of range.

    References:
        Zhong et al. 2017, https://arxiv.org/abs/1708.04896
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    stage: ClassVar[Stage] = "normalised"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_probability(self.probability)
        if not 0.0 < self.area[0] <= self.area[1] <= 1.0:
            raise ValueError(f"`area` (={self.area}) must ascend in (0, 1]")
        if not (0.0 < self.ratio[0] <= self.ratio[1] and math.isfinite(self.ratio[1])):
            raise ValueError(f"`ratio` (={self.ratio}) must ascend, be finite and above 0")

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Hide rectangles; see `Augmentation`."""
        height, width = images.shape[1:3]
        image = jnp.asarray((height, width), jnp.int32)

        def draw(key: Array, low: float, high: float) -> Array:
            return jax.random.uniform(key, (), jnp.float32, low, high)

        def rectangle(key: Array) -> tuple[Array, Array]:
            area_key, ratio_key, place_key = jax.random.split(key, 3)
            area = draw(area_key, *self.area) * (height * width)
            root = jnp.exp(0.5 * draw(ratio_key, *(math.log(bound) for bound in self.ratio)))
            sides = jnp.sqrt(area) * jnp.stack([root, 1.0 / root])
            sides = jnp.clip(jnp.round(sides).astype(jnp.int32), 1, image)
            first = jax.random.randint(place_key, (2,), 0, image - sides + 1, jnp.int32)
            return first + sides // 2, sides

        split = jax.vmap(jax.random.split)(keys)
        hidden = inside(*jax.vmap(rectangle)(split[:, 0]), (height, width))
        hidden = hidden & happens(split[:, 1], self.probability)[:, None, None, None]
        return jnp.where(hidden, 0.0, images), labels
