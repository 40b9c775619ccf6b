"""TrivialAugment: one of Pillow's operations, drawn for each image, at a random strength."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from .base import Stage
from .drawn import GREATEST_MAGNITUDE, Operation, apply_drawn, make_operations

TRIVIAL_OPERATIONS = make_operations(
    shear=0.99, translate=lambda side: 32.0, rotate=135.0, enhance=0.99, posterize=6
)
"""The fourteen operations and their strengths, as in torchvision's `TrivialAugmentWide`."""


@dataclass(frozen=True)
class TrivialAugment:
    """Applies one operation to each image, drawn at random, with a random magnitude and sign.

    Operations, strengths and the 31 magnitudes are those of torchvision's `TrivialAugmentWide`
    with its default filter (nearest) and black outside; the pixels are Pillow's, see `operations`.
    Images are moved by up to 32 pixels whatever their size.

    Attributes:
        operations: the operations to draw from, all equally likely.

    References:
        Müller and Hutter 2021, https://arxiv.org/abs/2103.10158;
        https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.TrivialAugmentWide.html
    """

    operations: tuple[Operation, ...] = field(
        default=tuple(TRIVIAL_OPERATIONS.values()), repr=False
    )
    stage: ClassVar[Stage] = "pixels"
    mixes: ClassVar[bool] = False

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Apply an operation; see `Augmentation`.

        Raises:
            ValueError: if colours change and the images have other than 1 or 3 channels.
        """

        def augment(key: Array, image: Array) -> Array:
            magnitude_key, operation_key = jax.random.split(key)
            magnitude = jax.random.randint(magnitude_key, (), 0, GREATEST_MAGNITUDE + 1, jnp.int32)
            strength = magnitude.astype(jnp.float32) / GREATEST_MAGNITUDE
            return apply_drawn(operation_key, image, strength, self.operations)

        return jax.vmap(augment)(keys, images), labels
