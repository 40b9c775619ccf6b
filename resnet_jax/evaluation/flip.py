"""Test-time augmentation: the average over an image and its mirror image."""

from __future__ import annotations

import jax
from flax import linen as nn


class FlipAveraged(nn.Module):
    """Average of a model's logits for an image and for the image flipped left to right.

    It has the same variables as the model itself.

    Attributes:
        model: module that maps images `[batch, height, width, channels]` to logits
            `[batch, classes]`.
    """

    model: nn.Module

    def setup(self) -> None:
        """Share the scope of the model, so that its variables keep their names."""
        # The scope that is given up leaves its name to a model whose own model has that name.
        if self.scope is not None:
            self.scope.reservations.pop("model", None)
        nn.share_scope(self, self.model)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Return the averaged logits `[batch, classes]`.

        Args:
            x: images `[batch, height, width, channels]`.
            train: passed on to the model.
        """
        return (self.model(x, train=train) + self.model(x[:, :, ::-1], train=train)) / 2
