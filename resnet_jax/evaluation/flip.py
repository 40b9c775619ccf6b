"""A model that looks at the mirror image, too."""

from __future__ import annotations

import jax
from flax import linen as nn


class FlipAveraged(nn.Module):
    """The mean of a model's logits for an image and for its mirror image, left and right swapped.

    It has the model's own variables.

    Attributes:
        model: from images ``[batch, height, width, channels]`` to logits.
    """

    model: nn.Module

    def setup(self) -> None:
        """Lets the model have the variables for itself."""
        nn.share_scope(self, self.model)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """The logits ``[batch, classes]``.

        Args:
            x: the images.
            train: passed on.
        """
        return (self.model(x, train=train) + self.model(x[:, :, ::-1], train=train)) / 2
