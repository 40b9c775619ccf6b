"""What an augmentation is, and how several are applied one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array

from ..transforms import Transform

Stage = Literal["pixels", "normalised"]


@runtime_checkable
class Augmentation(Protocol):
    """A pure batched function of random keys, images and labels.

    Each example has a key of its own, so that what is drawn for it depends neither on its batch
    nor on the number of devices that share the batch.

    Attributes:
        stage: what it works on; `"pixels"` is uint8 `[batch, height, width, channels]` of the
            final size, `"normalised"` the float32 images that the model sees.
        mixes: whether it mixes examples, and so needs labels as probabilities `[batch,
            classes]`.
    """

    stage: ClassVar[Stage]
    mixes: ClassVar[bool]

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Return the augmented images and their labels, of the same shapes and types.

        Args:
            keys: one key for each example, `[batch]`.
            images: as `stage` says.
            labels: integers `[batch]`, or probabilities `[batch, classes]`.
        """


@dataclass(frozen=True)
class Pipeline:
    """Resize, random crop, augmentations on pixels, normalisation, augmentations after it.

    Attributes:
        transform: resizes, crops and normalises.
        augmentations: what is applied, in this order.
        num_classes: number of classes, for labels that become one-hot because examples are mixed.

    Raises:
        ValueError: on construction, if an augmentation of pixels follows one of normalised images.

    >>> from . import Flip, Mixup
    >>> transform = Transform(source=(8, 8), resize=8, crop=8, mean=(0.5,), std=(0.2,))
    >>> pipeline = Pipeline(transform, (Flip(), Mixup(0.2)), num_classes=10)
    >>> keys = jax.random.split(jax.random.key(0), 4)
    >>> images, labels = pipeline(jnp.zeros((4, 8, 8, 1), jnp.uint8), jnp.arange(4), keys)
    >>> images.shape, labels.shape
    ((4, 8, 8, 1), (4, 10))
    """

    transform: Transform
    augmentations: Sequence[Augmentation]
    num_classes: int

    def __post_init__(self) -> None:
        for before, after in itertools.pairwise(self.augmentations):
            if (before.stage, after.stage) == ("normalised", "pixels"):
                raise ValueError(
                    f"`augment`: {type(after).__name__} works on pixels and must come before "
                    f"{type(before).__name__}, which works on normalised images"
                )

    @property
    def mixes(self) -> bool:
        """Whether examples are mixed, each with its neighbour, so that they must come in pairs."""
        return any(augmentation.mixes for augmentation in self.augmentations)

    @property
    def _to_pixels(self) -> Transform:
        """The transform that resizes and crops, to the levels 0 to 255."""
        channels = len(self.transform.mean)
        return replace(self.transform, mean=(0.0,) * channels, std=(1 / 255,) * channels)

    @property
    def _normalise(self) -> Transform:
        """The transform that normalises what `_to_pixels` made."""
        side = self.transform.crop
        return replace(self.transform, source=(side, side), resize=side)

    def __call__(self, images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        """Prepare a training batch.

        Args:
            images: uint8 `[batch, height, width, channels]`.
            labels: integers `[batch]`.
            keys: one key for each example, `[batch]`.

        Returns:
            float32 `[batch, crop, crop, channels]`, and the labels: `[batch]`, or `[batch,
            num_classes]` where examples are mixed.
        """
        if self.mixes:
            labels = jax.nn.one_hot(labels, self.num_classes, dtype=jnp.float32)
        on_pixels, after = (
            [
                (index, augmentation)
                for index, augmentation in enumerate(self.augmentations)
                if augmentation.stage == stage
            ]
            for stage in ("pixels", "normalised")
        )
        if on_pixels:
            images = self._to_pixels.random(images, keys).astype(jnp.uint8)
            for index, augmentation in on_pixels:
                images, labels = augmentation(_stream(keys, index), images, labels)
            images = self._normalise.center(images)
        else:
            images = self.transform.random(images, keys)
        for index, augmentation in after:
            images, labels = augmentation(_stream(keys, index), images, labels)
        return images, labels


def _stream(keys: Array, index: int) -> Array:
    """Return the keys of one augmentation, independent of the crop's and of the others'."""
    return jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
