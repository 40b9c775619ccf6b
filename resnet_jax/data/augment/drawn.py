"""The operations that RandAugment and TrivialAugment draw from, and how one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from . import affine, operations

GREATEST_MAGNITUDE = 30
"""Magnitudes are the whole numbers from 0 to this one: torchvision's 31 bins."""


class Operation(NamedTuple):
    """A map of the coordinates, a change of the levels, or neither of them.

    The maps are apart so that an image is moved once, whatever was drawn.

    Attributes:
        matrix: takes height and width, a strength in [0, 1] and a sign ±1; returns the map,
            float32 `[2, 3]`, see `affine`.
        levels: takes an image, a strength and a sign; returns an image of the same shape.
    """

    matrix: Callable[[tuple[int, int], Array, Array], Array] | None = None
    levels: Callable[[Array, Array, Array], Array] | None = None


def make_operations(
    *,
    shear: float,
    translate: Callable[[int], float],
    rotate: float,
    enhance: float,
    posterize: int,
) -> Mapping[str, Operation]:
    """Make the fourteen operations, each with what it does at full strength.

    Args:
        shear: slope.
        translate: takes a side of the image and returns a distance, both in pixels.
        rotate: angle in degrees.
        enhance: change of the factors of brightness, colour, contrast and sharpness from 1.
        posterize: bits that are dropped.

    Returns:
        The operations by name, in torchvision's order.
    """

    def moved(map_: Callable[[Array], Array], axis: int) -> Operation:
        return Operation(
            matrix=lambda shape, m, sign: map_(jnp.trunc(sign * m * translate(shape[axis])))
        )

    def enhanced(function: Callable[[Array, Array], Array]) -> Operation:
        return Operation(levels=lambda image, m, sign: function(image, 1.0 + sign * enhance * m))

    return MappingProxyType(
        {
            "identity": Operation(),
            "shear_x": Operation(lambda shape, m, sign: affine.shear_x(sign * shear * m)),
            "shear_y": Operation(lambda shape, m, sign: affine.shear_y(sign * shear * m)),
            "translate_x": moved(affine.translate_x, 1),
            "translate_y": moved(affine.translate_y, 0),
            "rotate": Operation(lambda shape, m, sign: affine.rotate(sign * rotate * m, shape)),
            "brightness": enhanced(operations.brightness),
            "color": enhanced(operations.color),
            "contrast": enhanced(operations.contrast),
            "sharpness": enhanced(operations.sharpness),
            "posterize": Operation(
                levels=lambda image, m, sign: operations.posterize(
                    image, 8 - jnp.round(posterize * m)
                )
            ),
            "solarize": Operation(
                # Rounded up with a margin: every second magnitude gives a whole number, and its
                # rounding error would decide about one level.
                levels=lambda image, m, sign: operations.solarize(
                    image, jnp.ceil(255.0 * (1.0 - m) - 1e-3)
                )
            ),
            "autocontrast": Operation(levels=lambda image, m, sign: operations.autocontrast(image)),
            "equalize": Operation(levels=lambda image, m, sign: operations.equalize(image)),
        }
    )


def apply_drawn(
    key: Array, image: Array, strength: Array, operations: Sequence[Operation]
) -> Array:
    """Draw an operation and a sign, and apply it.

    Args:
        key: a random key.
        image: uint8 `[height, width, channels]`.
        strength: float32 `[]` in [0, 1].
        operations: what to draw from, all equally likely.

    Returns:
        The image after the operation.
    """
    choice_key, sign_key = jax.random.split(key)
    choice = jax.random.randint(choice_key, (), 0, len(operations), jnp.int32)
    # Not `rademacher`, which draws other signs under `jax_enable_x64`.
    is_positive = jax.random.bernoulli(sign_key, jnp.float32(0.5))
    sign = jnp.where(is_positive, jnp.float32(1), jnp.float32(-1))
    return apply_operation(choice, image, strength, sign, operations)


def apply_operation(
    choice: Array, image: Array, strength: Array, sign: Array, operations: Sequence[Operation]
) -> Array:
    """Apply one of several operations.

    Args:
        choice: int32 `[]`, its index.
        image: uint8 `[height, width, channels]`.
        strength: float32 `[]` in [0, 1].
        sign: float32 `[]`, ±1.
        operations: what to choose from.

    Returns:
        The image after the operation.
    """
    shape = (image.shape[0], image.shape[1])
    if any(operation.matrix for operation in operations):
        matrices = [_matrix(operation, shape) for operation in operations]
        image = affine.affine(image, jax.lax.switch(choice, matrices, strength, sign))
    return jax.lax.switch(
        choice, [operation.levels or _unchanged for operation in operations], image, strength, sign
    )


def _matrix(operation: Operation, shape: tuple[int, int]) -> Callable[[Array, Array], Array]:
    make = operation.matrix
    if make is None:
        return lambda strength, sign: affine.identity()
    return lambda strength, sign: make(shape, strength, sign)


def _unchanged(image: Array, strength: Array, sign: Array) -> Array:
    return image
