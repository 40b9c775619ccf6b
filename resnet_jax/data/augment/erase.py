"""Squares and rectangles that hide a part of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from ...storage import whole_number
from .base import Stage
from .geometry import check_probability, happens
from .random_box import Bounds, check_bounds, random_corner, random_sides


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
        (first[:, axis, None] <= jnp.arange(side, dtype=jnp.int32)[None])
        & (jnp.arange(side, dtype=jnp.int32)[None] < (first + sizes)[:, axis, None])
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
        TypeError: on construction, if the size is no whole number.
        ValueError: on construction, if it is below 1.

    References:
        DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552
    """

    size: int = 8
    stage: ClassVar[Stage] = "normalised"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole_number("size", self.size))

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Hide squares; see `Augmentation`."""
        shape = (images.shape[1], images.shape[2])
        centres = random_centres(keys, shape)
        hidden = inside(centres, jnp.full(centres.shape, self.size, jnp.int32), shape)
        return jnp.where(hidden, 0.0, images), labels


Fill = Literal["zero", "random", "pixel"]
"""What is put into an erased rectangle, see `RandomErasing`."""


@dataclass(frozen=True)
class RandomErasing:
    """Erases a rectangle of random area and shape in some images, as torchvision and timm do.

    The area is uniform, and so is the logarithm of height over width. A rectangle that is not
    smaller than the image in both directions is drawn again; after ten tries the image stays as it
    is. Its place is uniform, inside the image.

    | `fill` | torchvision's `value` | timm's `mode` | what is put there |
    |---|---|---|---|
    | `"zero"` | `0` | `"const"` | 0: the mean colour, after normalisation |
    | `"random"` | – | `"rand"` | one number for each channel, from a standard normal distribution |
    | `"pixel"` | `"random"` | `"pixel"` | such a number for each channel of each pixel |

    Attributes:
        probability: probability that an image gets a rectangle, in [0, 1].
        fill: what is put into the rectangle.
        area: least and greatest area, as fractions of the image's.
        ratio: least and greatest height over width.

    Raises:
        ValueError: on construction, if an argument is out of range.

    References:
        Zhong et al. 2017, https://arxiv.org/abs/1708.04896;
        https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.RandomErasing.html
    """

    probability: float = 0.5
    fill: Fill = "zero"
    area: Bounds = (0.02, 0.33)
    ratio: Bounds = (0.3, 3.3)
    stage: ClassVar[Stage] = "normalised"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_probability(self.probability)
        if self.fill not in get_args(Fill):
            raise ValueError(f"`fill` (={self.fill!r}) must be one of {', '.join(get_args(Fill))}")
        check_bounds("area", self.area, most=1.0)
        check_bounds("ratio", self.ratio)

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Erase rectangles; see `Augmentation`."""
        shape = (images.shape[1], images.shape[2])
        greatest = jnp.asarray(shape, jnp.int32) - 1

        def rectangle(key: Array) -> tuple[Array, Array]:
            sides_key, corner_key = jax.random.split(key)
            sides, fits = random_sides(
                sides_key, shape, self.area, self.ratio, low=0, high=greatest
            )
            sides = jnp.where(fits, sides, 0)
            return random_corner(corner_key, shape, sides) + sides // 2, sides

        split = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
        erased = inside(*jax.vmap(rectangle)(split[:, 0]), shape)
        erased = erased & happens(split[:, 1], self.probability)[:, None, None, None]
        return jnp.where(erased, self._values(split[:, 2], images), images), labels

    def _values(self, keys: Array, images: Array) -> Array | float:
        """Return what is put into the rectangles, of a shape that broadcasts to the images'."""
        if self.fill == "zero":
            return 0.0
        one = (1, 1, images.shape[-1]) if self.fill == "random" else images.shape[1:]
        # Drawn in float32, so that they are the same numbers for images of any type.
        values = jax.vmap(lambda key: jax.random.normal(key, one, jnp.float32))(keys)
        return values.astype(images.dtype)
