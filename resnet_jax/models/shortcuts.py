"""Shortcuts: what the input of a block passes through where the block changes its shape."""

from __future__ import annotations

from typing import Protocol

from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from .layers import BatchNorm, Conv, NormLayer


class Shortcut(Protocol):
    """What the `shortcut` of a block may be: a class or partial that makes a linen module.

    The module is called as `shortcut(x, train)` and returns the map that is added to the residual
    branch. A block makes it under the name `downsample`, and only where its output has another
    resolution or other channels than its input.
    """

    def __call__(
        self,
        *,
        features: int,
        stride: int,
        norm_layer: NormLayer,
        dtype: DTypeLike | None,
        axis_name: str | None,
        name: str | None = None,
    ) -> nn.Module:
        """Make the module.

        Args:
            features: output channels.
            stride: factor by which the map shrinks.
            norm_layer: makes the normalisations.
            dtype: dtype of the computation; None takes the input's.
            axis_name: passed to the normalisations.
            name: name of the module within the block.
        """


class Downsample(nn.Module):
    """The projection shortcut: a 1×1 convolution, then normalisation.

    Attributes:
        features: output channels.
        stride: stride of the convolution.
        norm_layer: makes the normalisation.
        dtype: dtype of the computation; None takes the input's.
        axis_name: passed to the normalisation.
    """

    features: int
    stride: int = 1
    norm_layer: NormLayer = BatchNorm
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', features]`."""
        x = Conv(self.features, 1, self.stride, dtype=self.dtype, name="conv")(x)
        norm = self.norm_layer(
            scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name, name="bn"
        )
        return norm(x, train)
