"""RandAugment: a few of Pillow's operations, drawn for each image, all at one strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from . import operations
from .base import Stage

GREATEST_MAGNITUDE = 30

Operation = Callable[[Array, Array, Array], Array]
"""Takes an image, a strength in [0, 1] and a sign ±1; returns an image of the same shape."""


def _enhanced(enhance: Callable[[Array, Array], Array]) -> Operation:
    return lambda image, strength, sign: enhance(image, 1.0 + sign * 0.9 * strength)


def _translated(translate: Callable[[Array, Array], Array], axis: int) -> Operation:
    return lambda image, strength, sign: translate(
        image, jnp.trunc(sign * strength * (150 / 331) * image.shape[axis])
    )


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "identity": lambda image, strength, sign: image,
        "shear_x": lambda image, m, sign: operations.shear_x(image, sign * 0.3 * m),
        "shear_y": lambda image, m, sign: operations.shear_y(image, sign * 0.3 * m),
        "translate_x": _translated(operations.translate_x, 1),
        "translate_y": _translated(operations.translate_y, 0),
        "rotate": lambda image, m, sign: operations.rotate(image, sign * 30.0 * m),
        "brightness": _enhanced(operations.brightness),
        "color": _enhanced(operations.color),
        "contrast": _enhanced(operations.contrast),
        "sharpness": _enhanced(operations.sharpness),
        "posterize": lambda image, m, sign: operations.posterize(image, 8 - jnp.round(4.0 * m)),
        "solarize": lambda image, m, sign: operations.solarize(image, 255.0 * (1.0 - m)),
        "autocontrast": lambda image, m, sign: operations.autocontrast(image),
        "equalize": lambda image, m, sign: operations.equalize(image),
    }
)
"""The fourteen operations and their strengths, as in torchvision's `RandAugment`."""


@dataclass(frozen=True)
class RandAugment:
    """Applies `num_ops` operations to each image, each drawn at random and with a random sign.

    Attributes:
        num_ops: operations per image, at least 1.
        magnitude: strength of all of them, from 0 to 30.
        operations: the operations to draw from, all equally likely.

    Raises:
        ValueError: on construction, if an argument is out of range.

    References:
        Cubuk et al. 2019, https://arxiv.org/abs/1909.13719;
        https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandAugment.html
    """

    num_ops: int = 2
    magnitude: int = 9
    operations: tuple[Operation, ...] = field(default=tuple(OPERATIONS.values()), repr=False)
    stage: ClassVar[Stage] = "pixels"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.num_ops < 1:
            raise ValueError(f"`num_ops` (={self.num_ops}) must be at least 1")
        if not 0 <= self.magnitude <= GREATEST_MAGNITUDE:
            raise ValueError(
                f"`magnitude` (={self.magnitude}) must be in [0, {GREATEST_MAGNITUDE}]"
            )

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Apply the operations; see `Augmentation`."""
        strength = jnp.float32(self.magnitude / GREATEST_MAGNITUDE)

        def augment(key: Array, image: Array) -> Array:
            for layer in jax.random.split(key, self.num_ops):
                choice_key, sign_key = jax.random.split(layer)
                choice = jax.random.randint(choice_key, (), 0, len(self.operations), jnp.int32)
                # Not `rademacher`, which draws other signs under `jax_enable_x64`.
                is_positive = jax.random.bernoulli(sign_key, jnp.float32(0.5))
                sign = jnp.where(is_positive, jnp.float32(1), jnp.float32(-1))
                image = jax.lax.switch(choice, self.operations, image, strength, sign)
            return image

        return jax.vmap(augment)(keys, images), labels
