"""Mixtures of two examples.

Each example is mixed with its neighbour, the first with the second, the third with the fourth and
so on, by a random weight of its own. Batches are shuffled, so any two examples may be neighbours.
Each device holds an even number of consecutive examples, so an example's partner does not depend on
the number of devices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from .base import Stage
from .erase import inside, random_centres


@dataclass(frozen=True)
class Mixup:
    """Blends two images, and their labels likewise.

    The result is `weight · example + (1 - weight) · neighbour`, with the weight drawn from
    `Beta(alpha, alpha)`.

    Attributes:
        alpha: above 0; 1 draws weights uniformly, smaller values stay nearer one of the two.

    Raises:
        ValueError: on construction, if `alpha` is out of range.

    References:
        Zhang et al. 2017, https://arxiv.org/abs/1710.09412
    """

    alpha: float = 0.2
    stage: ClassVar[Stage] = "normalised"
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Blend neighbours; see `Augmentation`.

        Raises:
            ValueError: if the labels are not probabilities or the number of examples is odd.
        """
        _check_batch(images, labels)
        weights = _weights(keys, self.alpha)
        return (
            _blend(weights[:, None, None, None], images),
            _blend(weights[:, None], labels),
        )


@dataclass(frozen=True)
class CutMix:
    """Puts a rectangle of the neighbour into each image, and mixes the labels by its area.

    The rectangle has the image's proportions and a fraction `1 - weight` of its area, with the
    weight drawn from `Beta(alpha, alpha)`. Its centre is uniform over the image; what lies outside
    is cut off and not counted.

    Attributes:
        alpha: above 0; 1 draws weights uniformly.

    Raises:
        ValueError: on construction, if `alpha` is out of range.

    References:
        Yun et al. 2019, https://arxiv.org/abs/1905.04899
    """

    alpha: float = 1.0
    stage: ClassVar[Stage] = "normalised"
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Put rectangles of the neighbours in; see `Augmentation`.

        Raises:
            ValueError: if the labels are not probabilities or the number of examples is odd.
        """
        _check_batch(images, labels)
        split = jax.vmap(jax.random.split)(keys)
        shape = (images.shape[1], images.shape[2])
        side = jnp.sqrt(1.0 - _weights(split[:, 0], self.alpha))
        sides = side[:, None] * jnp.asarray(shape, jnp.float32)[None]
        taken = inside(
            random_centres(split[:, 1], shape), jnp.round(sides).astype(jnp.int32), shape
        )
        weights = 1.0 - taken.mean((1, 2, 3), dtype=jnp.float32)
        return jnp.where(taken, _neighbours(images), images), _blend(weights[:, None], labels)


def _check_alpha(alpha: float) -> None:
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"`alpha` (={alpha}) must be finite and above 0")


def _check_batch(images: Array, labels: Array) -> None:
    if labels.ndim != 2:
        raise ValueError(
            f"`labels` has shape {labels.shape}; to mix them they must be probabilities "
            "[batch, classes], such as `jax.nn.one_hot` gives"
        )
    if images.shape[0] % 2:
        raise ValueError(
            f"`images` has {images.shape[0]} examples on each device; to mix them in pairs their "
            "number must be even"
        )


def _weights(keys: Array, alpha: float) -> Array:
    return jax.vmap(lambda key: jax.random.beta(key, alpha, alpha, dtype=jnp.float32))(keys)


def _neighbours(x: Array) -> Array:
    pairs = x.reshape(-1, 2, *x.shape[1:])
    return pairs[:, ::-1].reshape(x.shape)


def _blend(weights: Array, x: Array) -> Array:
    """Blend in float32 at least; of narrower numbers only the result is rounded to their type."""
    wide = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
    weights, values = weights.astype(wide), x.astype(wide)
    blended = weights * values + (1.0 - weights) * _neighbours(values)
    # Labels of 0 and 1 may be integers, of which no blend is one.
    return blended.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else blended
