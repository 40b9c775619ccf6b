"""What an augmentation is, and how several are applied one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array

from ..resampling import Interpolation
from ..transforms import Transform

Stage = Literal["stored", "pixels", "normalised"]
"""What an augmentation works on, in the order of a pipeline; see `Augmentation`."""


@runtime_checkable
class Augmentation(Protocol):
    """A pure batched function of random keys, images and labels.

    Each example has a key of its own, so that what is drawn for it depends neither on its batch
    nor on the number of devices that share the batch.

    Attributes:
        stage: what it works on; `"stored"` is uint8 `[batch, height, width, channels]` of the size
            in memory, which becomes the final size, `"pixels"` is uint8 of the final size, and
            `"normalised"` the float32 images that the model sees.
        mixes: whether it mixes examples, and so needs labels as probabilities `[batch,
            classes]`.
    """

    @property
    def stage(self) -> Stage:
        """What it works on."""

    @property
    def mixes(self) -> bool:
        """Whether it mixes examples."""

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Return the augmented images and their labels, of the same types and shapes.

        Only an augmentation of the stage `"stored"` may return images of another size.

        Args:
            keys: one key for each example, `[batch]`.
            images: as `stage` says.
            labels: integers `[batch]`, or probabilities `[batch, classes]`.
        """


@runtime_checkable
class Cropping(Augmentation, Protocol):
    """An augmentation of the stage `"stored"`: it makes images of the final size."""

    def sized(self, size: tuple[int, int], interpolation: Interpolation) -> Augmentation:
        """Return this augmentation for a height and width in pixels, and a filter."""


@dataclass(frozen=True)
class Pipeline:
    """Resize, random crop, augmentations on pixels, normalisation, augmentations after it.

    An augmentation of stored images, which must be the first, takes the place of resize and crop.

    Attributes:
        transform: resizes, crops and normalises.
        augmentations: what is applied, in this order.
        num_classes: number of classes, for labels that become one-hot because examples are mixed.

    Raises:
        ValueError: on construction, if the augmentations are not in the order of their stages, or
            two of them work on stored images.

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
        order = get_args(Stage)
        for before, after in itertools.pairwise(self.augmentations):
            first, second = type(before).__name__, type(after).__name__
            if before.stage == after.stage == "stored":
                raise ValueError(
                    f"`augment`: {first} and {second} both crop the stored images; keep one"
                )
            if order.index(before.stage) > order.index(after.stage):
                raise ValueError(
                    f"`augment`: {second} works on {_WORKS_ON[after.stage]} and must come before "
                    f"{first}, which works on {_WORKS_ON[before.stage]}"
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
            # A narrower type may not hold the number of classes.
            labels = labels.astype(jnp.int32)
            labels = jax.nn.one_hot(labels, self.num_classes, dtype=jnp.float32)
        size = (self.transform.crop, self.transform.crop)
        indexed = list(enumerate(self.augmentations))
        crops = [
            (index, augmentation.sized(size, self.transform.interpolation))
            for index, augmentation in indexed
            if isinstance(augmentation, Cropping)
        ]
        on_pixels, after = (
            [item for item in indexed if item[1].stage == stage]
            for stage in ("pixels", "normalised")
        )
        if crops or on_pixels:
            if not crops:
                images = self._to_pixels.random(images, keys).astype(jnp.uint8)
            for index, augmentation in crops + on_pixels:
                images, labels = augmentation(_stream(keys, index), images, labels)
            images = self._normalise.center(images)
        else:
            images = self.transform.random(images, keys)
        for index, augmentation in after:
            images, labels = augmentation(_stream(keys, index), images, labels)
        return images, labels


_WORKS_ON = {
    "stored": "stored images",
    "pixels": "pixels",
    "normalised": "normalised images",
}


def _stream(keys: Array, index: int) -> Array:
    """Return the keys of one augmentation, independent of the crop's and of the others'."""
    return jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
