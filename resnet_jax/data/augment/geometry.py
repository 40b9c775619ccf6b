"""Shifts and mirror images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from ...storage import whole_number
from .base import Stage
from .lookup import window_at


@dataclass(frozen=True)
class PadCrop:
    """Pads each image with black and crops it to its size, at a place of its own.

    This is torchvision's `RandomCrop(size, padding=padding)`.

    Attributes:
        padding: pixels added on each side, at least 1.

    Raises:
        TypeError: on construction, if the padding is no whole number.
        ValueError: on construction, if it is below 1.

    References:
        He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2
    """

    padding: int = 4
    stage: ClassVar[Stage] = "pixels"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", whole_number("padding", self.padding))

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Shift the images; see `Augmentation`."""
        size = self.padding
        padded = jnp.pad(images, ((0, 0), (size, size), (size, size), (0, 0)))

        def crop(key: Array, image: Array) -> Array:
            row, column = jax.random.randint(key, (2,), 0, 2 * size + 1, jnp.int32)
            return window_at(image, row, column, images.shape[1:])

        return jax.vmap(crop)(keys, padded), labels


@dataclass(frozen=True)
class Flip:
    """Swaps left and right in some of the images.

    Attributes:
        probability: probability that an image is flipped, in [0, 1].

    Raises:
        ValueError: on construction, if the probability is out of range.
    """

    probability: float = 0.5
    stage: ClassVar[Stage] = "pixels"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Flip the images; see `Augmentation`."""
        chosen = happens(keys, self.probability)
        return jnp.where(chosen[:, None, None, None], images[:, :, ::-1], images), labels


def check_probability(value: float) -> None:
    """Raise unless a probability is in [0, 1].

    Raises:
        ValueError: if it is not; the message names `probability`.
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"`probability` (={value}) must be in [0, 1]")


def happens(keys: Array, probability: float) -> Array:
    """Draw which examples are changed, bool `[batch]`."""
    # In float32, so that the draws are the same under `jax_enable_x64`.
    chance = jnp.float32(probability)
    return jax.vmap(lambda key: jax.random.bernoulli(key, chance))(keys)
