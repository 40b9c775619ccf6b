"""Random brightness, contrast, saturation and hue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from . import operations
from .base import Stage

GREATEST_HUE = 0.5

_OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "brightness": operations.brightness,
    "contrast": operations.contrast,
    "saturation": operations.color,
    "hue": operations.hue,
}


@dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast, saturation and hue, in an order drawn for each image.

    The first three factors are uniform in `[max(0, 1 - value), 1 + value]`, the shift of the hue
    in `[-hue, hue]` of a full turn; a value of 0 leaves its operation out. The draws are those of
    torchvision's `ColorJitter`; brightness, contrast and saturation give Pillow's pixels, the hue
    those that torchvision computes of a tensor. Grey images have neither saturation nor hue.

    The defaults are those of MoCo v2.

    Attributes:
        brightness: greatest relative change of the brightness, at least 0.
        contrast: greatest relative change of the contrast, at least 0.
        saturation: greatest relative change of the saturation, at least 0.
        hue: greatest shift of the hue in turns, from 0 to 0.5.

    Raises:
        ValueError: on construction, if a value is out of range.

    References:
        https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.ColorJitter.html;
        Chen et al. 2020 (MoCo v2), https://arxiv.org/abs/2003.04297
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    stage: ClassVar[Stage] = "pixels"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be finite and at least 0")
        if not 0.0 <= self.hue <= GREATEST_HUE:
            raise ValueError(f"`hue` (={self.hue}) must be in [0, {GREATEST_HUE}]")

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Change the colours; see `Augmentation`.

        Raises:
            ValueError: if colours change and the images have other than 1 or 3 channels.
        """
        ranges = {
            "brightness": (max(0.0, 1.0 - self.brightness), 1.0 + self.brightness),
            "contrast": (max(0.0, 1.0 - self.contrast), 1.0 + self.contrast),
            "saturation": (max(0.0, 1.0 - self.saturation), 1.0 + self.saturation),
            "hue": (-self.hue, self.hue),
        }
        active = [name for name, (low, high) in ranges.items() if low < high]
        if not active:
            return images, labels
        lows, highs = jnp.asarray([ranges[name] for name in active], jnp.float32).T
        branches = [_OPERATIONS[name] for name in active]

        def jitter(key: Array, image: Array) -> Array:
            order_key, factor_key = jax.random.split(key)
            order = jax.random.permutation(order_key, jnp.arange(len(active), dtype=jnp.int32))
            factors = jax.random.uniform(factor_key, lows.shape, jnp.float32, lows, highs)

            def step(image: Array, index: Array) -> tuple[Array, None]:
                return jax.lax.switch(index, branches, image, factors[index]), None

            return jax.lax.scan(step, image, order)[0]

        return jax.vmap(jitter)(keys, images), labels
