"""A choice between augmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from .base import Augmentation, Stage


@dataclass(frozen=True)
class OneOf:
    """Applies one of several augmentations to each example, all equally likely.

    With mixup and CutMix this is the choice of torchvision's recipes, except that the choice, like
    the weight, is drawn for each example and not once for a batch. So it depends neither on the
    batch nor on the number of devices.

    Attributes:
        choices: what to choose from: two augmentations or more, all of pixels or all of normalised
            images.

    Raises:
        ValueError: on construction, if these cannot be alternatives.

    References:
        https://docs.pytorch.org/vision/stable/auto_examples/transforms/plot_cutmix_mixup.html
    """

    choices: Sequence[Augmentation]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        names = ", ".join(type(choice).__name__ for choice in self.choices)
        if len(self.choices) < 2:
            raise ValueError(f"`choices` (={names}) must be two augmentations or more")
        stages = {choice.stage for choice in self.choices}
        if len(stages) > 1 or "stored" in stages:
            raise ValueError(
                f"`choices` (={names}) must all work on pixels or all on normalised images"
            )

    @property
    def stage(self) -> Stage:
        """The stage of all choices."""
        return self.choices[0].stage

    @property
    def mixes(self) -> bool:
        """Whether one of the choices mixes examples."""
        return any(choice.mixes for choice in self.choices)

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Apply one of them to each example; see `Augmentation`."""
        split = jax.vmap(jax.random.split)(keys)
        chosen = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(self.choices), jnp.int32))(
            split[:, 0]
        )
        # All are computed and one is kept: a branch on each example would compute all, too.
        results = [choice(split[:, 1], images, labels) for choice in self.choices]
        new_images, new_labels = results[0]
        for index, (other_images, other_labels) in enumerate(results[1:], start=1):
            new_images = _keep(chosen == index, other_images, new_images)
            new_labels = _keep(chosen == index, other_labels, new_labels)
        return new_images, new_labels


def _keep(is_chosen: Array, one: Array, other: Array) -> Array:
    return jnp.where(is_chosen.reshape(-1, *(1,) * (one.ndim - 1)), one, other)
