"""RandAugment: a few of Pillow's operations, drawn for each image, all at one strength."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from ...storage import whole_number
from .base import Stage
from .drawn import GREATEST_MAGNITUDE, Operation, apply_drawn, make_operations

RAND_OPERATIONS = make_operations(
    shear=0.3, translate=lambda side: 150 / 331 * side, rotate=30.0, enhance=0.9, posterize=4
)
"""The fourteen operations and their strengths, as in torchvision's `RandAugment`."""


@dataclass(frozen=True)
class RandAugment:
    """Applies `num_ops` operations to each image, each drawn at random and with a random sign.

    Operations, strengths and the 31 magnitudes are those of torchvision's `RandAugment` with its
    default filter (nearest) and black outside; the pixels are Pillow's, see `operations`.

    Attributes:
        num_ops: operations per image, at least 1.
        magnitude: strength of all of them, from 0 to 30.
        operations: the operations to draw from, all equally likely.

    Raises:
        TypeError: on construction, if `num_ops` is no whole number.
        ValueError: on construction, if an argument is out of range.

    References:
        Cubuk et al. 2019, https://arxiv.org/abs/1909.13719;
        https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.RandAugment.html
    """

    num_ops: int = 2
    magnitude: int = 9
    operations: tuple[Operation, ...] = field(default=tuple(RAND_OPERATIONS.values()), repr=False)
    stage: ClassVar[Stage] = "pixels"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_ops", whole_number("num_ops", self.num_ops))
        if not 0 <= self.magnitude <= GREATEST_MAGNITUDE:
            raise ValueError(
                f"`magnitude` (={self.magnitude}) must be in [0, {GREATEST_MAGNITUDE}]"
            )

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Apply the operations; see `Augmentation`.

        Raises:
            ValueError: if colours change and the images have other than 1 or 3 channels.
        """
        strength = jnp.float32(self.magnitude / GREATEST_MAGNITUDE)

        def augment(key: Array, image: Array) -> Array:
            def layer(image: Array, key: Array) -> tuple[Array, None]:
                return apply_drawn(key, image, strength, self.operations), None

            return jax.lax.scan(layer, image, jax.random.split(key, self.num_ops))[0]

        return jax.vmap(augment)(keys, images), labels
